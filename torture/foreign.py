"""Folders of the user's own data under the file names of MNIST: they are never changed, and never used as MNIST."""

import gzip
import hashlib
import os
import random
import shutil
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path

from mnist_cli.datasets import data_folder, mnist_files
from mnist_cli.datasets.mnist_files import VAL_IMAGES, VAL_LABELS, IdxFile
from mnist_cli.errors import DataError
from torture import Outcomes
from torture.devices import sparse
from torture.pictures import drawn
from torture.program import mnist
from torture.workers import check_all

VAL = mnist_files.SPLITS["val"]
WHOLE_BYTES = 20_000_000  # a larger file is compared by its size and time only
Fill = Callable[[Path, random.Random], object]


def published(file: IdxFile) -> bytes:
    """Return the content of the published file."""
    if file not in _published:
        _published[file] = mnist_files.read_bundled(file)
    return _published[file]


_published: dict[IdxFile, bytes] = {}


def idx(*shape: int, generator: random.Random) -> bytes:
    """Return a valid IDX file of random bytes."""
    size = 1
    for axis in shape:
        size *= axis
    header = struct.pack(f">BBBB{len(shape)}I", 0, 0, 8, len(shape), *shape)
    return header + generator.randbytes(size)


def corrected(content: bytes, generator: random.Random) -> bytes:
    """Return a file in which the user has corrected a few bytes."""
    changed = bytearray(content)
    for _ in range(generator.choice((1, 10, 1_000))):
        changed[generator.randrange(16, len(changed))] ^= generator.randrange(1, 10)
    return bytes(changed)


# The user's own data under the name of one of MNIST's files, which must not be replaced.
OWN: dict[str, Callable[[IdxFile, random.Random], bytes]] = {
    "inverted": lambda file, _: published(file)[:16] + bytes(255 - byte for byte in published(file)[16:]),
    "another of its shape": lambda file, generator: published(file)[:16] + generator.randbytes(file.size - 16),
    "of another shape": lambda _, generator: idx(generator.randrange(1, 90), 28, 28, generator=generator),
    "of letters": lambda _, generator: idx(generator.randrange(1, 9_000), generator=generator),
    "corrected": lambda file, generator: corrected(published(file), generator),
    "longer": lambda file, generator: published(file) + generator.randbytes(784 * generator.randrange(1, 9)),
    "reversed": lambda file, _: published(file)[:16] + published(file)[:15:-1],
    "text": lambda _, generator: b"my notes\n" * generator.randrange(1, 99),
    "packed": lambda _, generator: gzip.compress(idx(9, 28, 28, generator=generator)),
    "a part, inverted": lambda file, _: published(file)[:16] + bytes(255 - byte for byte in published(file)[16:5_000]),
}
# Corrupted copies of MNIST, which are replaced.
DAMAGED: dict[str, Callable[[IdxFile, random.Random], bytes]] = {
    "cut off": lambda file, generator: published(file)[: generator.randrange(file.size)],
    "empty": lambda *_: b"",
    "filled with zeros": lambda file, generator: published(file)[: generator.randrange(file.size)].ljust(
        file.size, b"\0"
    ),
    "a little longer": lambda file, generator: published(file) + generator.randbytes(generator.randrange(1, 784)),
}


def layout(place: Path, file: IdxFile, generator: random.Random) -> Path:
    """Return a path for a file: in torchvision's layout, in that of Fashion-MNIST, or in the folder itself."""
    return generator.choice(
        (
            mnist_files.raw_dir(place) / file.name,
            mnist_files.raw_dir(place) / file.name,
            place / "FashionMNIST" / "raw" / file.name,
            place / file.name,
            place / f"{file.name.replace('-idx', '.idx')}.gz",
        )
    )


def fill(place: Path, generator: random.Random) -> bool:
    """Fill a folder, and return whether it may be used: it may if it has corrupted copies of MNIST and nothing else."""
    if generator.random() < 0.15:
        _fill_with_other_things(place, generator)
        return False
    is_own = generator.random() < 0.7
    for file in generator.choice(((VAL_IMAGES,), (VAL_LABELS,), VAL)):
        path = layout(place, file, generator) if is_own else mnist_files.raw_dir(place) / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(generator.choice(list((OWN if is_own else DAMAGED).values()))(file, generator))
    return not is_own


