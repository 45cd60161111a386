"""Disks that are full, read-only or lost, and files where folders should be: each is one error and no temporary file."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from torture import Outcomes, Skipped, spread
from torture.pictures import drawn
from torture.program import TINY, mnist, start, unpacked

SIZES = ("4k", "200k", "500k")  # of the disks that are filled
LARGE = {("download", "500k"): "12m"}  # disks on which a command writes more before it fails
# Commands whose output fits on the disk.
FITTING = {("train", "500k"), *((name, size) for name in ("explain", "samples") for size in ("200k", "500k"))}
IN_THE_WAY = (
    ("train", "checkpoints"),
    ("train", "runs"),
    ("download", "data"),
    ("explain", "why"),
    ("report", "report"),
)

Commands = dict[str, tuple[object, ...]]


def disks(count: int, seed: int, folder: Path) -> Outcomes:
    """Run the commands that write files on such disks."""
    drawn("RGB").save(folder / "seven.png")
    commands = _commands(folder, unpacked(folder))
    for number, trial in spread(_trials(commands, folder), count):
        fault = trial()
        yield fault and f"trial {number}: {fault}"


def _commands(folder: Path, data_dir: Path) -> Commands:
    return {
        "train": ("train", *TINY, "--epochs", "2", "--name", "one", "--data-dir", data_dir),
        "resume": ("train", "--resume", "checkpoints/one/last.pt", "--epochs", "9", "--data-dir", data_dir),
        "train on": ("train", *TINY, "--epochs", "300", "--name", "one", "--data-dir", data_dir),
        "download": ("download", "--offline", "--data-dir", "data"),
        "explain": ("predict", folder / "seven.png", "--explain", "why"),
        "report": ("evaluate", "pretrained", "--data-dir", data_dir, "--report", "report"),
        "export": ("export", "pretrained", "--data-dir", data_dir, "--output", "model.onnx"),
        "samples": ("samples", "samples"),
    }


def _trials(commands: Commands, folder: Path) -> list[Callable[[], str | None]]:
    trials: list[Callable[[], str | None]] = []
    for name in ("train", "download", "explain", "report", "export", "samples"):
        sizes = [LARGE.get((name, size), size) for size in SIZES if (name, size) not in FITTING]
        for options in (*(f"size={size}" for size in sizes), "ro,size=1m"):
            trials.append(partial(_fails_on_disk, commands[name], options, folder))
    trials += [partial(trial, commands, folder) for trial in (_full_later, _removed, _without_home)]
    trials += [partial(_with_a_file, commands[name], name, path, folder) for name, path in IN_THE_WAY]
    return trials


@contextmanager
def mounted(path: Path, options: str) -> Iterator[Path]:
    """Mount a small disk in memory; raises Skipped where that is not allowed."""
    path.mkdir(exist_ok=True)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise Skipped(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def _fails_on_disk(command: tuple[object, ...], options: str, folder: Path) -> str | None:
    """Run a command on a small or a read-only disk."""
    with mounted(folder / "disk", options) as disk:
        return _fails_cleanly(disk, command, folder)


def _full_later(commands: Commands, folder: Path) -> str | None:
    """Resume a run on a disk that has become full: the checkpoint stays as it was."""
    with mounted(folder / "disk", "size=2m") as disk:
        if fault := mnist(disk, *commands["train"], said=folder / ".said").fault(0):
            return fault
        before = (disk / "checkpoints/one/last.pt").read_bytes()
        with suppress(OSError), open(disk / "fill", "wb") as fill:
            while True:
                fill.write(bytes(4096))
                fill.flush()
        fault = _fails_cleanly(disk, commands["resume"], folder)
        kept = (disk / "checkpoints/one/last.pt").read_bytes() == before
        return fault or (None if kept else "the earlier checkpoint is gone")


def _with_a_file(command: tuple[object, ...], name: str, path: str, folder: Path) -> str | None:
    """Run a command where a file stands in the place of a folder that it would write to."""
    inside = folder / f"{name} with a file for {path}"
    inside.mkdir()
    (inside / path).write_text("in the way")
    fault = _fails_cleanly(inside, command, folder)
    return fault or (None if (inside / path).read_text() == "in the way" else "the file was changed")


def _removed(commands: Commands, folder: Path) -> str | None:
    """Remove the folders of a run while it is trained."""
    inside = folder / "removed"
    inside.mkdir()
    started = mnist(inside, *commands["train on"], said=folder / ".said")
    while not (inside / "runs/one/metrics.csv").exists() and started.process.is_alive():
        time.sleep(0.05)
    for path in sorted(inside.rglob("*"), reverse=True):
        with suppress(OSError):
            path.rmdir() if path.is_dir() else path.unlink()
    time.sleep(1)
    started.signal(signal.SIGTERM)
    return started.fault(0, 1, 143)


def _without_home(commands: Commands, folder: Path) -> str | None:
    """Run a command for a user without a home folder."""

    def work() -> None:
        for name in ("HOME", "USER", "LOGNAME", "XDG_CACHE_HOME"):
            os.environ.pop(name, None)
        os.environ["HOME"] = "/nowhere/at/all"
        code = "from mnist_cli.cli import app; app()"
        subprocess.run([sys.executable, "-c", code, *map(str, commands["report"])], check=True)

    return start(work, folder).fault(0)


def _fails_cleanly(place: Path, command: tuple[object, ...], folder: Path) -> str | None:
    """Run a command in a folder where it must fail: it prints one error, exits with 1 and leaves no temporary file."""
    started = mnist(place, *command, said=folder / ".said")
    if fault := started.fault(1):
        return fault
    errors = [line for line in started.said.read_text().splitlines() if line.startswith("Error: ")]
    left = [path.name for path in place.rglob(".*") if path.name != ".said"]
    if len(errors) != 1:
        return f"{len(errors)} errors were printed: {started.said.read_text()[-500:]!r}"
    return f"it left {left}" if left else None
