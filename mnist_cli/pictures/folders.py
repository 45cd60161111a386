"""The picture files in a folder, and the number of those that are left out."""

import os
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from os import PathLike
from typing import BinaryIO

from mnist_cli.pictures import decode, rare_formats

TIFF_SUFFIXES = (".tif", ".tiff")
MAX_PAGES = 1_000  # of a TIFF that are counted
# Formats that are never read; their files are counted, so that users learn why there is no result for them.
OTHER_FORMATS = {
    ".jxl": "JPEG XL",
    ".jp2": "JPEG 2000",
    ".svg": "SVG",
    ".pdf": "PDF",
    ".psd": "PSD",
    ".dng": "raw",
    ".cr2": "raw",
    ".nef": "raw",
    ".arw": "raw",
}


def find(folder: str | PathLike[str]) -> list[str]:
    """Return the picture files below a folder, hidden ones left out, and the folders that cannot be listed."""
    readable = decode.SUFFIXES | rare_formats.suffixes()
    unreadable: list[str] = []
    # Names, because as paths they would take five times the memory.
    names = [name for name in _walk(folder, unreadable) if suffix(name) in readable]
    return sorted(names + unreadable)


def count_left_out(folder: str | PathLike[str]) -> Counter[str]:
    """Return how many files below a folder are pictures in formats that this installation does not read, by format."""
    names = _walk(folder, [])
    return Counter(kind for name in names if (kind := rare_formats.left_out(name) or OTHER_FORMATS.get(suffix(name))))


def _walk(folder: str | PathLike[str], unreadable: list[str]) -> Iterator[str]:
    """Yield the files below a folder, hidden ones left out, and add the folders that cannot be listed to `unreadable`."""
    for parent, folders, files in os.walk(folder, onerror=lambda error: unreadable.append(error.filename)):
        folders[:] = (name for name in folders if not name.startswith("."))
        yield from (os.path.join(parent, name) for name in files if not name.startswith("."))


def suffix(name: str) -> str:
    """Return the suffix of a name in small letters, with its dot."""
    return os.path.splitext(name)[1].lower()


def describe_left_out(left_out: Mapping[str, int], read: Iterable[str]) -> str | None:
    """Return in one line how many files, and how many later pages of the files in `read`, are left out; None for none."""
    parts = []
    if left_out:
        hints = {str(name): f" ({hint})" for name, hint in rare_formats.HINTS.items()}
        by_count = sorted(left_out.items(), key=lambda item: (-item[1], item[0]))
        kinds = ", ".join(f"{count:,} {kind}{hints.get(kind, '')}" for kind, count in by_count)
        total = sum(left_out.values())
        parts.append(f"{total:,} {'file' if total == 1 else 'files'} left out: {kinds}")
    pages = sum(count_later_pages(name) for name in read if name.lower().endswith(TIFF_SUFFIXES))
    if pages:
        parts.append(
            f"{pages:,} later {'page' if pages == 1 else 'pages'} of TIFF files left out: the first one is read"
        )
    return "; ".join(parts) + "." if parts else None


def count_later_pages(path: str) -> int:
    """Return how many pages a TIFF has after the first, up to `MAX_PAGES`; 0 for any other file.

    The directories of the pages are a linked list: a number of entries, 12 bytes for each, the position of the next
    directory (TIFF 6.0, section 2). BigTIFF has wider numbers and entries of 20 bytes.
    """
    try:
        if not os.path.isfile(path):
            return 0
        with open(path, "rb") as file:
            return max(0, _count_pages(file) - 1)
    except (OSError, ValueError, struct.error):  # decoding the file will raise the error
        return 0


def _count_pages(file: BinaryIO) -> int:
    start = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(start[:2])
    if order is None:
        return 0
    is_big = struct.unpack_from(order + "H", start, 2)[0] == 43
    count_format, entry_bytes, position_format = (
        (order + "Q", 20, order + "Q") if is_big else (order + "H", 12, order + "I")
    )
    (position,) = struct.unpack_from(position_format, start, 8 if is_big else 4)
    seen: set[int] = set()
    while position and position not in seen and len(seen) <= MAX_PAGES:
        file.seek(position)
        (entries,) = struct.unpack(count_format, file.read(struct.calcsize(count_format)))
        seen.add(position)
        file.seek(entries * entry_bytes, os.SEEK_CUR)
        (position,) = struct.unpack(position_format, file.read(struct.calcsize(position_format)))
    return len(seen)
