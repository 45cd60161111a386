"""What people say a picture is, kept on the disk of who asked for it."""

import csv
import secrets
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

from mnist_cli.files import replacing
from mnist_cli.images import Picture

LABELS = "labels.csv"
COLUMNS = ("path", "digit")


class Corrections:
    """A folder of PNG files with a CSV file that has a row for each: its name and its digit."""

    def __init__(self, folder: Path) -> None:
        """Make the folder and the CSV file, unless they are there; raises OSError when that cannot be."""
        self.folder = folder
        self._one_at_a_time = threading.Lock()
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
        with self._one_at_a_time, (self.folder / LABELS).open("a", newline="", encoding="utf-8") as file:
            csv.writer(file).writerow((path.name, digit))
        return path
