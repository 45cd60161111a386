"""Pictures with what people say they are: a folder of PNG files, and a CSV file with a row for each.

`mnist serve --collect` writes it, `mnist train --extra` reads it, and anybody can make one by hand.
"""

import csv
import secrets
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_cli.arrays import Frame, Frames, Picture
from mnist_cli.errors import DataError, ImageError
from mnist_cli.files import replacing
from mnist_cli.pictures import binarize, decode, normalize

LABELS = "labels.csv"
COLUMNS = ("path", "digit")


class Corrections:
    """A folder that pictures are added to."""

    def __init__(self, folder: Path) -> None:
        """Make the folder and the CSV file, unless they are there; raises OSError when that cannot be."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / LABELS).open("a", newline="", encoding="utf-8") as file:
            if file.tell() == 0:
                csv.writer(file).writerow(COLUMNS)

    def add(self, picture: Picture, digit: int) -> Path:
        """Save a picture as it was read, without what else its file told, and return the path of the PNG file."""
        path = self.folder / f"{time.strftime('%Y%m%d-%H%M%S')}-{secrets.token_hex(4)}.png"
        levels = picture.round().astype(np.uint8)
        with replacing(path) as file:
            Image.fromarray(levels if levels.shape[2] == 3 else levels[:, :, 0]).save(file, "PNG")
        # Several threads and processes may do so at once: what is appended in one write stays together.
        with (self.folder / LABELS).open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow((path.name, digit))
        return path


def load(folder: Path) -> tuple[Frames, NDArray[np.int64]]:
    """Return the pictures of a folder as a model sees them, (N, 1, 28, 28), and their digits, (N,).

    Of the ways to tell ink from paper it is the first that is taken, as `mnist predict` does when that is clear.

    Raises DataError, naming the row, when there is no such folder, a row is not a file and a digit, or a picture cannot
    be read.
    """
    path = folder / LABELS
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.reader(file))
    except FileNotFoundError as error:
        raise DataError(f"{path} is missing; `mnist serve --collect {folder}` makes such a folder") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a CSV file: {error}") from error
    if not rows or tuple(rows[0]) != COLUMNS:
        raise DataError(f"{path} must begin with the line `{','.join(COLUMNS)}`")
    frames, digits = [], []
    for number, row in enumerate(rows[1:], 2):
        if len(row) != 2 or row[1] not in "0123456789" or len(row[1]) != 1:
            raise DataError(f"{path}, line {number}: a row is a file and a digit, such as `seven.png,7`")
        frames.append(_frame(folder / row[0], f"{path}, line {number}"))
        digits.append(int(row[1]))
    if not frames:
        raise DataError(f"{path} has no pictures")
    return np.stack(frames), np.array(digits, np.int64)


def _frame(path: Path, place: str) -> Frame:
    try:
        picture = decode.read(path)
        (drawn,) = normalize.already_drawn([picture])
        return normalize.draw(next(binarize.candidates(picture))) if drawn is None else drawn
    except ImageError as error:
        raise DataError(f"{place}: {error}") from error
