"""Separating ink from paper, in several ways, because no single one suits all pictures.

A filter that removes the shadow from a photo hollows out the strokes of a thick marker, and one that removes the box of a
form may remove the bar of a 7. So a picture gives several candidates, and the model decides which of them is a digit.

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
MIN_BLURRED_SIDE = 50  # px, of the longer side: smaller pictures are not blurred
MIN_CONTRAST = 8  # grey levels between ink and paper; a smaller difference is the noise of an empty page
GLINTS = 1 / 2_000  # of the pixels: so many may be darker than the ink (reflections, grain) and are ignored
MAX_INK_SIDE = 90  # px, the longer side down to which the ink is reduced before it is cleaned
BORDER_WINDOWS = 40  # windows along the border, over which its light is averaged to find out whether it is even
MAX_FRAME_AREA = 0.3  # of the picture: if more of it has the colour of the border, that is the paper and not a frame
MAX_FRAME = 0.05  # of the shorter side of the picture, or 2 px: the largest width of such a frame
PAPER_FITS = 3  # iterations of the robust fit of the paper's colour, each without the outliers of the one before


def candidates(picture: Picture) -> Iterator[Ink]:
    """Yield the candidates for the ink of a picture, the likeliest first; the others take ten times as long to compute.

    Raises ImageError when nothing differs from the paper.
    """
    levels, uneven = difference_from_paper(picture)
    found = [separate(levels)]
    yield _crop(found[0])[0]

    from mnist_cli.pictures import cleanup  # imports scipy, which takes a while and which most pictures do not need

    variants = [-levels]
    if uneven:  # a shadow may hide whether the ink is darker or lighter than the paper, so both are tried
        variants = [cleanup.remove_shadow(sign * levels, window) for sign in (1, -1) for window in cleanup.WINDOWS]
    for variant in variants:
        with suppress(ImageError):
            found.append(separate(variant))
    parts = [_crop(ink) for ink in found]
    yield from (ink for ink, _ in parts[1:])
    for ink, factor in parts:
        yield from cleanup.clean(ink, sides=tuple(side / factor for side in levels.shape))


def difference_from_paper(picture: Picture) -> tuple[Levels, bool]:
    """Return how much each pixel differs from the paper, higher = more like ink, and whether the light is uneven.

    The colour of the paper is a plane fitted to the border of the picture; what differs most from it is ink.
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
    return (levels if _is_mostly_positive(levels) else -levels), uneven


def _is_mostly_positive(levels: Levels) -> bool:
    """Return whether half of the variation of levels, or more, is that of the positive ones."""
    highest = levels.max()
    if highest <= 0 or levels.min() >= 0:  # as in most drawings
        return bool(highest > 0)
    return bool(np.square(levels.clip(0)).sum() / max(np.square(levels).sum(), 1e-9) >= 0.5)


def _border(picture: Picture) -> tuple[NDArray[Any], NDArray[Any], bool]:
    """Return the outermost pixels of a picture, (N, channels), their median, and whether all are the same."""
    border = np.concatenate([picture[0], picture[-1], picture[1:-1, 0], picture[1:-1, -1]])
    is_plain = bool((border == border[0]).all())  # as in most drawings; then the median need not be computed
    return border, border[0] if is_plain else np.median(border, axis=0), is_plain


def _without_frame(picture: Picture, colour: NDArray[Any]) -> Picture:
    """Replace a frame that is drawn along the edges of a picture, in `colour`, by the pixels next to it.

    Most of a picture is paper, so a border in a colour that is rare elsewhere is a frame.
    """
    difference = np.abs(picture - colour)
    like = (difference[:, :, 0] if difference.shape[2] == 1 else difference.max(axis=2)) <= 2 * MIN_CONTRAST
    if np.count_nonzero(like) / like.size > MAX_FRAME_AREA:
        return picture
    reach = max(3, round(MAX_FRAME * min(like.shape)))
    sides = [side[:reach].mean(axis=1) >= 0.5 for side in (like, like[::-1], like.T, like.T[::-1])]
    top, bottom, left, right = (int(side.argmin()) if not side.all() else reach for side in sides)
    if reach in (top, bottom, left, right) or not top + bottom + left + right:
        return picture
    inner = picture[top : len(picture) - bottom, left : picture.shape[1] - right]
    # If there is no ink inside the border, then the inside is the ink and the border is the paper.
    is_blank = not inner.size or bool((np.abs(inner - _border(inner)[1]).max(axis=2) <= 2 * MIN_CONTRAST).all())
    return picture if is_blank else np.pad(inner, ((top, bottom), (left, right), (0, 0)), mode="edge")


