"""Connected parts of the ink of a page."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import ndimage

from mnist_cli.arrays import Ink

MAX_PARTS = 500  # connected parts of ink that are kept, the largest ones; set by hand, bounds the time for a photo
MAX_AREA = 3  # times the area of the page: the total area of the boxes, which overlap; set by hand, bounds the memory
MIN_HEIGHT = 6  # px, of a digit
LIKE = 1.5  # ratio of heights: parts that differ by less have similar heights


@dataclass(frozen=True)
class Part:
    """Some ink of a page, and where it is."""

    top: int
    left: int
    ink: Ink  # 0 where there is paper, or the ink of another part

    @cached_property  # each part is compared with all others of its page
    def height(self) -> int:
        """Its height in px of the page."""
        return int(self.ink.shape[0])

    @cached_property
    def width(self) -> int:
        """Its width in px of the page."""
        return int(self.ink.shape[1])


def connected(ink: Ink, gap: int = 0) -> list[Part]:
    """Return the largest connected parts of the ink; gaps of up to `gap` px, a multiple of 2, are bridged.

    Where many boxes overlap, as those of slanting lines do, the parts with the largest boxes are left out.
    """
    inked = ink > 0
    labels, _ = ndimage.label(ndimage.maximum_filter(inked, gap + 1) if gap else inked, structure=np.ones((3, 3)))
    found = labels[inked]
    sizes = np.bincount(found)
    largest = np.argsort(-sizes, kind="stable")[:MAX_PARTS]
    largest = largest[sizes[largest] > 0]
    number = np.zeros(len(sizes), dtype=np.int32)
    number[largest] = np.arange(1, len(largest) + 1)
    labels = np.zeros(ink.shape, dtype=np.int32)
    labels[inked] = number[found]
    boxes = ndimage.find_objects(labels)
    areas = np.array([(rows.stop - rows.start) * (columns.stop - columns.start) for rows, columns in boxes], dtype=int)
    order = np.argsort(areas, kind="stable")
    kept = np.sort(order[areas[order].cumsum() <= MAX_AREA * ink.size])
    return [
        Part(
            boxes[index][0].start,
            boxes[index][1].start,
            np.where(labels[boxes[index]] == index + 1, ink[boxes[index]], 0),
        )
        for index in kept
    ]


def typical_height(parts: Sequence[Part]) -> float:
    """Return the height, px, of most of the parts, weighted by their height so that digits outweigh specks; 0 for none."""
    return typical([part.height for part in parts])


def typical(all_heights: Sequence[int]) -> float:
    """Return most of the heights, px, weighted by themselves; 0 for none of MIN_HEIGHT."""
    heights = np.array([height for height in all_heights if height >= MIN_HEIGHT], dtype=np.float64)
    if not len(heights):
        return 0.0
    similar = np.abs(np.log(heights[:, None] / heights)) <= np.log(LIKE)
    return float(np.median(heights[similar[(similar @ heights).argmax()]]))


def stroke_width(parts: Sequence[Part]) -> float:
    """Estimate the width of the strokes of parts, px: the mean distance of their pixels to the paper is a quarter of it."""
    distances = [ndimage.distance_transform_edt(np.pad(part.ink > 0, 1)) for part in parts]
    pixels = sum(np.count_nonzero(part.ink) for part in parts)
    return 4 * float(sum(distance.sum() for distance in distances)) / pixels - 2


def in_a_wider_pen(ink: Ink, width: int) -> Ink:
    """Return ink with strokes that are `width` px wider, with room around it for them."""
    wider: Ink = ndimage.grey_dilation(np.pad(ink, width), size=(1 + width, 1 + width))
    return wider


def size(parts: Sequence[Part]) -> tuple[int, int]:
    """Return the height and width of the box around parts."""
    *_, whole = sizes(parts)
    return whole


def sizes(parts: Iterable[Part]) -> Iterator[tuple[int, int]]:
    """Yield the height and width of the box around the first part, the first two, and so on."""
    top = left = sys.maxsize
    bottom = right = 0
    for part in parts:
        top, left = min(top, part.top), min(left, part.left)
        bottom, right = max(bottom, part.top + part.height), max(right, part.left + part.width)
        yield bottom - top, right - left


def joined(parts: Sequence[Part]) -> Part:
    """Return parts as one, in the smallest box."""
    top, left = min(part.top for part in parts), min(part.left for part in parts)
    ink = np.zeros(size(parts), dtype=np.float32)
    for part in parts:
        target = ink[part.top - top :, part.left - left :][: part.height, : part.width]
        np.maximum(target, part.ink, out=target)
    return cropped(top, left, ink)


def cropped(top: int, left: int, ink: Ink) -> Part:
    """Return ink, whose box has a top and left on the page, as a part in its smallest box, which is empty without ink."""
    if not ink.any():
        return Part(top, left, ink[:0, :0])
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    box = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return Part(top + int(rows[0]), left + int(columns[0]), box)
