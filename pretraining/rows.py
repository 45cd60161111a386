"""Examples cut from rows of digits that touch or are broken: what the segmentation lattice proposes, with what each shows.

A straight cut between two digits leaves a stub of one in the other, and of a broken digit some pieces may be missing. A
candidate that has most of a digit and little else is an example of it; one that has some of several digits is a negative
example.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mnist_cli.arrays import Frame
from mnist_cli.pictures import normalize, segment
from mnist_cli.pictures.parts import Part, connected
from pretraining import strokes
from pretraining.pages import enlarge, texture, with_pen
from pretraining.strokes import Mask

HEIGHT = 48  # px, of a digit, about
INK = 0.3  # level from which a pixel is of a digit
MAX_OVERLAP = 24  # px of ink that two neighbours share
BROKEN = 0.3  # of the rows; in the others all digits touch
DRAWN = 0.3  # of the rows, with digits drawn by program
ROWS = {2: 0.5, 3: 0.25, 4: 0.25}  # fractions of rows of so many digits
GAPS = (0.1, 0.5)  # between broken digits, in heights of a digit
# The fraction of a candidate's ink that is of a digit, and of a digit's ink that is in the candidate, of an example of it.
MIN_PRECISION, MIN_RECALL = 0.82, 0.75
MIN_RECALL_BROKEN = 0.85  # what is missing of a broken digit is missing besides
ALIKE = 0.05  # difference in F1 to the best candidate for a digit, up to which another is as good
# The fraction of a second digit's ink in a negative example that is large enough for two, and in another one.
SECOND, PIECES = 0.7, 0.3
MAX_F1 = 0.5  # of such another one, with every digit


def cut(masks: list[Mask], labels: list[int], not_a_digit: int, rng: np.random.Generator) -> list[tuple[Frame, int]]:
    """Return frames of the candidates in rows of neighbouring masks, each with its label; about two to a mask."""
    examples = []
    start = 0
    while start + 1 < len(masks):  # a last one alone has no neighbour
        stop = start + int(rng.choice(list(ROWS), p=list(ROWS.values())))
        examples += _examples(masks[start:stop], labels[start:stop], not_a_digit, rng)
        start = stop
    return examples


def _examples(
    masks: list[Mask], labels: list[int], not_a_digit: int, rng: np.random.Generator
) -> list[tuple[Frame, int]]:
    """Return the frames and labels of one row."""
    if rng.random() < DRAWN:
        masks = [strokes.digit(label, rng) for label in labels]
    shown = [enlarge(mask, round(HEIGHT * rng.uniform(0.8, 1.15))) for mask in masks]
    is_broken = rng.random() < BROKEN
    digits = _broken(_side_by_side(shown, rng), rng) if is_broken else _pushed_together(shown, rng)
    row = ndimage.gaussian_filter(digits.max(axis=0), rng.uniform(0, 0.4 if is_broken else 1))
    row = np.where(row < rng.uniform(0.1, 0.4), 0, row)
    found = segment.lines(connected(row)) if is_broken else [[Part(0, 0, row)]]
    parts = [candidate.part for line in segment.candidates(found) for candidate in line if not candidate.small]
    if not parts:
        return []
    overlaps = np.array([_shared(part, digits) for part in parts])  # px (candidates, digits)
    precision = overlaps / np.array([np.count_nonzero(part.ink > INK) for part in parts])[:, None].clip(1)
    recall = overlaps / np.count_nonzero(digits > INK, axis=(1, 2)).clip(1)
    f1 = 2 * precision * recall / (precision + recall).clip(1e-9)
    least = MIN_RECALL_BROKEN if is_broken else MIN_RECALL
    chosen = []
    for digit, label in enumerate(labels):
        good = (precision[:, digit] > MIN_PRECISION) & (recall[:, digit] > least)
        good &= f1[:, digit] > f1[:, digit].max() - ALIKE
        chosen += [(index, label) for index in rng.permutation(np.flatnonzero(good))[:2]]
    second = np.sort(recall, axis=1)[:, -2]
    wrong = (second > SECOND) | ((second > PIECES) & (f1.max(axis=1) < MAX_F1))
    chosen += [(index, not_a_digit) for index in rng.permutation(np.flatnonzero(wrong))[: len(labels)]]
    return [(normalize.draw(parts[index].ink), label) for index, label in chosen]


def _side_by_side(digits: list[Mask], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return digits in a row with gaps, each on a page of its own (digits, height, width)."""
    height = max(map(len, digits))
    gaps = (HEIGHT * rng.uniform(*GAPS, len(digits))).round().astype(int)
    placed = np.zeros((len(digits), height, sum(digit.shape[1] for digit in digits) + int(gaps.sum())), np.float32)
    left = 0
    for number, (digit, gap) in enumerate(zip(digits, gaps.tolist(), strict=True)):
        top = int(rng.integers(height - len(digit) + 1))
        placed[number, top : top + len(digit), left : left + digit.shape[1]] = digit
        left += digit.shape[1] + gap
    return placed


def _broken(digits: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return digits (digits, height, width) in a thin pen, with gaps as a threshold leaves them."""
    height, width = digits.shape[1:]
    pen = rng.uniform(2, 5)
    thin = np.stack([with_pen(digit, pen)[:height, :width] for digit in digits])
    holes = texture((height, width), rng, rng.uniform(3, 6)) > rng.uniform(0.15, 0.35)
    return thin * holes


def _pushed_together(digits: list[Mask], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return digits side by side, each on a page of its own (digits, height, width), pushed to the left until they touch."""
    height = max(map(len, digits))
    width = sum(digit.shape[1] for digit in digits)
    placed = np.zeros((len(digits), height, width), np.float32)
    right = 0
    for number, digit in enumerate(digits):
        top = int(rng.integers(height - len(digit) + 1))
        before = placed.max(axis=0)[top : top + len(digit)] > INK
        least = int(rng.integers(1, MAX_OVERLAP))
        ink = digit > INK
        left = right
        while left > 0 and np.count_nonzero(before[:, left : left + digit.shape[1]] & ink) < least:
            left -= 1
        placed[number, top : top + len(digit), left : left + digit.shape[1]] = digit
        right = max(right, left + digit.shape[1])
    return placed[:, :, :right]


def _shared(part: Part, digits: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return how many px of ink a part has of each digit."""
    inside = digits[:, part.top : part.top + part.height, part.left : part.left + part.width] > INK
    shared: NDArray[np.int64] = np.count_nonzero(inside & (part.ink > INK), axis=(1, 2))
    return shared
