"""Measure how well digits are grouped into numbers, and the effect of each constant of `recognition.numbers`.

    python benchmarks/spacing.py [--count 2000]

A simulated line is a list of boxes, without pictures and without a model. The boxes have the widths and heights of digits in
the 5,000 training images that were held out for the model that ships, and the gaps of one of six kinds of lines. A line is
right if all its numbers are. Then each constant is halved and doubled in turn.
"""

import argparse
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mnist_cli.config import DATA_DIR
from mnist_cli.datasets import dataset, mnist_files
from mnist_cli.recognition import numbers
from mnist_cli.recognition.detection import Detection
from mnist_cli.recognition.predictions import Prediction
from pretraining.__main__ import CONFIG

CONSTANTS = ("LEAST_GAP", "LARGEST_GAP", "UNUSUAL", "LEAST_WIDTH")
HEIGHT = 48  # px, of a digit
ANY = Prediction([0.1] * 10, 0.0)

Rng = np.random.Generator
Widths = NDArray[np.float64]  # (N,) of digits, in units of their height
Written = tuple[list[int], NDArray[np.float64], NDArray[np.float64]]  # digits of each number, left edges, widths


def written(counts: list[int], widths: Widths, rng: Rng, gap: float, space: float) -> Written:
    """Return a line with `gap` between digits and `space` more between numbers, both a little uneven."""
    chosen = rng.choice(widths, sum(counts))
    gaps = gap + rng.normal(0, 0.08, sum(counts))
    gaps[np.cumsum(counts)[:-1]] += space * rng.uniform(0.8, 1.25, len(counts) - 1)
    return counts, np.cumsum(gaps) + np.cumsum(chosen) - chosen, chosen


def in_cells(counts: list[int], widths: Widths, rng: Rng, space: float) -> Written:
    """Return a line of a form with a cell for each digit, and `space` cells between its fields."""
    chosen = rng.choice(widths, sum(counts))
    pitch = rng.uniform(1.0, 1.5)
    cells = np.arange(sum(counts)) + space * np.repeat(np.arange(len(counts)), counts)
    return counts, pitch * cells + rng.normal(0, 0.06, sum(counts)) - chosen / 2, chosen


def some(rng: Rng, numbers: tuple[int, int], digits: tuple[int, int]) -> list[int]:
    """Return random numbers of digits, between the two `digits`, for a random count of numbers, between the two `numbers`."""
    return rng.integers(*digits, rng.integers(*numbers), endpoint=True).tolist()


KINDS: dict[str, Callable[[Widths, Rng], Written]] = {
    "one number": lambda widths, rng: written(some(rng, (1, 2), (2, 7)), widths, rng, rng.uniform(0, 0.4), 0),
    "numbers in a line": lambda widths, rng: written(
        some(rng, (2, 6), (1, 5)), widths, rng, rng.uniform(0, 0.3), rng.uniform(0.6, 1.6)
    ),
    "columns of a table": lambda widths, rng: written(
        some(rng, (2, 6), (1, 4)), widths, rng, rng.uniform(0, 0.3), rng.uniform(1.5, 6)
    ),
    "columns of digits": lambda widths, rng: written([1] * int(rng.integers(2, 8)), widths, rng, 0, rng.uniform(2, 6)),
    "a field of cells": lambda widths, rng: in_cells(some(rng, (1, 2), (2, 8)), widths, rng, 0),
    "fields of cells": lambda widths, rng: in_cells(some(rng, (2, 4), (2, 6)), widths, rng, rng.uniform(1, 3)),
}


def is_right(line: Written, rng: Rng) -> bool:
    """Return whether a line is grouped into the numbers that were written."""
    counts, lefts, widths = line
    heights = HEIGHT * rng.uniform(0.85, 1.15, len(lefts))
    boxes = np.stack([HEIGHT * lefts, np.zeros(len(lefts)), heights * widths, heights], axis=1).round().astype(int)
    digits = [Detection((x, y, width, height), ANY) for x, y, width, height in boxes.tolist()]
    return [len(number.digits) for line in numbers.group(digits) for number in line.numbers] == counts


def measure(widths: Widths, count: int) -> list[float]:
    """Return the fraction of lines of each kind that are right."""
    rng = np.random.default_rng(0)
    return [float(np.mean([is_right(write(widths, rng), rng) for _ in range(count)])) for write in KINDS.values()]


def main() -> None:
    """Print the fraction of right lines of each kind, and its change in percentage points with each constant."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=2_000, help="lines of each kind")
    count = parser.parse_args().count
    mnist_files.repair(DATA_DIR)
    _, held_out = dataset.select(dataset.load(DATA_DIR, "train"), CONFIG)
    ink = held_out.images[:, 0].numpy() > 60
    widths = ink.any(axis=1).sum(axis=1) / ink.any(axis=2).sum(axis=1)
    before = measure(widths, count)
    for kind, fraction in zip(KINDS, before, strict=True):
        print(f"{kind:20} {fraction:6.1%}")
    for name in CONSTANTS:
        value = getattr(numbers, name)
        for factor in (0.5, 2):
            setattr(numbers, name, factor * value)
            changes = np.subtract(measure(widths, count), before)
            print(f"{name:12} x {factor:<3} " + " ".join(f"{100 * change:+6.1f}" for change in changes))
        setattr(numbers, name, value)


if __name__ == "__main__":
    main()
