"""The four files of MNIST on disk: what must be in them, and how they get there without a network.

They lie in torchvision's layout, `<data_dir>/MNIST/raw/train-images-idx3-ubyte` and so on, so that either program
reads what the other wrote. A file is used only if its content has the published SHA-256. Standard library only, but for
`load`: `mnist download` on a complete folder answers at once.
"""

import gzip
import hashlib
import lzma
import math
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from mnist_cli.errors import DataError
from mnist_cli.files import replacing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Split = Literal["train", "val"]
UINT8 = 8  # the type code of IDX for unsigned bytes


@dataclass(frozen=True)
class IdxFile:
    """One of the four files, as published by LeCun, Cortes and Burges."""

    name: str
    size: int  # bytes
    sha256: str
    archive_size: int  # bytes of the published <name>.gz
    archive_md5: str


TRAIN_IMAGES = IdxFile(
    "train-images-idx3-ubyte",
    size=47_040_016,
    sha256="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    archive_size=9_912_422,
    archive_md5="f68b3c2dcbeaaa9fbdd348bbdeb94873",
)
TRAIN_LABELS = IdxFile(
    "train-labels-idx1-ubyte",
    size=60_008,
    sha256="65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    archive_size=28_881,
    archive_md5="d53e105ee54ea40749a09fcbcd1e9432",
)
VAL_IMAGES = IdxFile(
    "t10k-images-idx3-ubyte",
    size=7_840_016,
    sha256="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    archive_size=1_648_877,
    archive_md5="9fb629c4189551a2d022fa330f9573f3",
)
VAL_LABELS = IdxFile(
    "t10k-labels-idx1-ubyte",
    size=10_008,
    sha256="ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    archive_size=4_542,
    archive_md5="ec29112dd5afa0611ce80d1b7f02629c",
)
FILES = (TRAIN_IMAGES, TRAIN_LABELS, VAL_IMAGES, VAL_LABELS)
SPLITS: dict[Split, tuple[IdxFile, IdxFile]] = {
    "train": (TRAIN_IMAGES, TRAIN_LABELS),
    "val": (VAL_IMAGES, VAL_LABELS),
}
OPENERS: dict[str, Callable[[Path, Literal["rb"]], BinaryIO | gzip.GzipFile | lzma.LZMAFile]] = {
    "": open,
    ".gz": gzip.open,
    ".xz": lzma.open,
}


def raw_dir(data_dir: Path) -> Path:
    """Return the folder that holds the four files."""
    return data_dir / "MNIST" / "raw"


def part_path(data_dir: Path, file: IdxFile) -> Path:
    """Return where what was downloaded of the archive of a file waits for the rest."""
    return raw_dir(data_dir) / f"{file.name}.gz.part"


def find_fault(file: IdxFile, size: int, sha256: str) -> str | None:
    """Say how content of that size and hash differs from the published file, or return None when it does not."""
    if size > file.size:
        return f"has more than {file.size:,} bytes"
    if size < file.size:
        return f"has {size:,} bytes, expected {file.size:,}"
    if sha256 != file.sha256:
        return f"has SHA-256 {sha256[:12]}…, expected {file.sha256[:12]}…"
    return None


def find_fault_in(content: bytes, file: IdxFile) -> str | None:
    """Say how `content` differs from the published file."""
    return find_fault(file, len(content), hashlib.sha256(content).hexdigest())


def read(data_dir: Path, file: IdxFile) -> bytes:
    """Return the verified content of one file.

    Raises DataError when it is missing or is not the published one.
    """
    path = raw_dir(data_dir) / file.name
    if not path.is_file():
        raise DataError(f"{path} is missing; run `mnist download`")
    content = path.read_bytes()
    if fault := find_fault_in(content, file):
        raise DataError(f"{path} {fault}; run `mnist download`")
    return content


