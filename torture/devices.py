"""Pipes, devices, folders, sockets and endless files wherever the program reads a file."""

import os
import socket
import tempfile
from collections.abc import Callable
from pathlib import Path

from mnist_cli import config
from mnist_cli.datasets import data_folder, labelled_pictures, mnist_files
from mnist_cli.errors import MnistError
from mnist_cli.models import backends, checkpoint_info, checkpoints
from mnist_cli.pictures import decode
from torture import Outcomes
from torture.bombs import FILE
from torture.workers import check_all

SPARSE_BYTES = 4 << 40


def sparse(path: Path) -> None:
    """Make a sparse file of four terabytes, or a smaller one if the file system does not support that size."""
    with path.open("wb") as file:
        for size in (SPARSE_BYTES, SPARSE_BYTES >> 8):
            try:
                file.truncate(size)
                return
            except OSError:
                continue


def bind(path: Path) -> None:
    """Make a socket."""
    with socket.socket(socket.AF_UNIX) as ours:
        directory = os.open(path.parent, os.O_RDONLY)
        ours.bind(f"/proc/self/fd/{directory}/{path.name}")  # the whole path may be too long for a socket
        os.close(directory)


MADE: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a folder": os.mkdir,
    "a socket": bind,
    "a loop": lambda path: path.symlink_to(path),
    "nothing": lambda path: path.symlink_to("/nowhere/at/all"),
    "4 TB": sparse,
    "an empty file": Path.touch,
    **{
        name: lambda path, name=name: path.symlink_to(name)  # type: ignore[misc]
        for name in ("/dev/zero", "/dev/null", "/dev/full", "/dev/random", "/dev/tty", "/proc/self/mem", "/proc/kcore")
    },
}


def in_table(path: Path) -> object:
    """Name a file in a table of pictures."""
    (path.parent / "labels.csv").write_text(f"path,digit\n{path.name},1\n")
    return labelled_pictures.load(path.parent)


def as_mnist(path: Path) -> object:
    """Use the file as one of MNIST's; it must not be changed."""
    data_dir = path.parent
    raw = mnist_files.raw_dir(data_dir)
    raw.mkdir(parents=True)
    path.rename(raw / path.name)
    return data_folder.prepare(data_dir, mnist_files.SPLITS["val"])


READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "a table": ("labels.csv", lambda path: labelled_pictures.load(path.parent)),
    "a table to write to": ("labels.csv", lambda path: labelled_pictures.Corrections(path.parent)),
    "a picture of a table": ("seven.png", in_table),
    "a picture": ("seven.png", decode.read),
    "a configuration": ("config.toml", lambda path: config.resolve(None, path, {})),
    "a checkpoint": ("last.pt", checkpoints.load),
    "a checkpoint's metadata": ("last.pt", checkpoint_info.read),
    "an ONNX file": ("model.onnx", backends.load),
    "an MNIST file": (mnist_files.VAL_LABELS.name, as_mnist),
    "an MNIST file to take": (
        f"{mnist_files.VAL_LABELS.name}.gz",
        lambda path: mnist_files.install_from_folder(mnist_files.VAL_LABELS, path.parent / "data", path.parent),
    ),
}
# Not errors: a missing or empty file is created.
HARMLESS = {
    ("a configuration", "an empty file"),
    ("a table to write to", "an empty file"),
    ("an MNIST file", "an empty file"),
    ("a table to write to", "nothing"),
}
CASES = [(reader, made) for reader in READERS for made in MADE]


def check_case(seed: int, number: int, folder: Path) -> str | None:
    """Read one of MADE instead of a file: it is refused in one sentence."""
    reader, made = CASES[number % len(CASES)]
    name, read = READERS[reader]
    place = Path(tempfile.mkdtemp(dir=folder))
    MADE[made](place / name)
    try:
        read(place / name)
    except (MnistError, OSError) as error:
        text = str(error)
        return None if str(place) in text and len(text) < 600 else f"{made} as {reader}: its sentence is {text[:900]!r}"
    return None if (reader, made) in HARMLESS else f"{made} as {reader} was read"


def devices(count: int, seed: int, folder: Path) -> Outcomes:
    """Pipes, devices, folders and sparse files as tables, pictures, configurations and models."""
    yield from check_all(check_case, min(count, len(CASES)), seed, folder, FILE)
