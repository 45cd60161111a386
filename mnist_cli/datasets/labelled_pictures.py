"""Labelled pictures: a folder of picture files, with a CSV file of their paths and labels.

`mnist serve --collect` writes such a folder, `mnist train --extra` reads it, and it can be made by hand.
"""

import csv
import errno
import io
import os
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_cli.arrays import Frame, Frames, Picture
from mnist_cli.errors import DataError, ImageError
from mnist_cli.files import lock, naming, read_regular, replacing
from mnist_cli.labels import DIGITS, digit_in
from mnist_cli.pictures import binarize, decode, folders, normalize

LABELS = "labels.csv"
COLUMNS = ("path", "digit")  # as this program writes them for digits
OWN_COLUMNS = ("path", "label")  # and for other classes
LABEL_COLUMNS = ("digit", "label")  # a label is any text
DELIMITERS = ",;\t"  # Excel writes semicolons where numbers have a decimal comma
MAX_LABELS_BYTES = 20_000_000
MAX_LABELS_LINES = 500_000
MAX_ROW_BYTES = 10_000
MAX_SHOWN_CHARACTERS = 80  # of a row or a name that an error quotes
# A file and a label, both in quotation marks or not, perhaps with empty cells behind them; an open quotation mark would
# swallow the next row.
WHOLE_ROW = r'.+[,;\t]\s*("?)({labels})\1(?:[,;\t\s]|"")*'
LINE_END = re.compile(rb"[\r\n]")


@dataclass(frozen=True)
class Row:
    """A labelled picture in a table."""

    position: str  # the table, the line and the path as it is there, for errors
    path: Path
    label: str


@dataclass(frozen=True)
class Header:
    """The first line of a table."""

    delimiter: str
    columns: tuple[str, ...]  # in lower case


class Corrections:
    """A folder of labelled pictures, to which corrected ones are added."""

    def __init__(self, folder: Path, classes: Sequence[str] = DIGITS) -> None:
        """Make the folder and the CSV file, unless they exist.

        Raises OSError when they cannot be written, DataError when an existing `labels.csv` has other columns.
        """
        self.folder = folder
        self.columns = COLUMNS if set(classes) <= set(DIGITS) else OWN_COLUMNS
        labels = "|".join(map(re.escape, [*classes, self.columns[-1]]))
        self._whole_row = re.compile(WHOLE_ROW.format(labels=labels).encode())
        folder.mkdir(parents=True, exist_ok=True)
        self._append()

    def add(self, picture: Picture, label: str | int) -> Path:
        """Save the pixels of a picture, without the metadata of its file, and return the path of the PNG file."""
        path = self.folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}.png"
        levels = picture.round().astype(np.uint8)
        with replacing(path) as file:
            Image.fromarray(levels if levels.shape[2] == 3 else levels[:, :, 0]).save(file, "PNG")
        try:
            self._append(path.name, label)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return path

    def _delimiter_of(self, start: bytes, path: Path) -> str:
        header = _header(start.decode("utf-8-sig", "replace"), path)
        if header.columns != self.columns:
            raise DataError(f"{path} must begin with the line `{','.join(self.columns)}` for corrections to be added")
        return header.delimiter

    def _append(self, *row: object) -> None:
        """Append a row, if one is given; an incomplete row, left by a full disk or a kill, is removed.

        Several threads and processes may append at the same time.
        """
        path = self.folder / LABELS
        _check_regular(path)
        with naming(path), path.open("a+b", buffering=0) as file:
            lock(file.fileno(), wait=True)
            file.seek(0)
            start = file.read(MAX_ROW_BYTES)
            is_incomplete = f"{','.join(self.columns)}\r\n".encode().startswith(
                start
            )  # the file is empty, or its writer was killed
            delimiter = "," if is_incomplete else self._delimiter_of(start, path)
            size = _end_with_complete_row(file, self._whole_row)
            text = io.StringIO(newline="")
            csv.writer(text, delimiter=delimiter).writerows(
                [*([] if size else [self.columns]), *([row] if row else [])]
            )
            content = text.getvalue().encode()
            try:
                if file.write(content) < len(content):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                file.truncate(size)
                raise


def load(folder: Path) -> tuple[Frames, NDArray[np.int64]]:
    """Return the pictures of a folder as frames (N, 1, 28, 28), and their digits (N,).

    Each picture is binarized in the first of several ways, which `mnist predict` also prefers.

    Raises DataError, naming the row, when there is no such folder, a row is not a file and a digit, or a picture cannot
    be read.
    """
    frames, digits = [], []
    for row in read_rows(folder / LABELS):
        if digit_in(row.label) is None:
            raise DataError(
                f"{row.position} has the label {row.label!r}, which is no digit; `--data` takes such a folder"
            )
        frames.append(_frame(row.path, row.position))
        digits.append(int(row.label))
    if not frames:
        raise DataError(f"{folder / LABELS} has no pictures")
    return np.stack(frames), np.array(digits, np.int64)


