"""Robustness trials: faults, concurrent programs, and untrusted files. `make torture` runs all of them.

A trial is one fault or one input. Each kind of trial is a generator function that takes the number of trials, a seed and an
empty folder. For each trial it yields None, or a sentence with the failure and how to repeat it. The tests run a few of each.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

Outcomes = Iterator[str | None]
Case = TypeVar("Case")


class Skipped(Exception):  # noqa: N818  (not an error)
    """Raised, with the reason, when a kind of trial is not possible on this machine."""


@dataclass(frozen=True)
class Kind:
    """One row of the table."""

    name: str
    run: Callable[[int, int, Path], Outcomes]  # with the number of trials, the seed, and a folder
    full: int  # trials of `make torture`; of a list of cases at most all
    quick: int  # trials of a test


def spread(cases: Sequence[Case], count: int) -> list[tuple[int, Case]]:
    """Return about `count` of the cases, evenly spaced, or all if there are fewer, each with its index."""
    return list(enumerate(cases))[:: max(1, len(cases) // count)]