def find_faults(data_dir: Path, files: Sequence[IdxFile] = FILES) -> dict[IdxFile, str]:
    """Read `files` and say what is wrong with each that cannot be used."""
    faults = {}
    for file in files:
        path = raw_dir(data_dir) / file.name
        if not path.is_file():
            faults[file] = "is missing"
            continue
        with path.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        if fault := find_fault(file, path.stat().st_size, sha256):
            faults[file] = fault
    return faults


def unpack(path: Path, limit: int) -> bytes:
    """Return the content of a raw, .gz or .xz file, `limit` bytes at most: a small archive can unpack to any size.

    Raises DataError when the archive is damaged.
    """
    try:
        with OPENERS.get(path.suffix, open)(path, "rb") as file:
            return file.read(limit)
    except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"{path} cannot be unpacked: {error}") from error


def install(content: bytes, file: IdxFile, data_dir: Path, source: str) -> None:
    """Put `content` in its place, whole and verified.

    Raises DataError, naming `source`, when it is not the published file.
    """
    if fault := find_fault_in(content, file):
        raise DataError(f"{source} {fault}")
    with replacing(raw_dir(data_dir) / file.name) as target:
        target.write(content)
    part_path(data_dir, file).unlink(missing_ok=True)


def install_bundled(file: IdxFile, data_dir: Path) -> None:
    """Unpack the copy that ships with the package."""
    archive = package_files("mnist_cli") / "bundled" / f"{file.name}.xz"
    install(lzma.decompress(archive.read_bytes()), file, data_dir, source=str(archive))


def install_from_folder(file: IdxFile, data_dir: Path, folder: Path) -> None:
    """Take the file from a folder of raw, .gz or .xz files; torchvision's own layout below it is found too.

    Raises DataError when none of these is there or the content is not the published one.
    """
    fault = DataError(f"{folder} has no {file.name}, {file.name}.gz or {file.name}.xz")
    for place in (folder, raw_dir(folder)):
        for suffix in OPENERS:
            path = place / f"{file.name}{suffix}"
            if not path.is_file():
                continue
            try:
                install(unpack(path, file.size + 1), file, data_dir, source=str(path))
                return
            except DataError as error:
                fault = error
    raise fault


def repair(data_dir: Path, files: Sequence[IdxFile] = FILES) -> dict[IdxFile, str]:
    """Replace each of `files` that is missing or damaged by the copy that ships with the package.

    Returns what was wrong with each, empty when all was well. No network is used.
    """
    faults = find_faults(data_dir, files)
    for file in faults:
        install_bundled(file, data_dir)
    return faults


def load(data_dir: Path, split: Split) -> "tuple[NDArray[np.uint8], NDArray[np.uint8]]":
    """Return the images (N, 1, 28, 28) and labels (N,) of a split, from verified files.

    Raises DataError when a file is missing or damaged; `repair` mends both.
    """
    images, labels = (parse(read(data_dir, file), source=file.name) for file in SPLITS[split])
    return images[:, None], labels


def parse(raw: bytes, source: str) -> "NDArray[np.uint8]":
    """Return the array stored in an IDX file: (N, 28, 28) for images, (N,) for labels.

    Layout: two zero bytes, a type code (8 = uint8), the number of axes, then one big-endian uint32 per axis, then the
    values, last axis fastest (LeCun, Cortes and Burges, "The MNIST database of handwritten digits").

    Raises DataError, naming `source`, when the header and the length of `raw` disagree.
    """
    import numpy as np

    if len(raw) < 4 or raw[:3] != bytes([0, 0, UINT8]):
        raise DataError(f"{source} is not an IDX file of unsigned bytes")
    axes = raw[3]
    header = 4 + 4 * axes  # bytes
    if len(raw) < header:
        raise DataError(f"{source} ends inside its header")
    shape = struct.unpack_from(f">{axes}I", raw, offset=4)
    if len(raw) - header != math.prod(shape):
        raise DataError(f"{source} has {len(raw) - header:,} values, its header says {math.prod(shape):,}")
    # A bytearray, because tensors will share this memory, and they may be written to.
    return np.frombuffer(bytearray(raw), dtype=np.uint8, offset=header).reshape(shape)
