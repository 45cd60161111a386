"""Fields of a known form, such as a date: `dd/dd/dddd` is two digits, a slash, two digits, a slash and four digits.

The best reading of a line that has this form is found by dynamic programming over the segmentation lattice.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mnist_cli.errors import ConfigError

if TYPE_CHECKING:
    from mnist_cli.pictures.segment import Candidate

DIGIT = "d"  # stands for any digit
SPACE = " "  # which is not drawn
SEPARATORS = f"-/.,:{SPACE}"
MAX_LENGTH = 40  # symbols
# Costs in log-odds.
OMITTED = 3.0  # of a separator that is not drawn, because the form has it printed
TALL = 0.5  # of a separator that is as tall as a digit, such as a slash
MAX_LOSS = 5.0  # by which a reading may be worse than the best one of any form: beyond it, digits are cut up to fit


@dataclass(frozen=True)
class Pattern:
    """A sequence of digits and separators."""

    symbols: str

    def __post_init__(self) -> None:
        """Raise ConfigError for what is not a pattern."""
        separators = self.symbols.replace(DIGIT, "")
        if (
            not 0 < len(self.symbols) <= MAX_LENGTH
            or not set(separators) <= set(SEPARATORS)
            or not all(group for group in self.groups)
        ):
            raise ConfigError(
                f"{self.symbols!r} is not a pattern; write d for each digit, with one of `{SEPARATORS}` between groups of them, "
                "like dddd-dd"
            )

    @property
    def groups(self) -> list[str]:
        """The digits between the separators: `dddd-dd` has the groups dddd and dd."""
        plain = self.symbols
        for separator in SEPARATORS:
            plain = plain.replace(separator, "\n")
        return plain.split("\n")

    @property
    def before(self) -> list[str]:
        """For each digit the separator before it, or an empty string."""
        pairs = zip(f"{DIGIT}{self.symbols}", self.symbols, strict=False)
        return [left.replace(DIGIT, "") for left, symbol in pairs if symbol == DIGIT]


def best_fit(worth: Mapping["Candidate", float], pattern: Pattern, best_worth: float) -> list["Candidate"]:
    """Return the digits of the reading of a line that has the pattern and the largest worth; none when no reading has it.

    `worth` has the candidates of the line in the order of their first pieces, with their worth in log-odds, and `best_worth`
    is the total of the best reading of any form.
    """
    best: dict[tuple[int, int], tuple[float, list[Candidate]]] = {(0, 0): (0.0, [])}  # up to each piece and symbol
    last = max((candidate.stop for candidate in worth), default=0)
    for candidate, value in worth.items():
        for index in range(len(pattern.symbols) + 1):
            if (candidate.start, index) not in best:
                continue
            total, path = best[candidate.start, index]
            for count, change, digits in _moves(candidate, value, pattern.symbols[index : index + 2]):
                state = candidate.stop, index + count
                if state not in best or total + change > best[state][0]:
                    best[state] = total + change, path + digits
    total, path = best.get((last, len(pattern.symbols)), (-math.inf, []))
    return path if total >= best_worth - MAX_LOSS else []


def _moves(candidate: "Candidate", value: float, expected: str) -> Iterator[tuple[int, float, list["Candidate"]]]:
    """Yield what a candidate may be, given the next two symbols of the pattern: how many of them, its score, its digit."""
    if candidate.small:
        yield 0, value, []  # a speck
    if expected and expected[0] == SPACE:
        if not candidate.small:
            yield 2, value, [candidate]
    elif expected and expected[0] != DIGIT:
        yield 1, 0.0 if candidate.small else -TALL - candidate.cost, []
        if not candidate.small:
            yield 2, value - OMITTED, [candidate]
    elif expected and not candidate.small:
        yield 1, value, [candidate]
