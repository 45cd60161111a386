"""Robustness trials: faults, concurrent programs, and untrusted files. `make torture` runs all of them.

A trial is one fault or one input. Each kind of trials is a function of how many, a seed and an empty folder, that yields
for each trial None, or a sentence with what failed and how to repeat it. The tests run a few of each.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Outcomes = Iterator[str | None]
Case = TypeVar("Case")


class Skipped(Exception):  # noqa: N818  (not an error)
    """A kind of trials that is not possible here, and why."""


@dataclass(frozen=True)
class Kind:
    """One row of the table."""

    name: str
    run: Callable[[int, int, Path], Outcomes]  # with the number of trials, the seed, and a folder
    full: int  # trials of `make torture`; of a list of cases at most all
    quick: int  # trials of a test


def spread(cases: Sequence[Case], count: int) -> list[tuple[int, Case]]:
    """Return about `count` of a list of cases, or all if there are no more, with their numbers in it."""
    return list(enumerate(cases))[:: max(1, len(cases) // count)]
