"""File names that are not valid text or have control characters, in every command that prints them, in odd encodings."""

import csv
import io
import json
import os
import pty
import random
import re
import select
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from torture import Outcomes, elsewhere
from torture.pictures import drawn
from torture.program import TINY, mnist, unpacked

C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
ENVIRONMENTS: list[dict[str, str]] = [
    {"PYTHONIOENCODING": "cp1252"},
    C_LOCALE,
    {"LC_ALL": "C.UTF-8"},
    {"PYTHONIOENCODING": "ascii"},
    {"PYTHONIOENCODING": "utf-16"},
    {"PYTHONUTF8": "0", "LC_ALL": "POSIX"},
    {"PYTHONIOENCODING": "shift_jis"},
    {**C_LOCALE, "PYTHONIOENCODING": "latin-1:strict"},
    {"PYTHONIOENCODING": "utf-8:surrogateescape"},
    {"PYTHONIOENCODING": "cp437:backslashreplace"},
]
PIECES = [
    b"a", b"seven", b"-", b"--", b" ", b"  ", b"%s", b"[bold]", b"{}", b"$(x)", b"'", b'"', b"\\", b",", b";", b"=1+1", b"~", b".", b"..",
    "数字".encode(), "é".encode(), "é́".encode(), "🎉".encode(), "ﷺ".encode(), "م".encode(), "x\u0301\u0302".encode() * 9,
    b"\xff", b"\xfe\xff", b"\xc3", b"\xed\xa0\x80", b"\x9b", b"\x80", "数字".encode("gbk"), "\u00e9".encode("latin-1"),
    b"\x1b[31m", b"\x1b[2J", b"\x1b]0;title\x07", b"\x9b2J", "\u009b2J".encode(), "\u0085".encode(), b"\n", b"\r", b"\t", b"\x08", b"\x7f", b"\x01",
    "\u202e".encode(), "\u2066".encode(), "\u200f".encode(), "\u200b".encode(), "\u2028".encode(), "\ufeff".encode(), "\ufffe".encode(),
]  # fmt: skip
MAX_NAME_BYTES = 120  # so that endings and numbers can be added
# Characters that move the cursor, set the title or reverse text; allowed escapes are colours and those of a progress bar.
CONTROL = re.compile(
    "[\0-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]|\x1b(?!\\[[0-9;?]*[mKAhlG])"
)

Prepare = Callable[[Path, str, random.Random], list[object]]


def draw_name(generator: random.Random) -> str:
    """Return a name that a file may have."""
    name = b"".join(generator.choice(PIECES) for _ in range(generator.choice((1, 1, 2, 3, 9))))[:MAX_NAME_BYTES]
    return os.fsdecode(name if name.strip(b".") else b"x" + name)


def predict(folder: Path, name: str, generator: random.Random) -> list[object]:
    """Read a picture of that name, or one below a folder of that name."""
    path = folder / f"{name}.png" if generator.random() < 0.7 else folder / name / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    shutil.copy(folder.parent / "seven.png", path)
    options = generator.choice(([], ["--json"], ["--csv"], ["--many"], ["--many", "--csv"], ["--explain", "why"]))
    return ["predict", "--checkpoint", "pretrained", *options, "--", path.parent if path.parent != folder else path]


def predict_nothing(folder: Path, name: str, generator: random.Random) -> list[object]:
    """Name a picture, a checkpoint or a folder that is not there."""
    return generator.choice(
        (
            ["predict", "--checkpoint", "pretrained", "--", folder / name],
            ["predict", "--checkpoint", folder / name, "seven.png"],
            ["info", "--", name],
            ["runs", "--", name],
            ["evaluate", "--", f"{name}.pt"],
            ["train", *TINY, "--config", folder / name],
            ["train", *TINY, "--extra", folder / name],
            ["train", *TINY, "--model", name],
            ["train", f"--{name}"],
            [name],
            ["export", "pretrained", "--output", name],
        )
    )


def named_checkpoint(folder: Path, name: str, generator: random.Random) -> list[object]:
    """Use a checkpoint of that name."""
    path = folder / f"{name}.pt"
    shutil.copy(folder.parent / "checkpoints/tiny/last.pt", path)
    data = ["--data-dir", folder.parent / "data"]
    command = generator.choice((["info"], ["info", "--json"], ["evaluate", *data], ["evaluate", "pretrained", *data]))
    return [*command, "--", path]


def named_run(folder: Path, name: str, generator: random.Random) -> list[object]:
    """List, draw or use runs of that name."""
    for kind in ("checkpoints", "runs"):
        shutil.copytree(folder.parent / kind / "tiny", folder / kind / "tiny")
        shutil.copytree(folder.parent / kind / "tiny", folder / kind / name)
    return generator.choice((["runs"], ["runs", "--json"], ["runs", "--plot", f"{name}.png"], ["info", "--", name]))


