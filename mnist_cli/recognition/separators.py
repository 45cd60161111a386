"""Decimal points, commas, colons, minus signs and slashes between the digits of a line, told by their shapes and places.

The constants were set by hand, in heights of the digits.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from mnist_cli.arrays import Ink
    from mnist_cli.pictures.parts import Part
    from mnist_cli.pictures.segment import Candidate
    from mnist_cli.recognition.predictions import Prediction

DOTS = ((2, 0), (0, 2), (1, 1), (1, 0), (0, 1))  # how many dots may be joined to a digit, on its left and right
Box = tuple[int, int, int, int]  # x, y, width, height in pixels of the picture

SPECK = 0.8  # of the width of the pen: a smaller mark is dirt
DOT = 0.35  # a larger mark is no point or half of a colon
COMMA = 0.5  # a longer mark is no comma
LOW = 0.7  # down from the top of the digits: where points and commas begin
BELOW = 0.1  # how far a comma reaches below the digits
PARTED = 0.03  # the least gap between a dot and the digit beside it
FLAT = 1.8  # width by height, of a minus sign
MIDDLE = (0.25, 0.75)  # down from the top of the digits: where a minus sign is
NEAR = 1.1  # the widest gap between two digits with a point, comma or colon between them
FAR = 1.7  # the same with a minus sign or slash, and twice the gap between a leading minus sign and its digit
LEAN = 0.25  # px to the right per px upwards: a straight stroke that leans less is a 1 or a divider
TALL = 1.25  # heights of the digits: a lower stroke is a 1, which leans as much in some hands
STRAIGHT = 0.04  # the largest deviation of the middle of a slash from a straight line


def place(
    boxes: Sequence[Box], bars: Mapping[int, "Ink"], marks: Sequence[Box], pen: float
) -> list[tuple[int, str | None]]:
    """Return which symbols of a line are digits and no slashes, each with the separator before it, or None.

    The symbols have `boxes` from left to right, and those that may be slashes their ink in `bars`; `marks` are what is too small
    for a digit, and `pen` is the width of the strokes, px.
    """
    marks = [box for box in marks if max(box[2:]) >= SPECK * pen]
    slashes = [index for index, ink in bars.items() if 0 < index < len(boxes) - 1 and _is_slash(index, boxes, ink)]
    digits = [index for index in range(len(boxes)) if index not in slashes]
    strokes = [boxes[index] for index in slashes]
    neighbours = zip([None, *(boxes[index] for index in digits)], digits, strict=False)
    return [(index, _between(left, boxes[index], marks, strokes)) for left, index in neighbours]


def with_dots_apart(path: Sequence["Candidate"], candidates: Iterable["Candidate"]) -> list["Candidate"]:
    """Return the digits, and the dots beside them, that candidates of a path may be taken apart into."""
    spans = {(candidate.start, candidate.stop): candidate for candidate in candidates}
    return list(dict.fromkeys(one for candidate in path for _, way in _ways(candidate, spans) for one in way))


def _ways(
    candidate: "Candidate", spans: Mapping[tuple[int, int], "Candidate"]
) -> Iterator[tuple["Candidate", list["Candidate"]]]:
    """Yield the ways to take a candidate apart, those with most dots first: its digit, and all from left to right."""
    start, stop = candidate.start, candidate.stop
    for first, last in DOTS:
        digit = spans.get((start + first, stop - last))
        dots = [spans.get((place, place + 1)) for place in (*range(start, start + first), *range(stop - last, stop))]
        if digit and not digit.small and all(_is_beside(dot, digit) for dot in dots):
            yield digit, [one for one in (*dots[:first], digit, *dots[first:]) if one]


def parted(path: Sequence["Candidate"], predictions: Mapping["Candidate", "Prediction"]) -> Iterator["Candidate"]:
    """Yield the candidates of a path, with the dots beside a digit on their own where they were joined to it.

    That is where the digit is the same without them, and clearer: a loose piece of a digit is missed. There are predictions
    for `with_dots_apart`, too.
    """
    spans = {(candidate.start, candidate.stop): candidate for candidate in predictions}
    for candidate in path:
        ways = _ways(candidate, spans)
        clearer = (way for digit, way in ways if _is_clearer(predictions[digit], predictions[candidate]))
        yield from next(clearer, [candidate])


def _is_clearer(digit: "Prediction", joined: "Prediction") -> bool:
    return digit.digit == joined.digit and digit.score > joined.score


def _is_beside(dot: "Candidate | None", digit: "Candidate") -> bool:
    """Return whether a candidate is a dot, or a comma, at the left or right of another."""
    if not dot:
        return False
    one, other = dot.part, digit.part
    if not other.height:  # nothing is between its cuts
        return False
    gap = max(one.left - other.left - other.width, other.left - one.left - one.width)
    box = one.left, one.top, one.width, one.height
    sign = _sign(box, other.top, other.top + other.height)
    return gap >= PARTED * other.height and (sign == "," or (dot.small and sign in (".", "'")))


def is_comma(mark: "Part", digits: Sequence["Part"]) -> bool:
    """Return whether a mark in a line of digits is a comma, though it may look like a small 9."""
    if not digits:
        return False
    top, bottom = (
        median(edges) for edges in zip(*((part.top, part.top + part.height) for part in digits), strict=True)
    )
    return _sign((mark.left, mark.top, mark.width, mark.height), top, bottom) == ","


def _between(left: Box | None, right: Box, marks: Sequence[Box], strokes: Sequence[Box]) -> str | None:
    """Return the separator between two neighbours, or before the first digit of a line."""
    start, end = _middle(left)[0] if left else -np.inf, _middle(right)[0]
    here = [box for box in marks if start < _middle(box)[0] < end]
    shown = [one for one in (left, right) if one]
    top, bottom = (float(np.mean(edges)) for edges in zip(*((y, y + high) for _, y, _, high in shown), strict=True))
    height = median(high for _, _, _, high in shown)
    if left is None:
        near = [box for box in here if right[0] - box[0] - box[2] < FAR / 2 * height]
        return "-" if near and _sign(near[-1], top, bottom) == "-" else None
    gap = (right[0] - left[0] - left[2]) / height
    if gap > FAR:
        return None
    if any(start < _middle(box)[0] < end for box in strokes):
        return "/"
    signs = [_sign(box, top, bottom) for box in here]
    if signs == ["-"]:
        return "-"
    if gap > NEAR:
        return None
    if sorted(signs) in (["'", "."], ["'", ","]):
        return ":"
    return signs[0] if signs in (["."], [","]) else None


def _sign(box: Box, top: float, bottom: float) -> str:
    """Return what a mark beside digits between `top` and `bottom` is: one of `.,-`, `'` for a dot higher up, or nothing."""
    _, y, width, height = box
    digits = bottom - top
    place = (_middle(box)[1] - top) / digits
    if width >= FLAT * height and MIDDLE[0] <= place <= MIDDLE[1]:
        return "-"
    if width > DOT * digits or height > (COMMA if place >= LOW else DOT) * digits:
        return ""
    if place >= LOW:
        return "," if y + height > bottom + BELOW * digits and height > width else "."
    return "'" if place > 0 else ""


def _is_slash(index: int, boxes: Sequence[Box], ink: "Ink") -> bool:
    """Return whether a symbol is a straight stroke that leans to the right and is taller than the digits."""
    lean, deviation = _line_through(ink)
    others = median(high for number, (_, _, _, high) in enumerate(boxes) if number != index)
    return deviation <= STRAIGHT and lean >= LEAN and boxes[index][3] >= TALL * others


def _line_through(ink: "Ink") -> tuple[float, float]:
    """Return how much a stroke leans to the right per px upwards, and how far its middle is from straight, in its heights."""
    rows = np.flatnonzero(ink.any(axis=1))
    rows = rows[len(rows) // 8 : len(rows) - len(rows) // 8]  # at the ends of a stroke the pen has a shape of its own
    if len(rows) < 3:
        return 0.0, 1.0
    columns = np.arange(ink.shape[1])
    middles = np.array([np.average(columns, weights=ink[row]) for row in rows])
    slope, offset = np.polyfit(rows, middles, 1)
    return -float(slope), float(np.abs(middles - slope * rows - offset).max()) / len(rows)


def _middle(box: Box) -> tuple[float, float]:
    x, y, width, height = box
    return x + width / 2, y + height / 2
