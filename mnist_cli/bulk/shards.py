"""The kinds of shards: a list of files, a tar archive, rows of a Parquet file, images of an IDX file.

A shard is small and can be sent to another process, which reads its pictures, always in the same order.
"""

import importlib
import json
import math
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, Literal, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from mnist_cli.bulk import places, tables
from mnist_cli.errors import DataError, ImageError, first_line, missing
from mnist_cli.pictures import decode, rare_formats
from mnist_cli.recognition.result import Result
from mnist_cli.recognition.sources import Source

Named = tuple[str, Source | ImageError]  # a picture and its name
NamedResult = tuple[str, Result]
BATCH_ROWS = 64  # of a Parquet file that are in memory at a time
PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\xfd7zXZ": "lzma"}  # the first bytes of packed files, and the modules


class Shard(Protocol):
    """Some pictures that are read together and become one part."""

    @property
    def source(self) -> str:
        """The file that the pictures are in, for errors."""

    @property
    def identity(self) -> str:
        """What distinguishes it from other shards."""

    def pictures(self) -> Iterator[Named]:
        """Yield the pictures with their names; may raise any error when the source is missing or corrupted."""


def read(shard: Shard) -> Iterator[Named]:
    """Yield the pictures of a shard with their names; one that is missing is an ImageError.

    Raises DataError, naming the source, when the shard cannot be read.
    """
    with described(shard.source):
        yield from shard.pictures()


@contextmanager
def described(source: str) -> Iterator[None]:
    """Raise any error of reading `source` in the block as a DataError that names it."""
    try:
        yield
    except ImportError as error:
        raise missing(source, error, "parquet") from error
    # Decompressors, tarfile, pyarrow and the file systems of fsspec raise almost any exception.
    except Exception as error:
        reason = getattr(error, "strerror", None) or first_line(error)
        if isinstance(error, FileNotFoundError):  # of which some file systems have no text
            reason = "there is no such file"
        raise DataError(f"{source}: {reason}") from error


@dataclass(frozen=True)
class Files:
    """Picture files and URLs of pictures."""

    root: str  # the folder that relative paths are relative to
    packed: bytes  # the names, compressed: a million of them would take 100 MB

    @classmethod
    def of(cls, names: list[str], root: str) -> "Files":
        """Return the shard of these files."""
        return cls(root, zlib.compress(json.dumps(names).encode(), 1))

    @classmethod
    def joined(cls, shards: "Sequence[Files]") -> "Files":
        """Return one shard of the files of several."""
        return cls.of([name for shard in shards for name in shard.names], shards[0].root)

    @property
    def names(self) -> list[str]:
        """The names as the user typed them, or as they were found below a folder."""
        return cast("list[str]", json.loads(zlib.decompress(self.packed)))

    @property
    def source(self) -> str:
        """The first file."""
        return self.names[0]

    @property
    def identity(self) -> str:
        """The folder and all names."""
        return "\0".join([self.root, *self.names])

    def pictures(self) -> Iterator[Named]:
        """Yield the files in order."""
        for name in self.names:
            yield name, places.picture(name, self.root)


@dataclass(frozen=True)
class Archive:
    """The pictures in a tar archive, packed or not; other files in it, and hidden ones, are left out."""

    source: str
    root: str

    @property
    def identity(self) -> str:
        """The path."""
        return os.path.join(self.root, self.source)

    def pictures(self) -> Iterator[Named]:
        """Yield the pictures in the order of the archive, as `archive.tar/name.png`."""
        import tarfile  # which the pictures of files do not need

        readable = decode.SUFFIXES | rare_formats.suffixes()
        with places.open_file(self.source, self.root) as file, _unpacked(file) as unpacked:
            stream = _Stream(unpacked)
            mode: Literal["r:", "r|"] = (
                "r:" if unpacked is file else "r|"
            )  # the second one only goes forward, and is slow
            with tarfile.open(fileobj=cast("BinaryIO", stream), mode=mode) as archive:
                while (member := archive.next()) is not None:
                    archive.members = []  # type: ignore[attr-defined]  # which would grow with each file
                    hidden = os.path.basename(member.name).startswith(".")
                    if member.isreg() and not hidden and os.path.splitext(member.name)[1].lower() in readable:
                        content = archive.extractfile(member)
                        assert content is not None
                        yield f"{self.source}/{member.name}", places.content(cast("BinaryIO", content), member.size)
            if stream.has_ended:  # before the zeros that end every archive
                raise DataError("the archive is truncated")