def _fill_with_other_things(place: Path, generator: random.Random) -> None:
    kind = generator.randrange(5)
    raw = mnist_files.raw_dir(place)
    if kind == 0:
        for digit in range(3):
            (place / str(digit)).mkdir()
            drawn("L", (28, 28)).save(place / str(digit) / "a.png")
    elif kind == 1:
        (place / "labels.csv").write_text("path,digit\na.png,7\n")
    elif kind == 2:
        raw.mkdir(parents=True)
        sparse(raw / VAL_LABELS.name)
    elif kind == 3:
        raw.mkdir(parents=True)
        os.mkfifo(raw / VAL_IMAGES.name)
    else:
        raw.mkdir(parents=True)
        (place / "mine").write_bytes(corrected(published(VAL_LABELS), generator))
        (raw / VAL_LABELS.name).symlink_to(generator.choice((place / "mine", Path("/dev/zero"))))


def snapshot(place: Path) -> dict[str, object]:
    """Return the content of a folder: names, kinds, times and hashes."""
    return {str(path.relative_to(place)): _facts(path) for path in sorted(place.rglob("*"))}


def _facts(path: Path) -> object:
    status = path.lstat()
    if path.is_symlink():
        return "link", os.readlink(path)
    if not path.is_file():
        return "other", status.st_mode
    content = hashlib.sha256(path.read_bytes()).hexdigest() if status.st_size < WHOLE_BYTES else None
    return "file", status.st_size, status.st_mtime_ns, content


def check_folder(seed: int, number: int, folder: Path) -> str | None:
    """Use such a folder as `data_dir`: a corrupted MNIST is repaired, and any other folder is not changed."""
    generator = random.Random(f"{seed}/{number}")
    place = Path(tempfile.mkdtemp(dir=folder))
    may_be_used = fill(place, generator)
    before = snapshot(place)
    try:
        data_folder.prepare(place, VAL)
        was_used = True
    except DataError as error:
        was_used = False
        if len(str(error)) > 600 or str(place) not in str(error):
            return f"its sentence is {str(error)[:900]!r}"
    after = snapshot(place)
    faults = mnist_files.find_faults(place, VAL) if was_used else {}
    shutil.rmtree(place)
    if was_used != may_be_used:
        return f"{list(before)} {'was used' if was_used else 'could not be used'}"
    if not was_used and after != before:
        return f"{list(before)} was changed: {sorted(set(after.items()) ^ set(before.items()))[:3]}"
    return f"{list(before)} was left as {faults}" if faults else None


def folders(count: int, seed: int, folder: Path) -> Outcomes:
    """Folders of other data."""
    yield from check_all(check_folder, count, seed, folder)


def commands(count: int, seed: int, folder: Path) -> Outcomes:
    """Commands on folders of other data: they are refused, and the folders stay as they are."""
    for number in range(count):
        generator = random.Random(f"{seed}/{number}")
        place = Path(tempfile.mkdtemp(dir=folder))
        if fill(place, generator):
            continue
        before = snapshot(place)
        command = generator.choice(
            (
                ["evaluate", "pretrained", "--data-dir"],
                ["train", "--train-size", "60", "--epochs", "1", "--data-dir"],
                ["export", "pretrained", "--output", "model.onnx", "--data-dir"],
                ["download", "--offline", "--data-dir"],
                ["download", "--offline", "--force", "--data-dir"],
            )
        )
        status = (1,) if command[0] != "download" else (0, 1)  # it may put MNIST beside other things, and says where
        fault = mnist(folder, *command, place).fault(*status)
        after = snapshot(place)
        changed = {name for name, facts in before.items() if after.get(name) != facts}
        if fault is None and changed:
            fault = f"it changed {sorted(changed)}"
        if fault is None and command[0] != "download" and after != before:
            fault = f"it put {sorted(set(after) - set(before))} there"
        shutil.rmtree(place)
        yield fault and f"number {number} of seed {seed}, {command} on {list(before)}: {fault}"
