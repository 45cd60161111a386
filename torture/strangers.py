"""Untrusted checkpoints, IDX files and configurations."""

import functools
import io
import json
import math
import os
import pickle
import random
import struct
import sys
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mnist_cli import config
from mnist_cli.config import PRESETS
from mnist_cli.datasets import mnist_files
from mnist_cli.datasets.dataset import Digits
from mnist_cli.errors import CheckpointError, ConfigError, DataError, DivergenceError
from mnist_cli.models import architectures, checkpoints, devices
from mnist_cli.training import loop, session
from torture import Outcomes
from torture.mutations import mutate
from torture.workers import check_all

Content = dict[str, Any]


@functools.cache
def digits() -> Digits:
    """Return a few images."""
    return Digits(torch.randint(0, 256, (20, 1, 28, 28), dtype=torch.uint8), torch.arange(20) % 10)


@functools.cache
def good(name: str) -> bytes:
    """Return a complete checkpoint of a small run."""
    hidden = {} if name == "linear" else {"hidden": [8]}
    settings = config.resolve(None, None, {"model": name, "epochs": 2, "holdout": 5, **hidden})
    trainer = loop.Trainer(architectures.build_from(settings), digits(), digits(), settings, digits())
    next(trainer.epochs())
    with tempfile.TemporaryDirectory() as folder:
        session.save(Path(folder) / "last.pt", trainer)
        return (Path(folder) / "last.pt").read_bytes()


class RunsCode:
    """A pickle of this object calls a function when it is loaded."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def load(path: Path) -> str | None:
    """Load a checkpoint and resume its run; an error of one sentence is correct for both."""
    try:
        checkpoint = checkpoints.load(path)
        if not all(tensor.isfinite().all() for tensor in checkpoint.model.state_dict().values()):
            return "it was loaded with weights that are not finite"
        logits = checkpoint.model(digits().images)
        if logits.shape != (20, 10):
            return f"its logits have the shape {tuple(logits.shape)}"
        settings = replace(checkpoint.config, epochs=len(checkpoint.metrics) + 1, batch_size=8)
        trainer = loop.Trainer(checkpoint.model, digits(), digits(), settings, digits())
        session.resume(checkpoint, trainer)
        next(trainer.epochs(), None)
    except (CheckpointError, DivergenceError) as error:
        return unclear(error, path)
    return None


def unclear(error: CheckpointError | DivergenceError, path: Path) -> str | None:
    """Return what is wrong with the error message for a checkpoint."""
    text = str(error)
    names_it = str(path) in text or isinstance(error, DivergenceError)
    return None if names_it and "\n" not in text and len(text) < 600 else f"its sentence is {text[:900]!r}"


def check_damaged(seed: int, number: int, folder: Path) -> str | None:
    """Load a checkpoint that is corrupted: anywhere, or in its pickle, with correct checksums."""
    generator = random.Random(f"{seed}/{number}")
    content = good(generator.choice(("linear", "mlp", "cnn")))
    path = folder / "last.pt"
    if number % 2:
        path.write_bytes(mutate(content, generator))
    else:
        with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(path, "w") as new:
            for name in old.namelist():
                inside = old.read(name)
                new.writestr(name, mutate(inside, generator) if name.endswith("data.pkl") else inside)
    return load(path)


def damaged(count: int, seed: int, folder: Path) -> Outcomes:
    """Corrupted checkpoints."""
    yield from check_all(check_damaged, count, seed, folder)


def change(content: Content, keys: tuple[Any, ...], value: object) -> Content:
    """Return the same content with one value replaced."""
    key, *rest = keys
    return {**content, key: change(content[key], tuple(rest), value) if rest else value}


def laughs() -> list[object]:
    """Return a nested list with a billion items."""
    some: list[object] = [0] * 10
    for _ in range(8):
        some = [some] * 10
    return some


VALUES: list[Callable[[], object]] = [
    lambda: None,
    lambda: -1,
    lambda: 2**70,
    lambda: 10**30,
    lambda: math.nan,
    lambda: math.inf,
    lambda: "",
    lambda: "x" * 100_000,
    lambda: "a\nb\x1b[31m[red]",
    lambda: "\ud800",
    list,
    lambda: [[1]],
    dict,
    lambda: {1: 2},
    lambda: True,
    lambda: [100_000, 100_000],
    lambda: [99_999] * 3,
    lambda: [1] * 300_000,
    tuple,
    laughs,
    lambda: torch.zeros(3),
    lambda: torch.full((1000,), math.nan),
    lambda: torch.zeros(1).expand(100_000, 100_000),
    lambda: torch.zeros(8, 784, dtype=torch.float64),
    lambda: torch.zeros(8, 784, dtype=torch.complex64),
    lambda: torch.zeros(8, 784, dtype=torch.int64),
    lambda: torch.zeros(8, 784, dtype=torch.bool),
    lambda: torch.zeros(8, 784, dtype=torch.bfloat16),
    lambda: torch.full((8, 784), math.nan),
    lambda: torch.full((8, 784), 3e38),
    lambda: torch.zeros(1).expand(8, 784),
    lambda: torch.zeros(8, 784).to_sparse(),
    lambda: torch.zeros(8, 784, device="meta"),
    lambda: torch.quantize_per_tensor(torch.zeros(8, 784), 0.1, 0, torch.qint8),
    lambda: nn.Parameter(torch.zeros(8, 784)),
]


def places(content: object, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the keys that lead to every value of nested dicts."""
    if not isinstance(content, dict):
        return [before]
    return [before, *(place for key, value in content.items() for place in places(value, (*before, key)))]


