"""Removing from the ink of a page what is not digits in forms and photos: boxes, rules, dividers, the table.

The constants were set by hand; `benchmarks/preparation.py --constants` prints what halving and doubling each changes.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mnist_cli.arrays import Ink
from mnist_cli.pictures.parts import LIKE, MIN_HEIGHT, Part, connected, stroke_width, typical_height

# Boxes and rules.
STRAIGHT = 0.9  # of a side of a part: a straight line longer than this may belong to a box or rule
MAX_LINE = 1.5  # times the height of digits: a straight line of this length counts, however much longer its part is
RULE_WIDTH = 2.5  # times the height of digits: a wider part with a straight line along it is a rule, maybe with digits
WHOLE_RULE = 0.9  # of the width of that part, without a gap: shorter lines are the bars of digits that touch
CORNER = 1 / 8  # of a side of a box: how far its corners reach
MAX_BOX_FILL = 0.4  # of its area: a box whose lines cover more than this is a stroke
SPECK = 0.1  # of the height of a box: smaller parts in it are no evidence that it is a box
LOOSE = 0.3  # of the height of a box: up to three parts in it that are smaller may be specks in the hole of a 0

# Dividers between numbers.
DIVIDER_HEIGHT = 1.2  # times the height of digits: dividers are taller
MAX_DIVIDER = 3.0  # times that height: a taller line is not a divider of these digits
DIVIDER_BEND = 0.8  # px, standard deviation of a divider from a straight line
DIVIDER_SLOPE = 0.03  # by which the slopes of two dividers of a page differ at most
DIVIDER_WIDTH = 0.6  # of the width of the digits' strokes: a single divider is thinner, else it may be a 1

# What surrounds a sheet.
BORDER = 2  # px from the edge of the picture: a part that comes so close is cut off by it
CUT_OFF = 1.5  # times the height of digits: a part cut off by the edge along more than this is the table, or a shadow
WHOLE_SIDE = 0.95  # of a side of the picture: a part cut off along more than this is, too, if digits are less tall
LESS_TALL = 0.8  # of that side

# The slope of a box or rule.
EDGE = 2.5  # px, within which the upper edge of a part is straight
WHOLE_EDGE = 0.6  # of its width, which has to be so straight
MIN_SKEW, MAX_SKEW = 0.01, 0.27  # px downwards per px to the right: from where on it matters, and 15 degrees

Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]


def without_frames(ink: Ink) -> Ink:
    """Return the ink without the boxes, rules and dividers of forms, and without the table around a sheet."""
    page = np.zeros_like(ink)
    parts = _without_surroundings(connected(ink), ink.shape)
    parts = _without_dividers(parts)
    height = typical_height(parts)
    boxes = np.array([(part.top, part.left, part.height, part.width) for part in parts]).T
    for part in parts:
        target = page[part.top :, part.left :][: part.height, : part.width]
        skew, inked = _skew(part), part.ink > 0
        if skew:
            y, x = np.nonzero(part.ink)
            place = _levelled(y, x, skew)
            inked = np.zeros([side.max() + 1 for side in place], dtype=bool)
            inked[place] = True
        across, down = _straight(inked, 1, height), _straight(inked, 0, height)
        rest = inked.copy()
        box = _is_box(across, down) or _surrounds(part, boxes)
        is_wide = part.width > RULE_WIDTH * max(part.height, height)
        if box or (is_wide and _longest(across) >= WHOLE_RULE * part.width):
            down &= box  # an upright line on a rule may be a one
            rest &= ~across & ~down
            rest |= across & _bridged(rest, across, 0) | down & _bridged(rest, down, 1)
        if skew:
            kept = rest[place]
            rest = np.zeros_like(part.ink, dtype=bool)
            rest[y, x] = kept
        target[rest] = part.ink[rest]
    return page


def _skew(part: Part) -> float:
    """Return the slope, px downwards per px to the right, of the upper edge of a part that may be a box or rule; 0 of others."""
    if part.width < RULE_WIDTH * MIN_HEIGHT:
        return 0.0
    top = (part.ink > 0).argmax(axis=0)
    half = part.width // 2
    slope = float(np.median((top[half:] - top[: part.width - half]) / half))
    rest = top - slope * np.arange(part.width)
    straight = np.mean(np.abs(rest - np.median(rest)) <= EDGE)
    return slope if straight >= WHOLE_EDGE and MIN_SKEW <= abs(slope) <= MAX_SKEW else 0.0


def _levelled(y: Indices, x: Indices, slope: float) -> tuple[Indices, Indices]:
    """Return where pixels are after a rotation, as two shears of whole px, that makes lines of this slope level."""
    level = y - np.rint(slope * x).astype(int)
    upright = x + np.rint(slope * level).astype(int)
    return level - level.min(), upright - upright.min()


def _without_surroundings(parts: list[Part], shape: tuple[int, ...]) -> list[Part]:
    """Return the parts without those that the edge of the picture cuts off for longer than a digit could be."""
    cut = [_lengths_at_the_edge(part, shape) for part in parts]
    inside = [part for part, lengths in zip(parts, cut, strict=True) if not lengths.any()]
    height = typical_height(inside or parts)
    sides = np.array([shape[1], shape[1], shape[0], shape[0]])
    whole = np.where(height < LESS_TALL * sides, WHOLE_SIDE * sides, np.inf)
    limits = np.minimum(CUT_OFF * max(height, MIN_HEIGHT), whole)
    return [part for part, lengths in zip(parts, cut, strict=True) if (lengths <= limits).all()]


def _lengths_at_the_edge(part: Part, shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Return along how many px the top, bottom, left and right edge of the picture cut a part off."""
    below, right = shape[0] - part.top - part.height, shape[1] - part.left - part.width
    edges = zip(
        (part.top, below, part.left, right), (part.ink, part.ink[::-1], part.ink.T, part.ink.T[::-1]), strict=True
    )
    return np.array([np.count_nonzero(ink[: BORDER - gap].any(axis=0)) if gap < BORDER else 0 for gap, ink in edges])


