"""The digits of a page grouped into numbers and lines, by the gaps between their boxes.

The constants were chosen on the lines that `benchmarks/spacing.py` simulates with the widths of held-out training digits; it
prints how many are grouped right, and what halving and doubling each constant changes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mnist_cli.recognition.detection import Detection

LEAST_GAP = 0.6  # of the height of the digits: a smaller gap is within a number
LARGEST_GAP = 1.4  # of that height: a larger one is between numbers, even where all gaps of a line are as large
UNUSUAL = 3.0  # times the usual gap: a larger one is between numbers
LEAST_WIDTH = 0.5  # of its height: a narrower digit counts as this wide, since a 1 has more room at its sides


@dataclass(frozen=True)
class Number:
    """Digits that stand together in a line."""

    digits: "Sequence[Detection]"  # from left to right

    @property
    def text(self) -> str:
        """Its digits, with a `?` for each that has a reason."""
        return "".join(digit.text for digit in self.digits)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The smallest box around those of its digits: x, y, width, height in pixels of the picture."""
        left, top = (min(digit.box[axis] for digit in self.digits) for axis in (0, 1))
        right, bottom = (max(digit.box[axis] + digit.box[axis + 2] for digit in self.digits) for axis in (0, 1))
        return left, top, right - left, bottom - top

    @property
    def confidence(self) -> float:
        """The probability, 0 to 1, that all digits are right if their errors are independent: the product of theirs."""
        return math.prod(digit.prediction.confidence for digit in self.digits)


@dataclass(frozen=True)
class Line:
    """The numbers of a line, from left to right."""

    numbers: Sequence[Number]

    @property
    def text(self) -> str:
        """Its numbers, with the separators between them, or a space where there is none."""
        return "".join((number.digits[0].before or " ") + number.text for number in self.numbers).removeprefix(" ")


def group(digits: "Sequence[Detection]") -> list[Line]:
    """Return the lines of a page, from top to bottom, of digits in reading order."""
    lines = [list(line) for _, line in groupby(digits, key=lambda digit: digit.line)]
    usual = _usual([gap for line in lines for gap in _gaps(line)])
    return [Line([Number(digits) for digits in _split(line, usual)]) for line in lines]


def _split(line: "list[Detection]", usual: float) -> "list[list[Detection]]":
    """Return the digits of each number of a line, on a page with a usual gap.

    A number ends at a separator, and where no pattern says that there is none at a gap that is large for the digits and for
    the line.
    """
    gaps = _gaps(line)
    own = _usual(gaps)
    if gaps and min(gaps) <= usual:
        # It has numbers spaced as those of the page, and so many short ones that they hide it.
        own = min(own, usual)
    widest = min(max(LEAST_GAP, UNUSUAL * own), LARGEST_GAP)
    starts = [
        index
        for index, (digit, gap) in enumerate(zip(line, [math.inf, *gaps], strict=True))
        if index == 0 or digit.before or (digit.before is None and gap > widest)
    ]
    return [line[start:end] for start, end in pairwise([*starts, len(line)])]


def _usual(gaps: Sequence[float]) -> float:
    """Return the usual gap within a number: the end of the smallest third, since most gaps may be between short numbers."""
    return sorted(gaps)[(len(gaps) - 1) // 3] if len(gaps) > 1 else 0.0


def _gaps(line: "Sequence[Detection]") -> list[float]:
    """Return the gaps of a line, in heights of its digits."""
    height = median(digit.box[3] for digit in line)
    return [_gap(left, right) / height for left, right in pairwise(line)]


def _gap(left: "Detection", right: "Detection") -> float:
    """Return the gap between two neighbours, each at least `LEAST_WIDTH` wide, px; less than 0 where they overlap."""
    (x, _, width, height), (next_x, _, next_width, next_height) = left.box, right.box
    room = max(0.0, LEAST_WIDTH * height - width) + max(0.0, LEAST_WIDTH * next_height - next_width)
    return next_x - (x + width) - room / 2