def check_changed(seed: int, number: int, folder: Path) -> str | None:
    """Load a checkpoint with one or two invalid values."""
    devices.silence_compiler()
    generator = random.Random(f"{seed}/{number}")
    content = torch.load(io.BytesIO(good(generator.choice(("linear", "mlp", "cnn")))), weights_only=True)
    path = folder / "last.pt"
    for _ in range(generator.choice((1, 1, 1, 2))):
        keys = generator.choice(places(content)[1:])
        if generator.random() < 0.15:
            *before, last = keys
            inside = functools.reduce(lambda value, key: value[key], before, content)
            content = (
                change(content, tuple(before), {key: value for key, value in inside.items() if key != last})
                if before
                else {key: value for key, value in inside.items() if key != last}
            )
        else:
            with warnings.catch_warnings(action="ignore"):
                content = change(content, keys, generator.choice(VALUES)())
    with warnings.catch_warnings(action="ignore"):
        torch.save(content, path)
    return load(path)


def changed(count: int, seed: int, folder: Path) -> Outcomes:
    """Checkpoints with a wrong value."""
    yield from check_all(check_changed, count, seed, folder)


def plant(folder: Path) -> dict[str, Callable[[Path], object]]:
    """Return functions that write malicious checkpoints; code in them leaves a mark in `folder` when it runs."""
    mark = str(folder / "mark")
    calls = {
        "os.system": RunsCode(os.system, f"touch {mark}"),
        "eval": RunsCode(eval, f"open({mark!r}, 'w')"),
        "exec": RunsCode(exec, f"open({mark!r}, 'w')"),
        "open": RunsCode(open, mark, "w"),
        "mkdir": RunsCode(os.mkdir, mark),
        "import": RunsCode(__import__, "antigravity"),
        "torch.load": RunsCode(torch.load, mark),
        "torch.save": RunsCode(torch.save, {}, mark),
        "write_text": RunsCode(Path.write_text, Path(mark), "x"),
        "getattr": RunsCode(getattr, "x", "upper"),
    }
    ways: dict[str, Callable[[Path], object]] = {}
    for name, call in calls.items():
        for key in ("format", "weights", "trainer"):
            ways[f"{name} in {key}"] = functools.partial(
                lambda path, key, call: torch.save(
                    {**torch.load(io.BytesIO(good("mlp")), weights_only=True), key: call}, path
                ),
                key=key,
                call=call,
            )
        ways[f"{name} as a bare pickle"] = functools.partial(
            lambda path, call: path.write_bytes(pickle.dumps(call)), call=call
        )
        ways[f"{name} in an old file"] = functools.partial(
            lambda path, call: torch.save({"a": call}, path, _use_new_zipfile_serialization=False), call=call
        )
    ways["a module"] = lambda path: torch.save(nn.Linear(2, 2), path)
    ways["a script"] = lambda path: torch.jit.script(nn.Linear(2, 2)).save(str(path))
    ways["a small zip of 128 MB"] = lambda path: bomb(path, 1 << 27)
    ways["a zip of 100 gigabytes"] = lambda path: overlapping(path)
    ways["a zip with a pickle that unpacks to 128 MB"] = lambda path: bomb(path, 1 << 27, "archive/data.pkl")
    ways["an empty zip"] = lambda path: zipfile.ZipFile(path, "w").close()
    for name in ("/dev/zero", "/dev/null", "/dev/full"):
        ways[name] = functools.partial(lambda path, name: path.symlink_to(name), name=name)
    ways["a pipe"] = os.mkfifo
    ways["a loop"] = lambda path: path.symlink_to(path)
    ways["a folder"] = os.mkdir
    return ways