def _without_dividers(parts: list[Part]) -> list[Part]:
    """Return the parts without straight upright lines, taller than digits, that are parallel or thinner than a pen's."""
    lines = {index: line for index, part in enumerate(parts) if (line := _upright_line(part))}
    others = [part for index, part in enumerate(parts) if index not in lines]
    height = typical_height(others)
    tall = {
        index: line
        for index, line in lines.items()
        if height < parts[index].height / DIVIDER_HEIGHT < MAX_DIVIDER * height
    }
    if not tall:
        return parts
    pen = float(np.median([stroke_width([part]) for part in others if part.height >= height / LIKE]))
    slopes = np.array([slope for slope, _ in tall.values()])
    parallel = (np.abs(slopes[:, None] - slopes) <= DIVIDER_SLOPE).sum(axis=1) > 1
    thin = np.array([width for _, width in tall.values()]) < DIVIDER_WIDTH * pen
    dividers = {index for index, is_divider in zip(tall, parallel | thin, strict=True) if is_divider}
    return [part for index, part in enumerate(parts) if index not in dividers]


def _upright_line(part: Part) -> tuple[float, float] | None:
    """Return the slope (px to the right per px downwards) and width, px, of a part that is a straight line, or None."""
    if part.height < MIN_HEIGHT or part.width > part.height / 3:
        return None
    weights = part.ink.sum(axis=1)
    if not weights.all():
        return None
    rows = np.arange(part.height)
    middles = part.ink @ np.arange(part.width) / weights
    slope, start = np.polyfit(rows, middles, 1)
    bend = float(np.std(middles - (start + slope * rows)))
    return (float(slope), float(np.median(np.count_nonzero(part.ink, axis=1)))) if bend <= DIVIDER_BEND else None


def _straight(inked: Mask, axis: int, height: float) -> Mask:
    """Return the straight lines along an axis of a part, on a page with digits of a `height` in px."""
    length = int(STRAIGHT * min(inked.shape[axis], RULE_WIDTH * inked.shape[1 - axis], MAX_LINE * height))
    if length < MIN_HEIGHT:
        return np.zeros_like(inked)
    counts = np.count_nonzero(inked, axis=axis)
    if np.convolve(counts, np.ones(3)).max() < length:  # no three rows or columns have enough ink
        return np.zeros_like(inked)
    thick = ndimage.maximum_filter1d(inked.view(np.uint8), 3, axis=1 - axis)  # a line may be a little askew
    line = ndimage.maximum_filter1d(ndimage.minimum_filter1d(thick, length, axis=axis), length, axis=axis)
    straight: Mask = inked & (ndimage.maximum_filter1d(line, 5, axis=1 - axis) > 0)  # with its edges
    return straight


def _longest(across: Mask) -> int:
    """Return how wide, px, the widest of some lines is, whose pieces lie end to end."""
    pieces = ndimage.find_objects(ndimage.label(across, structure=np.ones((3, 3)))[0])
    return max((columns.stop - columns.start for _, columns in pieces), default=0)


def _bridged(inked: Mask, line: Mask, axis: int) -> Mask:
    """Return the ink with those gaps closed that the removal of a line may have left in strokes across it."""
    edges = int(np.count_nonzero(np.diff(line, axis=axis, prepend=False) & line))
    reach = int(np.count_nonzero(line)) // max(1, edges) + 3  # the line's thickness, and a little more
    # In each direction by itself, which is much faster than `binary_closing` for the lines of a large box.
    origin = -1 if reach % 2 == 0 else 0
    wide = ndimage.maximum_filter1d(inked.view(np.uint8), reach, axis=axis, mode="constant", origin=origin)
    closed: Mask = ndimage.minimum_filter1d(wide, reach, axis=axis, mode="constant") > 0
    return closed


def _is_box(across: Mask, down: Mask) -> bool:
    """Whether straight lines make a box: hollow, with lines on all sides that meet in all corners, unlike those of a 0."""
    y, x = (math.ceil(side * CORNER) for side in across.shape)
    lines = across | down
    sides = across[:y].any() and across[-y:].any() and down[:, :x].any() and down[:, -x:].any()
    corners = lines[:y, :x].any() and lines[:y, -x:].any() and lines[-y:, :x].any() and lines[-y:, -x:].any()
    return bool(sides and corners and lines.mean() < MAX_BOX_FILL)


def _surrounds(part: Part, boxes: NDArray[np.int64]) -> bool:
    """Whether other parts, too large for specks in the hole of a 0, lie in the holes of this one.

    The boxes of all parts, (4, N), are their tops, lefts, heights and widths.
    """
    top, left, height, width = boxes
    down, right = top - part.top, left - part.left
    inside = (height > SPECK * part.height) & (down > 0) & (down < part.height - height)
    inside &= (right > 0) & (right < part.width - width)
    if np.count_nonzero(inside) <= 3 and (height[inside] <= LOOSE * part.height).all():
        return False
    # The paper outside is number 1, since it has a margin.
    paper = ndimage.label(np.pad(part.ink == 0, 1, constant_values=True))[0]
    rows, columns = (1 + down + height // 2)[inside], (1 + right + width // 2)[inside]
    return bool((paper[rows, columns] != 1).any())
