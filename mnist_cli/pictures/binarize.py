"""Telling ink from paper, in the several ways that different pictures need.

No one way serves all: what evens out the shadow on a photo hollows a thick marker, and what takes away the box of a
form may take the bar of a 7. So a picture gives several candidates, and the model says which of them is a digit.
"""

import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from mnist_cli.arrays import Ink, Levels, Picture
from mnist_cli.errors import ImageError
from mnist_cli.pictures.threshold import otsu_threshold

NO_INK = "there is no ink in the picture"
GRAIN = 300  # parts of the picture's longer side that a blur against the grain of paper reaches
FAINTEST = 8  # levels out of 255 between ink and paper; below this lies the noise of an empty page
PEAKS = 2_000  # of so many pixels one may be darker than the ink: a glint, a grain
LARGEST_INK = 90  # px, the longer side down to which what may be a digit is reduced before it is cleaned
STRETCHES = 40  # parts of the border in which its light is looked at


def candidates(picture: Picture) -> Iterator[Ink]:
    """Yield what may be the ink of a picture, the likeliest first; the others take ten times as long to find.

    Raises ImageError when nothing differs from the paper.
    """
    levels, uneven = difference_from_paper(picture)
    found = [separate(levels)]
    yield _cut_out(found[0])[0]

    from mnist_cli.pictures import cleanup  # imports scipy, which takes a while and which most pictures do not need

    if uneven:
        for light in (levels, -levels):  # under a shadow, ink may well be on the side with less of it
            for window in cleanup.WINDOWS:
                with suppress(ImageError):
                    found.append(separate(cleanup.flatten(light, window)))
    parts = [_cut_out(ink) for ink in found]
    yield from (ink for ink, _ in parts[1:])
    for ink, factor in parts:
        yield from cleanup.clean(ink, longest=tuple(side / factor for side in levels.shape))


def difference_from_paper(picture: Picture) -> tuple[Levels, bool]:
    """Return how far each pixel is from the paper towards the ink, and whether the light on the paper is uneven.

    The paper is a slope of light and colour, fitted to the border of the picture; ink is what differs most.
    """
    height, width, channels = picture.shape
    border = np.concatenate([picture[0], picture[-1], picture[1:-1, 0], picture[1:-1, -1]])
    is_plain = bool((border == border[0]).all())  # as most drawings are, so that there is no median to look for
    middle = border[0] if is_plain else np.median(border, axis=0)
    if is_plain or np.abs(border - middle).sum(axis=1).max() <= FAINTEST / 2:  # paper of one colour
        difference = middle.astype(np.float32) - picture
        uneven = False
    else:
        rows, columns = np.linspace(-1, 1, height), np.linspace(-1, 1, width)
        sides = np.ones_like(rows[1:-1])
        y = np.concatenate([np.full(width, -1.0), np.full(width, 1.0), rows[1:-1], rows[1:-1]])
        x = np.concatenate([columns, columns, -sides, sides])
        terms = np.column_stack([np.ones_like(x), y, x])
        slope = np.zeros((3, channels))
        slope[0] = middle
        for _ in range(3):  # each time without what does not look like paper, such as a stroke that leaves the picture
            distance = np.abs(border - terms @ slope).sum(axis=1)
            near = distance <= max(3 * float(np.median(distance)), FAINTEST)
            slope = np.linalg.lstsq(terms[near], border[near], rcond=None)[0]
        slope = slope.astype(np.float32)
        paper = (
            slope[0]
            + slope[1] * rows.astype(np.float32)[:, None, None]
            + slope[2] * columns.astype(np.float32)[:, None]
        )
        difference = paper - picture
        # Over a stretch of the border noise cancels out, a shadow does not.
        stretch = max(1, len(border) // STRETCHES)
        rest = np.convolve((border - terms @ slope).mean(axis=1), np.full(stretch, 1 / stretch), "valid")
        uneven = bool(np.abs(rest).max() > FAINTEST / 2)
    if channels == 1:
        levels = difference[:, :, 0]
    else:  # along the colour in which the picture varies most
        flat = difference.reshape(-1, channels)
        direction = np.linalg.eigh(flat.T @ flat)[1][:, -1]
        levels = (flat @ direction * np.float32(np.abs(direction).max())).reshape(height, width)
    share = float(np.square(levels.clip(0)).sum() / max(np.square(levels).sum(), 1e-9))
    return (levels if share >= 0.5 else -levels), uneven


def separate(levels: Levels) -> Ink:
    """Return the ink, 0 to 1, in levels that are higher where there is some.

    Raises ImageError when there is none.
    """
    whole = levels.clip(0, 255)
    strokes = np.zeros_like(whole)
    blur = max(whole.shape) / GRAIN
    box = _box(whole >= 1, margin=3 * math.ceil(blur + 1))  # as far as a blur reaches; beyond is nothing to look at
    ink = whole[box]
    if ink.size == 0:
        raise ImageError(NO_INK)
    smooth = Image.fromarray(ink.astype(np.uint8))
    if max(whole.shape) >= GRAIN / 6:
        # A stroke is wider than the grain of paper or sensor, so a slight blur leaves the one and evens out the other.
        smooth = smooth.filter(ImageFilter.GaussianBlur(blur))
    counts = np.array(smooth.histogram())
    counts[0] += whole.size - ink.size
    # The darkest of all may be a glint or a grain; but a thin line is little of a picture.
    peak = int(np.flatnonzero(counts[::-1].cumsum()[::-1] > whole.size / PEAKS)[-1])
    if peak < FAINTEST:
        raise ImageError(NO_INK)
    # Half of the threshold, because the soft edge of a stroke belongs to the stroke.
    level = max(otsu_threshold(counts) / 2, FAINTEST / 2)
    strokes[box] = np.where(np.asarray(smooth) < level, 0, ink / peak).clip(0, 1)
    return strokes


def _cut_out(ink: Ink) -> tuple[Ink, int]:
    """Return the part with ink, with a margin wherever the picture has one, and by how much it was reduced."""
    part = ink[_box(ink, margin=1)]
    factor = max(part.shape) // LARGEST_INK
    if factor <= 1:
        return part, 1
    part = ink[_box(ink, margin=1 + factor)]  # of which at least a pixel is left
    return np.asarray(Image.fromarray(part).reduce(factor)), factor


def _box(marked: NDArray[Any], margin: int) -> tuple[slice, slice]:
    """Return the rows and columns of all that is not zero, with a margin wherever the picture has one."""
    rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    if rows.size == 0:
        return slice(0), slice(0)
    return (
        slice(max(rows[0] - margin, 0), rows[-1] + margin + 1),
        slice(max(columns[0] - margin, 0), columns[-1] + margin + 1),
    )
