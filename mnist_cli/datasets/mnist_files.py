"""The four files of MNIST on disk: their published checksums, and how they are installed without a network.

They are in torchvision's layout, `<data_dir>/MNIST/raw/train-images-idx3-ubyte` and so on, so that each program can read
the files of the other. A file is used only if its content has the published SHA-256, and replaced only if it is a corrupted
copy of MNIST. Standard library only, except in `parse`, so that `mnist download` starts fast on a complete folder.
"""

import gzip
import hashlib
import lzma
import math
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files as package_files
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from mnist_cli.errors import DataError
from mnist_cli.files import naming, replacing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Split = Literal["train", "val"]
UINT8 = 8  # the type code of IDX for unsigned bytes
IMAGE_BYTES = 784  # of one image in the files


@dataclass(frozen=True)
class IdxFile:
    """One of the four files, as published by LeCun, Cortes and Burges."""

    name: str
    size: int  # bytes
    sha256: str
    archive_size: int  # bytes of the published <name>.gz
    archive_md5: str

    @property
    def names(self) -> tuple[str, str]:
        """The name in this program and in torchvision, and that of older copies, such as Kaggle's `train-images.idx3-ubyte`."""
        return self.name, self.name.replace("-idx", ".idx")


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
    """Return the path of the partial download of the archive of a file."""
    return raw_dir(data_dir) / f"{file.name}.gz.part"


def holds_mnist(data_dir: Path) -> bool:
    """Return whether the raw folder has at least one file with the name of an MNIST file, raw or packed."""
    return any(os.path.lexists(raw_dir(data_dir) / f"{file.name}{suffix}") for file in FILES for suffix in OPENERS)


def find_fault(path: Path, file: IdxFile) -> str | None:
    """Return how the file at `path` differs from the published one, or None when it does not.

    Only a regular file of the right size is read.
    """
    if not path.is_file():
        return "is not a regular file" if os.path.lexists(path) else "is missing"
    if fault := _find_fault_in_size(path.stat().st_size, file):
        return fault
    with path.open("rb") as content, naming(path):
        return _find_fault_in_hash(hashlib.file_digest(content, "sha256").hexdigest(), file)


def find_fault_in(content: bytes, file: IdxFile) -> str | None:
    """Return how `content` differs from the published file, or None when it does not."""
    return _find_fault_in_size(len(content), file) or _find_fault_in_hash(hashlib.sha256(content).hexdigest(), file)


def _find_fault_in_size(size: int, file: IdxFile) -> str | None:
    if size > file.size:
        return f"has more than {file.size:,} bytes"
    return f"has {size:,} bytes, expected {file.size:,}" if size < file.size else None


def _find_fault_in_hash(sha256: str, file: IdxFile) -> str | None:
    return None if sha256 == file.sha256 else f"has SHA-256 {sha256[:12]}…, expected {file.sha256[:12]}…"


def find_faults(data_dir: Path, files: Sequence[IdxFile] = FILES) -> dict[IdxFile, str]:
    """Read `files` and return what is wrong with each that cannot be used."""
    faults = {file: find_fault(raw_dir(data_dir) / file.name, file) for file in files}
    return {file: fault for file, fault in faults.items() if fault}


def read(data_dir: Path | None, file: IdxFile) -> bytes:
    """Return the verified content of a file; without a folder, of the copy that ships with the package.

    Raises DataError when it is missing or not the published one.
    """
    if data_dir is None:
        return read_bundled(file)
    path = raw_dir(data_dir) / file.name
    if not path.is_file():
        raise DataError(f"{path} {find_fault(path, file)}; run `mnist download`")
    with path.open("rb") as opened, naming(path):
        content = opened.read(file.size + 1)
    if fault := find_fault_in(content, file):
        raise DataError(f"{path} {fault}; run `mnist download`")
    return content


def read_bundled(file: IdxFile) -> bytes:
    """Return the content of the copy that ships with the package."""
    return lzma.decompress((package_files("mnist_cli") / "bundled" / f"{file.name}.xz").read_bytes())


def is_damaged_copy(found: bytes, published: bytes) -> bool:
    """Return whether `found` is a corrupted copy of `published`, so that nothing is lost when that replaces it.

    It is one when it is truncated (even to nothing), also when the rest is filled with zeros, as after a power cut; when it
    is complete and followed by less than another image; and when it is a `.gz` archive of one of these, complete or
    truncated, under the name of its content. More than `published` and one image of `found` is not needed.

    It is not one when bytes in the middle differ: ten labels that the user corrected look like ten flipped bits.
    """
    if found.startswith(b"\x1f\x8b"):
        archive = zlib.decompressobj(wbits=31)
        try:
            found = archive.decompress(found, len(published) + IMAGE_BYTES)
        except zlib.error:
            return False
        if not found or archive.unused_data:
            return False
    if len(found) >= len(published) + IMAGE_BYTES:  # at least another image
        return False
    return found.startswith(published) or published.startswith(found.rstrip(b"\0"))