def bomb(path: Path, size: int, name: str = "archive/data/0") -> None:
    """Write a small checkpoint with something that unpacks to `size` bytes in it."""
    with zipfile.ZipFile(io.BytesIO(good("mlp"))) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for entry in old.namelist():
            inside = old.read(entry)
            prefix = entry.split("/")[0]
            if entry == name.replace("archive", prefix):
                with new.open(entry, "w", force_zip64=True) as file:
                    for _ in range(size >> 20):
                        file.write(bytes(1 << 20))
            else:
                new.writestr(entry, inside)


def overlapping(path: Path) -> None:
    """Write a zip whose table of contents names the same megabyte 100,000 times."""
    inside = bytes(1 << 20)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("last/data/0", inside)
        entry = archive.infolist()[0]
        for number in range(1, 100_000):
            again = zipfile.ZipInfo(f"last/data/{number}")
            again.file_size = again.compress_size = entry.file_size
            again.CRC, again.header_offset = entry.CRC, entry.header_offset
            archive.filelist.append(again)


def check_planted(seed: int, number: int, folder: Path) -> str | None:
    """Load a checkpoint that would run code or fill the memory, or a path that is not a file."""
    ways = plant(folder)
    name = list(ways)[number % len(ways)]
    path = folder / f"planted-{number}.pt"
    with warnings.catch_warnings(action="ignore"):
        ways[name](path)
    try:
        checkpoints.load(path)
        failure: str | None = "it was opened"
    except CheckpointError as error:
        failure = unclear(error, path)
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()
    if (folder / "mark").exists() or "antigravity" in sys.modules:
        return f"{name}: the planted code ran"
    return failure and f"{name}: {failure}"


def planted(count: int, seed: int, folder: Path) -> Outcomes:
    """Checkpoints that would run code, bombs, and paths that are not files."""
    yield from check_all(check_planted, min(count, len(plant(folder))), seed, folder)


def check_idx(seed: int, number: int, folder: Path) -> str | None:
    """Parse a corrupted IDX file, and install one."""
    generator = random.Random(f"{seed}/{number}")
    count = generator.randrange(4)
    content = struct.pack(">BBBBIII", 0, 0, 8, 3, count, 28, 28) + bytes(count * 784)
    raw = mutate(content, generator)
    try:
        array = mnist_files.parse(raw, "file")
        if array.size + 4 + 4 * array.ndim != len(raw):
            return f"{len(raw)} bytes became {array.shape}"
    except DataError:
        pass
    source = folder / f"{mnist_files.VAL_LABELS.name}{generator.choice(('', '.gz', '.xz'))}"
    source.write_bytes(raw)
    try:
        mnist_files.install_from_folder(mnist_files.VAL_LABELS, folder / "data", folder)
    except DataError:
        source.unlink()
        return None
    return "a file that is not the published one was installed"


def damaged_idx(count: int, seed: int, folder: Path) -> Outcomes:
    """Corrupted IDX files."""
    yield from check_all(check_idx, count, seed, folder)


TOML_VALUES = (
    "1e400", "nan", "-inf", "-1", "0", "99999", "9" * 5000, "true", "'x'", "[]", "[[1]]", "{a=1}", "[1.5]", "[0]",
    "[" * 3000 + "]" * 3000, "1979-05-27", "07:32:00", '"\\u0000"', "0x7fffffffffffffffffff", "[100000]", "[99999, 99999]",
    "[1, true]", "'" + "x" * 100_000 + "'", "1e308",
)  # fmt: skip


def check_toml(seed: int, number: int, folder: Path) -> str | None:
    """Read a corrupted configuration, or one with an unusual value."""
    generator = random.Random(f"{seed}/{number}")
    settings = config.resolve(generator.choice(list(PRESETS)), None, {})
    lines = config.to_toml(settings).encode().splitlines()
    if number % 2:
        content = mutate(b"\n".join(lines), generator)
    else:
        place = generator.randrange(len(lines))
        lines[place] = lines[place].split(b"=")[0] + b"= " + generator.choice(TOML_VALUES).encode()
        content = b"\n".join(lines)
    path = folder / "config.toml"
    path.write_bytes(content)
    try:
        read = config.resolve(None, path, {})
        with torch.device("meta"):
            architectures.build_from(read)
    except ConfigError as error:
        return None if len(str(error)) < 600 and "\n" not in str(error) else f"its sentence is {str(error)[:900]!r}"
    path.write_text(config.to_toml(read))
    if config.resolve(None, path, {}) != read:
        return f"it was read as {read}"
    json.dumps(asdict(read), allow_nan=False)
    return None


def damaged_toml(count: int, seed: int, folder: Path) -> Outcomes:
    """Corrupted configurations."""
    yield from check_all(check_toml, count, seed, folder)
