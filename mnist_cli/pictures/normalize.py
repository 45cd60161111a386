"""Normalization: ink, scaled and centred the way MNIST does it.

A digit in MNIST is light ink on dark paper, scaled to fit 20x20 pixels with its shape kept, and placed so that its
centre of mass is the middle of 28x28 (LeCun, Cortes and Burges, "The MNIST database of handwritten digits").
"""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageFilter

from mnist_cli.arrays import FRAME, Frame, Frames, Ink, Picture

DIGIT_SIDE = 20  # px, the longer side of the digit in a frame, as in MNIST
CENTRE = 14.5  # px from the edge to the centre of mass: the middle of pixel 14, where it is in MNIST on average
MAX_DIGIT_SIDE = 80  # px: a larger digit is reduced by averaging before it is scaled, for speed; set by hand
REACH = 2  # px of a frame, or of the ink where that is enlarged: as far as the filters of `draw` reach
STROKE_LEVEL = 1.15  # times the ink-weighted mean level is white; set by hand (1.18 over 5,000 training images)

# Other views of ink.
WIDER = 1.25  # times its width
BLUR = 0.05  # of its longer side: standard deviation of a Gaussian
PALEST = 0.05  # of the darkest ink: paler pixels of a blurred view are paper

# How a 28x28 picture is recognized as an MNIST frame; set by hand: 99.95 % of the 60,000 training images are recognized.
MAX_SIDE_ERROR = 2  # px, of the digit's longer side
MAX_CENTRE_ERROR = 1  # px, of the centre of mass
LIGHT = 127  # mean grey level of the edges of frames from which on their paper is light
MIN_PEAK = 200  # grey levels out of 255, of the strongest ink


def draw(ink: Ink) -> Frame:
    """Draw ink of any size and anywhere in its picture the way MNIST does; there must be some."""
    digit = _cropped(ink)
    height, width = digit.shape
    scale = DIGIT_SIDE / max(digit.shape)
    total = digit.sum()
    # The position of the digit's corner, so that its centre of mass is in the middle and its edges stay in the frame.
    top_px = _start(float(digit.sum(axis=1) @ np.arange(0.5, height) / total) * scale, height * scale)
    left_px = _start(float(digit.sum(axis=0) @ np.arange(0.5, width) / total) * scale, width * scale)
    # resize() needs a box inside the picture, and around it what its filter reaches.
    margin, reach = math.ceil(FRAME / scale), math.ceil(REACH * max(1, 1 / scale))
    left, top = margin - left_px / scale, margin - top_px / scale
    box = (left, top, left + FRAME / scale, top + FRAME / scale)
    page = np.zeros((math.ceil(box[3]) + reach, math.ceil(box[2]) + reach), dtype=np.float32)
    page[margin : margin + height, margin : margin + width] = digit
    # Enlarging interpolates between the pixels, reducing averages them.
    kind = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.HAMMING
    drawn = np.asarray(Image.fromarray(page).resize((FRAME, FRAME), kind, box=box)).clip(0)
    # A thin line gets pale when it is reduced. Its typical level, the mean weighted by the ink itself, is set to MNIST's.
    level = float(np.square(drawn).sum() / drawn.sum()) * STROKE_LEVEL
    frame: Frame = (drawn * (255 / min(level, float(drawn.max())))).clip(0, 255).round().astype(np.uint8)[np.newaxis]
    return frame


def views(ink: Ink) -> list[Ink]:
    """Return ink in other views, in which a digit is still that digit: wider, blurred, and both."""
    digit = _cropped(ink)
    height, width = digit.shape
    wider = np.asarray(Image.fromarray(digit).resize((math.ceil(WIDER * width), height)))
    return [wider, _blurred(digit), _blurred(wider)]


def already_drawn(pictures: Sequence[Picture]) -> list[Frame | None]:
    """Return the frame of each picture that is one already, such as a PNG of an MNIST image; None for the others.

    It is vectorized over the pictures, because a folder may have 100,000 of them.
    """
    found: list[Frame | None] = [None] * len(pictures)
    indices = [index for index, picture in enumerate(pictures) if picture.shape == (FRAME, FRAME, 1)]
    if not indices:
        return found
    levels = np.stack([pictures[index][:, :, 0] for index in indices])
    paper = levels[:, :1, :1]
    ink = np.abs(paper - levels)
    lengths = np.stack([ink.any(axis=2).sum(axis=1), ink.any(axis=1).sum(axis=1)])
    total = ink.sum(axis=(1, 2)) + 1e-9
    middles = np.stack([ink.sum(axis=3 - axis) @ np.arange(FRAME) / total for axis in (1, 2)])
    drawn = (
        np.isin(paper[:, 0, 0], (0, 255))
        & (np.abs(lengths.max(axis=0) - DIGIT_SIDE) <= MAX_SIDE_ERROR)
        & (np.abs(middles - CENTRE + 0.5) <= MAX_CENTRE_ERROR).all(axis=0)
        & (ink.max(axis=(1, 2)) >= MIN_PEAK)
    )
    for index, frame, good in zip(indices, ink.astype(np.uint8)[:, np.newaxis], drawn, strict=True):
        if good:
            found[index] = frame
    return found


def as_frames(pictures: Sequence[Picture]) -> list[Frame | None]:
    """Return each picture of 28x28 grey pixels as a frame with dark paper; None for the others.

    It is for pictures of anything: those of digits are frames only if they are drawn as MNIST draws, see `already_drawn`.
    """
    return [
        upright(picture.transpose(2, 0, 1)[np.newaxis].round().astype(np.uint8))[0]
        if picture.shape == (FRAME, FRAME, 1)
        else None
        for picture in pictures
    ]


def upright(frames: Frames) -> Frames:
    """Return frames (N, 1, 28, 28) with dark paper: inverted when that of all together is light, by the pixels at their edges."""
    edges = (frames[:, :, 0], frames[:, :, -1], frames[:, :, :, 0], frames[:, :, :, -1])
    is_light = len(frames) and float(np.mean([edge.mean() for edge in edges])) > LIGHT
    return 255 - frames if is_light else frames


def _cropped(ink: Ink) -> Ink:
    """Return the ink without the paper around it, reduced if it is large."""
    inked = ink > 0
    rows, columns = np.flatnonzero(inked.any(axis=1)), np.flatnonzero(inked.any(axis=0))
    digit = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    factor = max(digit.shape) // MAX_DIGIT_SIDE
    return np.asarray(Image.fromarray(digit).reduce(factor)) if factor > 1 else digit


def _blurred(ink: Ink) -> Ink:
    """Return ink out of focus, with room for its soft edges."""
    deviation = BLUR * max(ink.shape)
    image = Image.fromarray((255 * np.pad(ink, math.ceil(3 * deviation))).clip(0, 255).astype(np.uint8))
    levels = np.asarray(image.filter(ImageFilter.GaussianBlur(deviation)), dtype=np.float32)
    return np.where(levels < PALEST * levels.max(), 0, levels / np.float32(255))


def _start(mass: float, length: float) -> float:
    """Return where along an axis of the frame a digit begins, px, whose mass lies `mass` px after that."""
    return min(max(CENTRE - mass, 0.0), FRAME - length)
