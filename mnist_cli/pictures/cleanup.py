"""Removing what is not part of the digit: shadows, lines, boxes, specks, paler ink.

The constants were set by hand; `benchmarks/preparation.py --constants` prints what halving and doubling each changes.
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image
from scipy import ndimage

from mnist_cli.arrays import Ink, Levels, Picture
from mnist_cli.pictures.threshold import otsu_threshold

LIGHT_SIDE = 160  # px, the longer side of the reduced picture in which the light is estimated
# Of the longer side: the wide window preserves the strokes of a thick pen, the narrow one follows the edge of a shadow.
WINDOWS = (0.3, 0.12)
BRIGHTEST = 1.15  # times the largest difference from the paper: the difference of a place without any light
MIN_LIGHT = 16  # grey levels: on paper darker than this, noise would be taken for ink
MIN_LINE = 0.6  # of a side of the picture: a longer straight line belongs to a form or to lined paper
MIN_LINE_PX = 8  # px: a shorter line cannot be distinguished from a stroke
MIN_PALE = 0.1  # of the ink: if less than this is pale and away from dark strokes, there is one kind of ink
SPECK = 0.02  # of the ink of the largest connected part: a part with less is a speck


def remove_shadow(levels: Levels, window: float) -> Levels:
    """Remove shadows and other uneven light, by subtracting a morphological opening.

    What is wider than `window`, a fraction of the longer side, is light; what is narrower may be ink.
    """
    height, width = levels.shape
    scale = min(1.0, LIGHT_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(Image.fromarray(levels).resize(size, Image.Resampling.BOX))
    reach = max(3, round(window * max(size)))
    light = ndimage.grey_opening(ndimage.gaussian_filter(small, 1), size=(reach, reach))
    light = ndimage.uniform_filter(light, max(1, reach // 6))
    whole = np.asarray(Image.fromarray(light).resize((width, height), Image.Resampling.BILINEAR))
    # In a shadow, ink and paper differ less than in the light, in proportion to the light that falls there.
    black = BRIGHTEST * max(float(levels.max()), 1.0)
    even: Levels = (levels - whole) * (black / (black - whole.clip(0)))
    return even


def reflectance(picture: Picture, window: float) -> Levels:
    """Return how much darker each pixel is than the brightest in its surroundings, 0 to 255, independent of the light.

    The surroundings are a window of `window` times the longer side. It suits sheets on a table: both are in the same light.
    """
    height, width = picture.shape[:2]
    grey = picture.mean(axis=2, dtype=np.float32)
    scale = min(1.0, LIGHT_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = ndimage.gaussian_filter(np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BOX)), 1)
    reach = max(3, round(window * max(size)))
    bright = ndimage.grey_closing(small, size=(reach, reach))
    # Smoothed, but nowhere brighter, so that the light of a sheet does not spread beyond its edge.
    bright = np.minimum(ndimage.uniform_filter(bright, max(1, reach // 6)), bright)
    light = np.asarray(Image.fromarray(bright).resize((width, height), Image.Resampling.BILINEAR))
    darker: Levels = (255 * (1 - grey / np.maximum(light, MIN_LIGHT))).clip(0, 255)
    return darker


def clean(ink: Ink, sides: tuple[float, ...]) -> Iterator[Ink]:
    """Yield versions of the ink without what may not be part of the digit; `sides` are the whole picture's, in px of `ink`."""
    strong = _strongest(ink)
    if strong is not None:
        yield strong
    for source in (ink, strong):
        if source is None:
            continue
        for cleaned in (_without_lines(source, sides), _main_part(source)):
            if cleaned is not None:
                yield cleaned


def _strongest(ink: Ink) -> Ink | None:
    """Return the darker of two kinds of ink, as on graph paper, or None when there is only one."""
    values = ink[ink > 0]
    level = otsu_threshold(np.bincount((values * 255).astype(np.uint8), minlength=256)) / 255
    strong = ink >= level
    # The pale edge of a stroke does not count as ink of another kind.
    apart = (ink > 0) & ~ndimage.maximum_filter(strong, 5)
    if np.count_nonzero(apart) < MIN_PALE * len(values) or not strong.any():
        return None
    darker: Ink = np.where(ndimage.maximum_filter(strong, 3), ink, 0)
    return darker


def _without_lines(ink: Ink, sides: tuple[float, ...]) -> Ink | None:
    """Return the ink without long straight lines, or None when there are none."""
    inked = ink > 0
    lines = np.zeros_like(inked)
    for axis in (0, 1):
        along = int(MIN_LINE * sides[axis])
        if not MIN_LINE_PX <= along <= ink.shape[axis]:
            continue
        thick = ndimage.maximum_filter1d(inked, 3, axis=1 - axis)  # a line may be a little askew
        thin = ndimage.minimum_filter1d(thick.astype(np.uint8), along, axis=axis)
        lines |= ndimage.maximum_filter1d(thin, along, axis=axis).astype(bool)
    if not lines.any():
        return None
    rest = np.where(lines, 0, ink).astype(np.float32)
    return _main_part(rest, always=True)


def _main_part(ink: Ink, *, always: bool = False) -> Ink | None:
    """Return the ink without specks and without parts that touch the border; None if that changes nothing, unless `always`."""
    labels, count = ndimage.label(ink > 0, structure=np.ones((3, 3)))
    if count == 0:
        return None
    if count == 1:
        return ink if always else None
    index = np.arange(1, count + 1)
    masses = ndimage.sum_labels(ink, labels, index)
    boxes = ndimage.find_objects(labels)
    height, width = ink.shape
    inside = np.array([b[0].start > 0 and b[1].start > 0 and b[0].stop < height and b[1].stop < width for b in boxes])
    if not inside.any():
        inside[:] = True
    kept = inside & (masses >= SPECK * masses[inside].max())
    if kept.all():
        return ink if always else None
    part: Ink = np.where(np.concatenate([[False], kept])[labels], ink, 0)
    return part
