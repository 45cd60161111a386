"""Two containers that share a folder: programs with the same process id that write the same file at once."""

import os
import random
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from mnist_cli.datasets import labelled_pictures
from mnist_cli.files import replacing
from torture import Outcomes
from torture.program import start

SIZES = (0, 1, 4_096, 70_000, 3_000_000)
SECONDS = 0.3  # of writing in a trial
PROCESS_ID = 7  # the first programs of every container have the same ids


def in_container(work: Callable[[], None]) -> Callable[[], None]:
    """Return `work` for a process whose `os.getpid` returns the same id as in the other container."""

    def run() -> None:
        os.getpid = lambda: PROCESS_ID
        work()

    return run


def whole(generator: random.Random) -> bytes:
    """Return a file with its length and one repeated byte, so that a mixture of two files can be detected."""
    size = generator.choice(SIZES)
    return struct.pack(">IB", size, fill := generator.randrange(256)) + bytes([fill]) * size


def is_whole(content: bytes) -> bool:
    """Return whether a file was made by `whole`."""
    size, fill = struct.unpack_from(">IB", content)
    return content[5:] == bytes([fill]) * size


def replaced(place: Path, seed: str) -> str | None:
    """Replace one file from two containers while it is read."""
    path = place / "file"
    path.write_bytes(whole(random.Random(seed)))

    def write(number: int) -> Callable[[], None]:
        def work() -> None:
            generator, end = random.Random(f"{seed}/{number}"), time.monotonic() + SECONDS
            while time.monotonic() < end:
                with replacing(path) as file:
                    file.write(whole(generator))

        return in_container(work)

    writers = [start(write(number), place, place / f".said-{number}") for number in range(2)]
    while any(writer.process.is_alive() for writer in writers):
        if not is_whole(path.read_bytes()):
            return "a file was torn"
    faults = [writer.fault(0) for writer in writers]
    left = list(place.glob(".file.*"))
    return next(filter(None, faults), f"they left {left}" if left else None)


def collected(place: Path, seed: str) -> str | None:
    """Add rows to one table from two containers."""
    picture = np.full((40, 40, 1), 255, np.float32)
    picture[10:30, 18:22] = 0

    def work() -> None:
        corrections = labelled_pictures.Corrections(place)
        for _ in range(10):
            corrections.add(picture, random.Random(seed).randrange(10))

    writers = [start(in_container(work), place, place / f".said-{number}") for number in range(2)]
    if fault := next(filter(None, [writer.fault(0) for writer in writers]), None):
        return fault
    rows = len(labelled_pictures.load(place)[1])
    return None if rows == 20 else f"of 20 rows {rows} are there"


def writers(count: int, seed: int, folder: Path) -> Outcomes:
    """Write one file from two containers."""
    for number in range(count):
        with tempfile.TemporaryDirectory(dir=folder) as place:
            fault = (collected if number % 4 == 3 else replaced)(Path(place), f"{seed}/{number}")
        yield fault and f"number {number} of seed {seed}: {fault}"