def report(folder: Path, name: str, generator: random.Random) -> list[object]:
    """Write a report in a folder of that name, about a model of that name."""
    path = folder / f"{name}.pt"
    shutil.copy(folder.parent / "checkpoints/tiny/last.pt", path)
    return ["evaluate", "--report", folder / f"{name}.d", "--data-dir", folder.parent / "data", "--", path]


def train(folder: Path, name: str, generator: random.Random) -> list[object]:
    """Train in a folder of that name, or with pictures in one."""
    place = folder / name
    place.mkdir()
    shutil.copy(folder.parent / "seven.png", place / f"{name}.png")
    (place / "labels.csv").write_text("path,digit\n" + _csv_cell(f"{name}.png") + ",7\n", errors="surrogateescape")
    return ["train", *TINY, "--epochs", "1", "--extra", place, "--data-dir", folder.parent / "data", "--name", "one"]


def _csv_cell(text: str) -> str:
    row = io.StringIO()
    csv.writer(row, quoting=csv.QUOTE_ALL, lineterminator="").writerow([text])
    return row.getvalue()


# The commands, how often one is drawn, and the exit statuses that are right; some files of such names cannot be used.
COMMANDS: list[tuple[Prepare, int, tuple[int, ...]]] = [
    (predict, 10, (0,)),
    (predict_nothing, 6, (1, 2)),
    (named_checkpoint, 4, (0,)),
    (named_run, 4, (0,)),
    (report, 1, (0,)),
    (train, 1, (0, 1, 2)),  # that of a folder has to be text, because a configuration is
]


def on_terminal(folder: Path, arguments: list[object]) -> tuple[int, bytes]:
    """Run `mnist` on a terminal and return its exit status and what it shows."""
    ours, theirs = pty.openpty()
    started = mnist(folder, *arguments, said=Path(os.ttyname(theirs)))
    shown = b""
    while select.select([ours], [], [], 0.1 if started.process.is_alive() else 0)[0] or started.process.is_alive():
        if select.select([ours], [], [], 0)[0]:
            shown += os.read(ours, 65_536)
    os.close(theirs)
    os.close(ours)
    return started.end(), shown


def redirected(folder: Path, arguments: list[object]) -> tuple[int, bytes]:
    """Run `mnist` with both streams in a file."""
    started = mnist(folder, *arguments, said=folder.parent / ".said")
    return started.end(), started.said.read_bytes()


def find_fault(arguments: list[object], shown: bytes, encoding: str, is_terminal: bool, name: str) -> str | None:
    """Return what is wrong with the output of a command, or None."""
    text = shown.decode(encoding, "replace")
    if "Traceback" in text or "Exception ignored" in text:
        return "it ended in a traceback"
    if is_terminal and (found := CONTROL.search(text.replace("\r\n", "\n"))):
        return f"the terminal got {text[max(0, found.start() - 20) : found.end() + 9]!r}"
    if arguments[0] == "predict" and "--json" in arguments:
        paths = [json.loads(line)["path"] for line in text.splitlines() if line.startswith("{")]
        if [os.fsencode(Path(path).name) for path in paths] != [os.fsencode(f"{name}.png")]:
            return f"JSON has the paths {paths!r}"
    return None


def here(count: int, seed: int, folder: Path) -> Outcomes:
    """Run commands with odd names in this process's encoding."""
    encoding = sys.__stdout__.encoding if sys.__stdout__ else "utf-8"
    for number in range(count):
        generator = random.Random(f"{seed}/{number}")
        name = draw_name(generator)
        prepare, _, statuses = generator.choices(COMMANDS, [weight for _, weight, _ in COMMANDS])[0]
        is_terminal = generator.random() < 0.5 and encoding != "utf-16"  # terminals do not support it
        with tempfile.TemporaryDirectory(dir=folder) as place:
            arguments = prepare(Path(place), name, generator)
            status, shown = (on_terminal if is_terminal else redirected)(Path(place), arguments)
        fault = find_fault(arguments, shown, encoding, is_terminal, name)
        if fault is None and status not in statuses:
            fault = f"exit status {status}"
        yield fault and f"number {number} of seed {seed} in {encoding}, {arguments}: {fault}: {shown[-600:]!r}"


def encodings(count: int, seed: int, folder: Path) -> Outcomes:
    """Run commands with odd names in odd encodings, a part of the trials in each."""
    drawn("RGB").save(folder / "seven.png")
    trained = mnist(folder, "train", *TINY, "--epochs", "1", "--name", "tiny", "--data-dir", unpacked(folder))
    if fault := trained.fault(0):
        raise RuntimeError(fault)
    chosen = ENVIRONMENTS[: max(1, min(len(ENVIRONMENTS), count // 8))]
    for number, environment in enumerate(chosen):
        outcomes = elsewhere.run("torture.encodings:here", count // len(chosen), seed + number, folder, environment)
        yield from (outcome and f"{environment}: {outcome}" for outcome in outcomes)