def _sloping_paper(
    border: NDArray[Any], middle: NDArray[Any], shape: tuple[int, int, int]
) -> tuple[NDArray[np.float32], bool]:
    """Return the plane fitted to a picture's border, (height, width, channels), and whether the border differs from it."""
    height, width, channels = shape
    rows, columns = np.linspace(-1, 1, height), np.linspace(-1, 1, width)
    sides = np.ones_like(rows[1:-1])
    y = np.concatenate([np.full(width, -1.0), np.full(width, 1.0), rows[1:-1], rows[1:-1]])
    x = np.concatenate([columns, columns, -sides, sides])
    terms = np.column_stack([np.ones_like(x), y, x])
    slope = np.zeros((3, channels))
    slope[0] = middle
    # Pixels that do not look like paper, such as those of a stroke that touches the border, are left out of each fit.
    for _ in range(PAPER_FITS):
        distance = np.abs(border - terms @ slope).sum(axis=1)
        near = distance <= max(3 * float(np.median(distance)), MIN_CONTRAST)
        slope = np.linalg.lstsq(terms[near], border[near], rcond=None)[0]
    # In an average over a part of the border, noise cancels out and a shadow does not.
    window = max(1, len(border) // BORDER_WINDOWS)
    rest = np.convolve((border - terms @ slope).mean(axis=1), np.full(window, 1 / window), "valid")
    slope = slope.astype(np.float32)
    down = slope[1] * rows.astype(np.float32)[:, None, None]
    across = slope[2] * columns.astype(np.float32)[:, None]
    return slope[0] + down + across, bool(np.abs(rest).max() > MIN_CONTRAST / 2)


def _along_the_main_colour(difference: NDArray[np.float32]) -> Levels:
    """Return differences in colour, (height, width, channels), projected onto their first principal component."""
    height, width, channels = difference.shape
    if channels == 1:
        return difference[:, :, 0]
    flat = difference.reshape(-1, channels)
    direction = np.linalg.eigh(flat.T @ flat)[1][:, -1]
    levels: Levels = (flat @ direction * np.float32(np.abs(direction).max())).reshape(height, width)
    return levels


def separate(levels: Levels) -> Ink:
    """Return the ink, 0 to 1, of levels that are higher where there is ink.

    Raises ImageError when there is none.
    """
    whole = levels.clip(0, 255)
    strokes = np.zeros_like(whole)
    blur = max(whole.shape) * BLUR
    box = _box(whole >= 1, margin=3 * math.ceil(blur + 1))  # all that the blur can change
    ink = whole[box]
    if ink.size == 0:
        raise ImageError(NO_INK)
    smooth = Image.fromarray(ink.astype(np.uint8))
    if max(whole.shape) >= MIN_BLURRED_SIDE:
        # A stroke is wider than the grain of paper or sensor, so a slight blur keeps strokes and smooths the grain.
        smooth = smooth.filter(ImageFilter.GaussianBlur(blur))
    counts = np.array(smooth.histogram())
    counts[0] += whole.size - ink.size
    # The few strongest pixels may be a reflection or grain; only a few, because a thin line has few pixels, too.
    peak = int(np.flatnonzero(counts[::-1].cumsum()[::-1] > whole.size * GLINTS)[-1])
    if peak < MIN_CONTRAST:
        raise ImageError(NO_INK)
    # Half of the threshold, because the soft edge of a stroke belongs to the stroke.
    level = max(otsu_threshold(counts) / 2, MIN_CONTRAST / 2)
    strokes[box] = np.where(np.asarray(smooth) < level, 0, np.minimum(ink / peak, 1))
    return strokes


def _crop(ink: Ink) -> tuple[Ink, int]:
    """Crop to the ink, with a margin where the picture has one, reduce it, and return it with the factor of that."""
    inked = ink > 0
    part = ink[_box(inked, margin=1)]
    factor = max(part.shape) // MAX_INK_SIDE
    if factor <= 1:
        return part, 1
    part = ink[_box(inked, margin=1 + factor)]  # so that the reduced one still has a margin
    return np.asarray(Image.fromarray(part).reduce(factor)), factor


def _box(marked: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    """Return the rows and columns of all that is marked, with a margin wherever the picture has one."""
    rows, columns = np.flatnonzero(marked.any(axis=1)), np.flatnonzero(marked.any(axis=0))
    if rows.size == 0:
        return slice(0), slice(0)
    return (
        slice(max(rows[0] - margin, 0), rows[-1] + margin + 1),
        slice(max(columns[0] - margin, 0), columns[-1] + margin + 1),
    )