class _Stream:
    """A file that remembers whether anything was read at its end."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell = file.seek, file.tell
        self.has_ended = False

    def read(self, size: int) -> bytes:
        content = self._file.read(size)
        self.has_ended |= not content
        return content


@contextmanager
def _unpacked(file: BinaryIO) -> Iterator[BinaryIO]:
    """Unpack a file while it is read, if its first bytes are those of a packed one."""
    start = file.read(6)
    file.seek(0)
    for magic, module in PACKED.items():
        if start.startswith(magic):
            with importlib.import_module(module).open(file) as unpacked:
                yield unpacked
            return
    yield file


@dataclass(frozen=True)
class Table:
    """Row groups of a Parquet file with a column of pictures."""

    source: str
    root: str
    first_group: int
    groups: int
    first_row: int  # from 0

    @property
    def identity(self) -> str:
        """The path and the row groups."""
        return f"{os.path.join(self.root, self.source)} {self.first_group} {self.groups}"

    def pictures(self) -> Iterator[Named]:
        """Yield the pictures in the order of the rows, as `table.parquet#0`."""
        import pyarrow.parquet as pq

        with places.open_file(self.source, self.root) as file:
            table = pq.ParquetFile(file)
            column = tables.image_column(table.schema_arrow)
            groups = range(self.first_group, self.first_group + self.groups)
            row = self.first_row
            for batch in table.iter_batches(BATCH_ROWS, row_groups=groups, columns=[column], use_threads=False):
                for cell in tables.cells(batch.column(0)):
                    yield f"{self.source}#{row}", cell
                    row += 1


def split_table(source: str, root: str, size: int) -> Iterator[Table]:
    """Yield the shards of a Parquet file, each of whole row groups and of `size` rows or more, if there are as many.

    Raises DataError when it cannot be read, or has no column of pictures.
    """
    with described(source), places.open_file(source, root) as file:
        import pyarrow.parquet as pq

        table = pq.ParquetFile(file)
        tables.image_column(table.schema_arrow)
        rows = [table.metadata.row_group(group).num_rows for group in range(table.metadata.num_row_groups)]
    first_group = first_row = 0
    for group in range(len(rows)):
        count = sum(rows[first_group : group + 1])
        if count >= size or group + 1 == len(rows):
            yield Table(source, root, first_group, group + 1 - first_group, first_row)
            first_group, first_row = group + 1, first_row + count


@dataclass(frozen=True)
class Images:
    """Some of the images in an IDX file, packed or not."""

    source: str
    root: str
    start: int
    stop: int

    @property
    def identity(self) -> str:
        """The path and the indices."""
        return f"{os.path.join(self.root, self.source)} {self.start} {self.stop}"

    def pictures(self) -> Iterator[Named]:
        """Yield the images in order, as `train-images-idx3-ubyte#0`."""
        with places.open_file(self.source, self.root) as file, _unpacked(file) as unpacked:
            shape, header = _idx_header(unpacked)
            area = math.prod(shape[1:])
            unpacked.seek(header + self.start * area)
            content = unpacked.read((self.stop - self.start) * area)
        if len(content) < (self.stop - self.start) * area:
            raise DataError("the file is truncated")
        images: NDArray[np.uint8] = np.frombuffer(content, np.uint8).reshape(-1, *shape[1:])
        for index, image in enumerate(images, self.start):
            yield f"{self.source}#{index}", image


def split_images(source: str, root: str, size: int) -> Iterator[Images]:
    """Yield the shards of an IDX file, each of `size` images at most; raises DataError when it holds none."""
    with described(source), places.open_file(source, root) as file, _unpacked(file) as unpacked:
        (count, *_), _ = _idx_header(unpacked)
    for start in range(0, count, size):
        yield Images(source, root, start, min(start + size, count))


def _idx_header(file: BinaryIO) -> tuple[tuple[int, ...], int]:
    from mnist_cli.datasets import mnist_files  # which the pictures of files do not need

    shape, header = mnist_files.parse_header(file.read(16), "the file")
    if len(shape) != 3 or not all(shape):
        raise DataError("an IDX file of images has three axes, and this one has the shape " + str(shape))
    return shape, header
