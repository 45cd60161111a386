"""Separating ink from paper, in several ways, since no single one suits all pictures.

What evens out the shadow on a photo hollows a thick marker, and what removes the box of a form may remove the bar of a 7.
So a picture gives several candidates, and the model decides which of them is a digit.

The constants were set by hand; `benchmarks/preparation.py --constants` prints what halving and doubling each changes.
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
BLUR = 1 / 300  # of the picture's longer side: standard deviation of the blur that evens out the grain of paper
MIN_BLURRED_SIDE = 50  # px, the longer side from which on a picture is blurred
MIN_CONTRAST = 8  # grey levels between ink and paper; below this lies the noise of an empty page
GLINTS = 1 / 2_000  # of the pixels, which may be darker than the ink: a reflection, a grain
MAX_INK_SIDE = 90  # px, the longer side down to which the ink is reduced before it is cleaned
BORDER_WINDOWS = 40  # averages along the border of the picture in which uneven light shows
MAX_FRAME_AREA = 0.3  # of the pixels that have the colour of the border, if that is a frame and not the paper
MAX_FRAME = 0.05  # of the shorter side of the picture: how wide such a frame is, or 2 px
PAPER_FITS = 3  # rounds of the robust fit of the paper's colour, each without the outliers of the one before


def candidates(picture: Picture) -> Iterator[Ink]:
    """Yield what may be the ink of a picture, the likeliest first; the others take ten times as long to find.

    Raises ImageError when nothing differs from the paper.
    """
    levels, uneven = difference_from_paper(picture)
    found = [separate(levels)]
    yield _cut_out(found[0])[0]

    from mnist_cli.pictures import cleanup  # imports scipy, which takes a while and which most pictures do not need

    lights = [-levels]
    if uneven:  # under a shadow, ink may well be on the side with less of it
        lights = [cleanup.flatten(light, window) for light in (levels, -levels) for window in cleanup.WINDOWS]
    for light in lights:
        with suppress(ImageError):
            found.append(separate(light))
    parts = [_cut_out(ink) for ink in found]
    yield from (ink for ink, _ in parts[1:])
    for ink, factor in parts:
        yield from cleanup.clean(ink, sides=tuple(side / factor for side in levels.shape))


def difference_from_paper(picture: Picture) -> tuple[Levels, bool]:
    """Return how far each pixel is from the paper towards the ink, and whether the light on the paper is uneven.

    The paper is a plane of light and colour, fitted to the border of the picture; ink is what differs most.
    """
    border, middle, is_plain = _border(picture)
    unframed = _without_frame(picture, middle)
    if unframed is not picture:
        picture = unframed
        border, middle, is_plain = _border(picture)
    if is_plain or np.abs(border - middle).sum(axis=1).max() <= MIN_CONTRAST / 2:  # paper of one colour
        difference, uneven = middle.astype(np.float32) - picture, False
    else:
        paper, uneven = _sloping_paper(border, middle, picture.shape)
        difference = paper - picture
    levels = _along_the_main_colour(difference)
    positive = float(np.square(levels.clip(0)).sum() / max(np.square(levels).sum(), 1e-9))
    return (levels if positive >= 0.5 else -levels), uneven


def _border(picture: Picture) -> tuple[NDArray[Any], NDArray[Any], bool]:
    """Return the outermost pixels of a picture, (N, channels), their median, and whether all are the same."""
    border = np.concatenate([picture[0], picture[-1], picture[1:-1, 0], picture[1:-1, -1]])
    is_plain = bool((border == border[0]).all())  # as most drawings are, so that there is no median to look for
    return border, border[0] if is_plain else np.median(border, axis=0), is_plain


def _without_frame(picture: Picture, colour: NDArray[Any]) -> Picture:
    """Return the picture with the frame that is drawn along its edges, in a colour, covered by what is next to it.

    Paper is most of a picture, so a border whose colour is rare in it is no paper.
    """
    like = np.abs(picture - colour).max(axis=2) <= 2 * MIN_CONTRAST
    if like.mean() > MAX_FRAME_AREA:
        return picture
    reach = max(3, round(MAX_FRAME * min(like.shape)))
    sides = [side[:reach].mean(axis=1) >= 0.5 for side in (like, like[::-1], like.T, like.T[::-1])]
    top, bottom, left, right = (int(side.argmin()) if not side.all() else reach for side in sides)
    if reach in (top, bottom, left, right) or not top + bottom + left + right:
        return picture
    inner = picture[top : len(picture) - bottom, left : picture.shape[1] - right]
    # Without ink in it, what the border surrounds is the ink.
    is_blank = not inner.size or bool((np.abs(inner - _border(inner)[1]).max(axis=2) <= 2 * MIN_CONTRAST).all())
    return picture if is_blank else np.pad(inner, ((top, bottom), (left, right), (0, 0)), mode="edge")


def _sloping_paper(
    border: NDArray[Any], middle: NDArray[Any], shape: tuple[int, int, int]
) -> tuple[NDArray[np.float32], bool]:
    """Return the plane fitted to a picture's border, (height, width, channels), and whether the light is no plane."""
    height, width, channels = shape
    rows, columns = np.linspace(-1, 1, height), np.linspace(-1, 1, width)
    sides = np.ones_like(rows[1:-1])
    y = np.concatenate([np.full(width, -1.0), np.full(width, 1.0), rows[1:-1], rows[1:-1]])
    x = np.concatenate([columns, columns, -sides, sides])
    terms = np.column_stack([np.ones_like(x), y, x])
    slope = np.zeros((3, channels))
    slope[0] = middle
    for _ in range(
        PAPER_FITS
    ):  # each time without what does not look like paper, such as a stroke that leaves the picture
        distance = np.abs(border - terms @ slope).sum(axis=1)
        near = distance <= max(3 * float(np.median(distance)), MIN_CONTRAST)
        slope = np.linalg.lstsq(terms[near], border[near], rcond=None)[0]
    # Averaged over a part of the border, noise cancels out and a shadow does not.
    window = max(1, len(border) // BORDER_WINDOWS)
    rest = np.convolve((border - terms @ slope).mean(axis=1), np.full(window, 1 / window), "valid")
    slope = slope.astype(np.float32)
    down = slope[1] * rows.astype(np.float32)[:, None, None]
    across = slope[2] * columns.astype(np.float32)[:, None]
    return slope[0] + down + across, bool(np.abs(rest).max() > MIN_CONTRAST / 2)


def _along_the_main_colour(difference: NDArray[np.float32]) -> Levels:
    """Return differences in colour, (height, width, channels), along the direction in which they are largest."""
    height, width, channels = difference.shape
    if channels == 1:
        return difference[:, :, 0]
    flat = difference.reshape(-1, channels)
    direction = np.linalg.eigh(flat.T @ flat)[1][:, -1]
    levels: Levels = (flat @ direction * np.float32(np.abs(direction).max())).reshape(height, width)
    return levels


def separate(levels: Levels) -> Ink:
    """Return the ink, 0 to 1, in levels that are higher where there is some.

    Raises ImageError when there is none.
    """
    whole = levels.clip(0, 255)
    strokes = np.zeros_like(whole)
    blur = max(whole.shape) * BLUR
    box = _box(whole >= 1, margin=3 * math.ceil(blur + 1))  # as far as a blur reaches; beyond is nothing to look at
    ink = whole[box]
    if ink.size == 0:
        raise ImageError(NO_INK)
    smooth = Image.fromarray(ink.astype(np.uint8))
    if max(whole.shape) >= MIN_BLURRED_SIDE:
        # A stroke is wider than the grain of paper or sensor, so a slight blur leaves the one and evens out the other.
        smooth = smooth.filter(ImageFilter.GaussianBlur(blur))
    counts = np.array(smooth.histogram())
    counts[0] += whole.size - ink.size
    # The darkest of all may be a reflection or a grain; but a thin line is little of a picture.
    peak = int(np.flatnonzero(counts[::-1].cumsum()[::-1] > whole.size * GLINTS)[-1])
    if peak < MIN_CONTRAST:
        raise ImageError(NO_INK)
    # Half of the threshold, because the soft edge of a stroke belongs to the stroke.
    level = max(otsu_threshold(counts) / 2, MIN_CONTRAST / 2)
    strokes[box] = np.where(np.asarray(smooth) < level, 0, ink / peak).clip(0, 1)
    return strokes


def _cut_out(ink: Ink) -> tuple[Ink, int]:
    """Return the part with ink, with a margin wherever the picture has one, and by how much it was reduced."""
    part = ink[_box(ink, margin=1)]
    factor = max(part.shape) // MAX_INK_SIDE
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