def check_replaceable(data_dir: Path, files: Sequence[IdxFile]) -> None:
    """Raise DataError for the first of `files` that exists and may be the user's own data, which must not be replaced."""
    for file in files:
        path = raw_dir(data_dir) / file.name
        if not os.path.lexists(path):
            continue
        if not path.is_file():
            what = "is not a regular file"
        else:
            with path.open("rb") as opened, naming(path):
                found = opened.read(file.size + IMAGE_BYTES)
            if is_damaged_copy(found, read_bundled(file)):
                continue
            what = _describe(found)
        raise DataError(
            f"{path} {what} and is left as it is; move it away or name another --data-dir "
            "(pictures of your own go with `mnist train --extra`)"
        )


def _describe(content: bytes) -> str:
    """Return what kind of file has this content, which is not MNIST."""
    try:
        shape, _ = parse_header(content, "")
    except DataError:
        return "is neither MNIST nor another IDX file of unsigned bytes"
    return f"is an IDX file of {' x '.join(f'{size:,}' for size in shape)} bytes other than MNIST's"


def unpack(path: Path, limit: int) -> bytes:
    """Return the content of a raw, .gz or .xz file, `limit` bytes at most: a small archive can unpack to any size.

    Raises DataError when the archive is corrupted.
    """
    try:
        with naming(path), OPENERS.get(path.suffix, open)(path, "rb") as file:
            return file.read(limit)
    except (EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error) as error:
        raise DataError(f"{path} cannot be unpacked: {error}") from error


def install(content: bytes, file: IdxFile, data_dir: Path, source: str) -> None:
    """Verify `content` and write it to its path.

    Raises DataError, naming `source`, when it is not the published file.
    """
    if fault := find_fault_in(content, file):
        raise DataError(f"{source} {fault}")
    with replacing(raw_dir(data_dir) / file.name) as target:
        target.write(content)
    part_path(data_dir, file).unlink(missing_ok=True)


def install_bundled(file: IdxFile, data_dir: Path) -> None:
    """Unpack the copy that ships with the package."""
    install(read_bundled(file), file, data_dir, source=f"the bundled {file.name}.xz")


def install_from_folder(file: IdxFile, data_dir: Path, folder: Path) -> None:
    """Install the file from a folder of raw, .gz or .xz files, in the folder itself or in torchvision's layout below it.

    Raises DataError when the folder has no such file or its content is not the published one.
    """
    fault = DataError(f"{folder} has no {file.name}, {file.name}.gz or {file.name}.xz")
    for path in packed_paths(file, folder):
        try:
            install(unpack(path, file.size + 1), file, data_dir, source=str(path))
            return
        except DataError as error:
            fault = error
    raise fault


def packed_paths(file: IdxFile, folder: Path) -> list[Path]:
    """Return the paths at which a folder has the file, raw, .gz or .xz, under its names and also in torchvision's layout."""
    paths = (
        parent / f"{name}{suffix}" for parent in (folder, raw_dir(folder)) for name in file.names for suffix in OPENERS
    )
    return [path for path in paths if path.is_file()]


def repair(data_dir: Path, files: Sequence[IdxFile] = FILES) -> dict[IdxFile, str]:
    """Replace each of `files` that is missing or a corrupted copy by the one that ships with the package.

    Returns what was wrong with each file that was replaced. No network is used.

    Raises DataError, with nothing written, when one of the four files of MNIST has other data.
    """
    faults = find_faults(data_dir, files)
    if faults:
        check_replaceable(data_dir, list(find_faults(data_dir)))
    for file in faults:
        install_bundled(file, data_dir)
    return faults


def load(data_dir: Path | None, split: Split) -> "tuple[NDArray[np.uint8], NDArray[np.uint8]]":
    """Return the images (N, 1, 28, 28) and labels (N,) of a split, from verified files, which `read` finds.

    Raises DataError when a file is missing or corrupted; `repair` replaces it.
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

    shape, header = parse_header(raw, source)
    if len(raw) - header != math.prod(shape):
        raise DataError(f"{source} has {len(raw) - header:,} values, its header says {math.prod(shape):,}")
    # A bytearray, because tensors that share this memory have to be writable.
    return np.frombuffer(bytearray(raw), dtype=np.uint8, offset=header).reshape(shape)


def parse_header(raw: bytes, source: str) -> tuple[tuple[int, ...], int]:
    """Return the shape in the header of an IDX file, and the size of the header in bytes."""
    if len(raw) < 4 or raw[:3] != bytes([0, 0, UINT8]):
        raise DataError(f"{source} is not an IDX file of unsigned bytes")
    axes = raw[3]
    header = 4 + 4 * axes  # bytes
    if len(raw) < header:
        raise DataError(f"{source} ends inside its header")
    return struct.unpack_from(f">{axes}I", raw, offset=4), header
