"""Pictures with what people say they are: a folder of PNG files, and a CSV file with a row for each.

`mnist serve --collect` writes it, `mnist train --extra` reads it, and anybody can make one by hand.
"""

import csv
import errno
import io
import os
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_cli.arrays import Frame, Frames, Picture
from mnist_cli.errors import DataError, ImageError
from mnist_cli.files import lock, replacing
from mnist_cli.pictures import binarize, decode, folders, normalize

LABELS = "labels.csv"
COLUMNS = ["path", "digit"]
HEADER = b"path,digit\r\n"
DELIMITERS = ",;\t"  # Excel writes semicolons where numbers have a decimal comma
MAX_LABELS_BYTES = 20_000_000  # half a million rows
MAX_ROW_BYTES = 10_000
MAX_SHOWN_CHARACTERS = 80  # of a row that an error shows
WHOLE_ROW = re.compile(rb'.+[,;\t]\s*"?([0-9]|digit)"?\s*')


class Corrections:
    """A folder that pictures are added to."""

    def __init__(self, folder: Path) -> None:
        """Make the folder and the CSV file, unless they are there.

        Raises OSError when that cannot be, DataError when there is a `labels.csv` of another kind.
        """
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._append()

    def add(self, picture: Picture, digit: int) -> Path:
        """Save a picture as it was read, without what else its file told, and return the path of the PNG file."""
        path = self.folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}.png"
        levels = picture.round().astype(np.uint8)
        with replacing(path) as file:
            Image.fromarray(levels if levels.shape[2] == 3 else levels[:, :, 0]).save(file, "PNG")
        try:
            self._append(path.name, digit)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return path

    def _append(self, *row: object) -> None:
        """Add a row, if one is given, after the last whole one: on a full disk, or after a kill, no half row stays.

        Several threads and processes may do so at once.
        """
        path = self.folder / LABELS
        _check_regular(path)
        with path.open("a+b", buffering=0) as file:
            lock(file.fileno(), wait=True)
            file.seek(0)
            start = file.read(MAX_ROW_BYTES)
            is_begun = HEADER.startswith(start)  # not at all, or by a program that was killed
            delimiter = "," if is_begun else _delimiter(start.decode("utf-8-sig", "replace"), path)
            size = _end_with_whole_row(file)
            text = io.StringIO(newline="")
            csv.writer(text, delimiter=delimiter).writerows([*([] if size else [COLUMNS]), *([row] if row else [])])
            content = text.getvalue().encode()
            try:
                if file.write(content) < len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as error:
                file.truncate(size)
                error.filename = str(path)
                raise


def load(folder: Path) -> tuple[Frames, NDArray[np.int64]]:
    """Return the pictures of a folder as a model sees them, (N, 1, 28, 28), and their digits, (N,).

    Of the ways to tell ink from paper it is the first that is taken, as `mnist predict` does when that is clear.

    Raises DataError, naming the row, when there is no such folder, a row is not a file and a digit, or a picture cannot
    be read.
    """
    frames, digits = [], []
    for place, name, digit in _read_rows(folder / LABELS):
        frames.append(_frame(folder / name, place))
        digits.append(digit)
    if not frames:
        raise DataError(f"{folder / LABELS} has no pictures")
    return np.stack(frames), np.array(digits, np.int64)


def describe_left_out(folder: Path) -> str | None:
    """Say which pictures of a folder, and which pages of them, `load` leaves out; None for none.

    Raises DataError for a table that `load` refuses, too.
    """
    listed = [os.path.normpath(folder / name) for _, name, _ in _read_rows(folder / LABELS)]
    names, left_out = folders.find(folder), folders.count_left_out(folder)
    if unlisted := len(set(map(os.path.normpath, names)) - set(listed)):
        left_out[f"without a row in {LABELS}"] = unlisted
    return folders.describe_left_out(left_out, listed)


def _read_rows(path: Path) -> Iterator[tuple[str, str, int]]:
    """Yield the rows of a CSV file as text editors and Excel write it: where each one is, its file and its digit."""
    text = _read_text(path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text, path))
    try:
        for row in reader:
            place = f"{path}, line {reader.line_num}"
            cells = _cells(row)
            if not cells or cells == COLUMNS:
                continue
            if len(cells) != 2 or cells[1] not in set("0123456789"):
                shown = ",".join(row)[:MAX_SHOWN_CHARACTERS]
                raise DataError(f"{place}: a row is a file and a digit, such as `seven.png,7`, which `{shown}` is not")
            name = Path(cells[0])
            if name.is_absolute() or ".." in name.parts:
                raise DataError(f"{place}: {cells[0]} is outside of the folder; a file is named from {path.parent} on")
            yield place, cells[0], int(cells[1])
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num} is not CSV: {error}") from error


def _read_text(path: Path) -> str:
    _check_regular(path)
    try:
        with path.open("rb") as file:
            content = file.read(MAX_LABELS_BYTES + 1)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; `mnist serve --collect {path.parent}` makes such a folder") from error
    if len(content) > MAX_LABELS_BYTES:
        raise DataError(f"{path} has more than {MAX_LABELS_BYTES:,} bytes")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8; Excel writes that as `CSV UTF-8`") from error


def _delimiter(text: str, path: Path) -> str:
    """Return what stands between the cells of the first line; raises DataError when that does not name the columns."""
    first = next(filter(str.strip, text[:MAX_ROW_BYTES].splitlines()), "")
    for delimiter in DELIMITERS:
        if _cells(next(csv.reader([first], delimiter=delimiter), [])) == COLUMNS:
            return delimiter
    raise DataError(f"{path} must begin with the line `{','.join(COLUMNS)}`")


def _cells(row: list[str]) -> list[str]:
    """Return the cells of a row without the spaces around them, and without the empty ones at its end."""
    cells = [cell.strip() for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _check_regular(path: Path) -> None:
    """Raise DataError for a device, a pipe or a folder, which might be read without an end."""
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is not a regular file")


def _end_with_whole_row(file: BinaryIO) -> int:
    """Cut off half a row at the end of a CSV file, or end a whole one, and return how many bytes there are."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - MAX_ROW_BYTES))
    last = file.read(MAX_ROW_BYTES).rpartition(b"\n")[2]
    if not last:
        return size
    if not WHOLE_ROW.fullmatch(last):
        return file.truncate(size - len(last))
    return size + file.write(b"\n" if last.endswith(b"\r") else b"\r\n")


def _frame(path: Path, place: str) -> Frame:
    try:
        picture = decode.read(path)
        (drawn,) = normalize.already_drawn([picture])
        return normalize.draw(next(binarize.candidates(picture))) if drawn is None else drawn
    except ImageError as error:
        raise DataError(f"{place}: {error}") from error
