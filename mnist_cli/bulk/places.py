"""Files on this machine and, through fsspec, elsewhere: `s3://`, `gs://`, `https://`, `memory://` and so on."""

import os
import re
from pathlib import Path
from typing import Any, BinaryIO, cast

from mnist_cli.errors import DataError, ImageError, first_line
from mnist_cli.files import open_regular
from mnist_cli.pictures.decode import MAX_FILE_BYTES

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # with two letters or more: C:// is a drive


def is_url(name: str) -> bool:
    """Return whether a name is a URL, and not the path of a file on this machine."""
    return URL.match(name) is not None


def open_file(name: str, root: str = "") -> BinaryIO:
    """Open a URL, or a regular file whose path may be relative to the folder `root`.

    Raises OSError when it cannot be opened, DataError for a kind of URL that this installation does not read.
    """
    if not is_url(name):
        return open_regular(Path(root, name))
    files, path = _file_system(name)
    return cast("BinaryIO", files.open(path, "rb"))


def picture(name: str, root: str = "") -> str | bytes | ImageError:
    """Return what the picture of this name is read from: the path of a file, or the content behind a URL."""
    if not is_url(name):
        return name if name == "-" else os.path.join(root, name)
    try:
        with open_file(name) as file:
            return content(file)
    except FileNotFoundError:
        return ImageError("there is no such file")


def content(file: BinaryIO, size: int = MAX_FILE_BYTES) -> bytes | ImageError:
    """Return the encoded bytes of a picture, or the error when they are too many.

    To name their `size`, where it is known, takes less time: room for so many bytes is made before they are read.
    """
    found = file.read(min(size, MAX_FILE_BYTES) + 1)
    return found if len(found) <= MAX_FILE_BYTES else ImageError(f"the file has more than {MAX_FILE_BYTES:,} bytes")


def find(url: str) -> list[str] | None:
    """Return the URLs of all files below a folder, or None when the URL is no folder."""
    files, path = _file_system(url)
    return sorted(map(files.unstrip_protocol, files.find(path))) if files.isdir(path) else None


def glob(pattern: str) -> list[str]:
    """Return the URLs that match a pattern."""
    files, path = _file_system(pattern)
    return sorted(map(files.unstrip_protocol, files.glob(path)))


def _file_system(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path in it."""
    from fsspec.core import url_to_fs

    try:
        files, path = url_to_fs(url)
    except (ImportError, ValueError) as error:
        raise DataError(f"{url} cannot be read: {first_line(error)}") from error
    return files, path