def describe_left_out(folder: Path) -> str | None:
    """Return in one line how many pictures of a folder, and pages of them, `load` leaves out; None when it leaves out none.

    Raises DataError for an invalid table, as `load` does.
    """
    listed = [os.path.normpath(row.path) for row in read_rows(folder / LABELS)]
    names, left_out = folders.find(folder), folders.count_left_out(folder)
    if unlisted := len(set(map(os.path.normpath, names)) - set(listed)):
        left_out[f"without a row in {LABELS}"] = unlisted
    return folders.describe_left_out(left_out, listed)


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a CSV file as text editors and Excel write it.

    Raises DataError, naming the row, for one that is not the path of a file in the folder, and its label.
    """
    text = _read_text(path)
    header = _header(text, path)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=header.delimiter)
    try:
        for row in reader:
            position = f"{path}, line {reader.line_num}"
            cells = _cells(row)
            if not cells or tuple(map(str.lower, cells)) == header.columns:
                continue
            named = dict(zip(header.columns, cells, strict=False))
            label = named.get("digit", named.get("label", ""))
            if len(cells) != 2 or ("digit" in named and digit_in(label) is None) or len(label) > MAX_SHOWN_CHARACTERS:
                shown = ",".join(row)[:MAX_SHOWN_CHARACTERS]
                kind = header.columns[header.columns[0] == "path"]
                raise DataError(f"{position}: expected a file and a {kind}, such as `seven.png,7`, not `{shown}`")
            name, position = Path(named["path"]), f"{position}: {named['path'][:MAX_SHOWN_CHARACTERS]}"
            if name.is_absolute() or ".." in name.parts:
                raise DataError(f"{position} is outside the folder; paths are relative to {path.parent}")
            yield Row(position, path.parent / name, label)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num} is not CSV: {error}") from error


def _read_text(path: Path) -> str:
    _check_regular(path)
    try:
        content = read_regular(path, MAX_LABELS_BYTES)
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; `mnist serve --collect {path.parent}` creates such a folder") from error
    if content is None:
        raise DataError(f"{path} has more than {MAX_LABELS_BYTES:,} bytes")
    if max(content.count(b"\n"), content.count(b"\r")) > MAX_LABELS_LINES:
        raise DataError(f"{path} has more than {MAX_LABELS_LINES:,} lines")
    # A row of a million cells would take a hundred times its size in memory.
    if long := next((number for number, line in enumerate(content.splitlines(), 1) if len(line) > MAX_ROW_BYTES), None):
        raise DataError(f"{path} has more than {MAX_ROW_BYTES:,} bytes in line {long:,}")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text in UTF-8; Excel writes that as `CSV UTF-8`") from error


def _header(text: str, path: Path) -> Header:
    """Return what the first line says; raises DataError when it does not name the columns, in any case and order."""
    first = next(filter(str.strip, text[:MAX_ROW_BYTES].splitlines()), "")
    for delimiter in DELIMITERS:
        columns = tuple(map(str.lower, _cells(next(csv.reader([first], delimiter=delimiter), []))))
        if any(sorted(columns) == sorted(("path", name)) for name in LABEL_COLUMNS):
            return Header(delimiter, columns)
    raise DataError(f"{path} must begin with the line `{','.join(COLUMNS)}` or `{','.join(OWN_COLUMNS)}`")


def _cells(row: list[str]) -> list[str]:
    """Return the cells of a row without the spaces around them, and without the empty ones at its end."""
    cells = [cell.strip() for cell in row]
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _check_regular(path: Path) -> None:
    """Raise DataError for a folder, and for a device or a pipe, which may have no end."""
    if path.exists() and not path.is_file():
        raise DataError(f"{path} is not a regular file")


def _end_with_complete_row(file: BinaryIO, whole: re.Pattern[bytes]) -> int:
    """Remove an incomplete last row of a CSV file, or end a `whole` one with a newline, and return the size in bytes."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - MAX_ROW_BYTES))
    end = file.read(MAX_ROW_BYTES)
    last = LINE_END.split(end)[-1]
    if not last:
        return size + (file.write(b"\n") if end.endswith(b"\r") else 0)
    if not whole.fullmatch(last):
        return file.truncate(size - len(last))
    return size + file.write(b"\r\n")


def _frame(path: Path, position: str) -> Frame:
    try:
        picture = decode.read_unnamed(path)
        (drawn,) = normalize.already_drawn([picture])
        return normalize.draw(next(binarize.candidates(picture))) if drawn is None else drawn
    except ImageError as error:
        raise DataError(f"{position}: {error}") from error
