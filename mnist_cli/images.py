"""A picture from the user, redrawn the way MNIST draws digits.

A digit in MNIST is light ink on dark paper, scaled to fit 20x20 pixels with its shape kept, and placed so that its
centre of mass is the middle of 28x28 (LeCun, Cortes and Burges, "The MNIST database of handwritten digits"). Whatever
the size, colours and place of the digit in a picture, this is how the model has to see it.
"""

import math
import stat
import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter, ImageOps, ImageStat, UnidentifiedImageError

from mnist_cli.errors import ImageError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
FRAME = 28  # px, height and width of what a model sees
DIGIT = 20  # px, the longer side of the digit in it
CENTRE = 14.5  # px from the edge to the centre of mass: the middle of pixel 14, where it is in MNIST on average
OVERSAMPLED = 80  # px, the longer side down to which a large digit is averaged before it is placed
LARGEST = 128_000_000  # px, beyond which a picture is refused before it is decoded
TOO_LARGE = f"the picture has too many pixels, at most {LARGEST:,} are read"
WORKING_SIZE = 1_000  # px, the longer side to which a larger picture is first reduced
GRAIN = 300  # parts of the picture's longer side that a blur against the grain of paper reaches
FAINTEST = 8  # grey levels out of 255 between ink and paper; below this lies the noise of an empty page

Grey = NDArray[np.float32]  # (height, width), 0 = black .. 255 = white
Frame = NDArray[np.uint8]  # (1, 28, 28), 0 = paper .. 255 = ink


def read(path: Path) -> Frame:
    """Return the digit in a picture file, drawn as MNIST draws.

    Raises ImageError when the file is missing, not a picture, too large, or empty.
    """
    try:
        return redraw(_read_grey(path))
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error


def redraw(grey: Grey) -> Frame:
    """Draw the digit in a grey picture the way MNIST does.

    Raises ImageError when there is no ink in it.
    """
    digit = _crop(extract_ink(grey))
    factor = max(digit.shape) // OVERSAMPLED
    if factor > 1:
        digit = np.asarray(Image.fromarray(digit).reduce(factor))
    scale = DIGIT / max(digit.shape)
    # The corner of the frame in pixels of the digit, so placed that neither mass nor edge leaves the frame.
    corner = []
    for axis, length in enumerate(digit.shape):
        mass = digit.sum(axis=1 - axis)
        centre = (mass * (np.arange(length) + 0.5)).sum() / mass.sum()
        place = np.clip(CENTRE - centre * scale, 0, FRAME - length * scale)
        corner.append(float(-place / scale))
    # resize() wants its box inside the picture, so the digit gets a margin of a whole frame.
    margin = math.ceil(FRAME / scale)
    top, left = corner[0] + margin, corner[1] + margin
    box = (left, top, left + FRAME / scale, top + FRAME / scale)
    page = Image.fromarray(np.pad(digit, margin))
    frame = np.asarray(page.resize((FRAME, FRAME), Image.Resampling.HAMMING, box=box))
    drawn: Frame = (frame * (255 / frame.max())).clip(0, 255).round().astype(np.uint8)[np.newaxis]
    return drawn


def _crop(ink: Grey) -> Grey:
    """Cut off the paper around the ink."""
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def extract_ink(grey: Grey) -> Grey:
    """Tell ink from paper: the same picture as 0 = paper .. 1 = ink.

    Paper is what the border shows, ink is what differs most from it, darker or lighter. Raises ImageError when
    nothing does.
    """
    difference = _fit_paper(grey) - grey
    dark, light = np.maximum(difference, 0), np.maximum(-difference, 0)
    ink = dark if np.square(dark).sum() >= np.square(light).sum() else light
    # A stroke is wider than the grain of paper or sensor, so a slight blur leaves the one and averages out the other.
    blur = ImageFilter.GaussianBlur(max(ink.shape) / GRAIN)
    smooth = np.asarray(Image.fromarray(ink.astype(np.uint8)).filter(blur), dtype=np.float32)
    peak = float(smooth.max())
    if peak < FAINTEST:
        raise ImageError("there is no ink in the picture")
    # Half of the threshold, because the soft edge of a stroke belongs to the stroke.
    level = _otsu_threshold(smooth / peak) * peak / 2
    strokes: Grey = np.where(smooth < level, 0, ink / peak).clip(0, 1)
    return strokes


def _fit_paper(grey: Grey) -> Grey:
    """Return what the picture would be without ink: a slope of light fitted to its border."""
    rows, columns = np.meshgrid(*map(np.arange, grey.shape), indexing="ij")
    is_border = np.ones(grey.shape, dtype=bool)
    is_border[1:-1, 1:-1] = False
    border = grey[is_border]
    terms = np.column_stack([np.ones_like(border), rows[is_border], columns[is_border]])
    slope = np.array([np.median(border), 0, 0])
    for _ in range(3):  # each time without what does not look like paper, such as a stroke that leaves the picture
        distance = np.abs(border - terms @ slope)
        near = distance <= max(3 * np.median(distance), FAINTEST)
        slope = np.linalg.lstsq(terms[near], border[near], rcond=None)[0]
    paper: Grey = (slope[0] + slope[1] * rows + slope[2] * columns).astype(np.float32)
    return paper


def _read_grey(path: Path) -> Grey:
    """Decode a picture, turn it upright, lay it on paper and make it grey."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise ImageError("this is a folder; name the files in it" if path.is_dir() else "this is not a file")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata and of sizes that LARGEST allows
            with Image.open(path, formats=FORMATS) as picture:
                if picture.width * picture.height > LARGEST:
                    raise ImageError(TOO_LARGE)
                picture.draft("L", (WORKING_SIZE, WORKING_SIZE))  # lets a JPEG decode straight to a smaller size
                return _to_grey(ImageOps.exif_transpose(_shrink(picture)))
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError("there is no such file") from error
    except PermissionError as error:
        raise ImageError("there is no permission to read it") from error
    except UnidentifiedImageError as error:
        raise ImageError(f"this is not a picture in a format read here ({', '.join(FORMATS)})") from error
    except Image.DecompressionBombError as error:
        raise ImageError(TOO_LARGE) from error
    # Pillow's decoders raise nearly anything on a broken file, and a broken file must not end the run.
    except Exception as error:
        raise ImageError(f"the picture cannot be decoded: {error}") from error


def _shrink(picture: Image.Image) -> Image.Image:
    """Average a large picture down to WORKING_SIZE, where its mode allows that."""
    factor = max(picture.size) // WORKING_SIZE
    return picture.reduce(factor) if factor > 1 and picture.mode in {"L", "RGB", "RGBA", "LA", "CMYK"} else picture


def _to_grey(picture: Image.Image) -> Grey:
    """Return the picture as grey levels, whatever its mode."""
    if picture.mode.startswith(("I", "F")):  # 16 or 32 bits a pixel, which convert("L") would clip at 255
        levels = np.asarray(picture, dtype=np.float32)
        if not np.isfinite(levels).all():
            raise ImageError("some of its pixels are not numbers")
        low, high = float(levels.min()), float(levels.max())
        # Scaled by its own range: such files hold 0 to 1, 0 to 1,023 or 0 to 65,535 alike.
        picture = Image.fromarray((levels - low) * (255 / (high - low)) if high > low else levels * 0)
    elif picture.has_transparency_data:
        picture = _lay_on_paper(picture.convert("RGBA"))
    else:
        picture = picture.convert("L")
    return np.asarray(_shrink(picture), dtype=np.float32)


def _lay_on_paper(picture: Image.Image) -> Image.Image:
    """Put a picture with transparency on white paper, or on black if what is drawn in it is light.

    A picture of opaque pixels only comes back as it was.
    """
    alpha, grey = picture.getchannel("A"), picture.convert("L")
    drawn = ImageStat.Stat(grey, mask=alpha.point(lambda level: 255 if level > 127 else 0))
    paper = "black" if drawn.count[0] and drawn.mean[0] > 127 else "white"
    return Image.alpha_composite(Image.new("RGBA", picture.size, paper), picture).convert("L")


def _otsu_threshold(ink: Grey) -> float:
    """Return the level, 0 to 1, that parts ink from paper with the least variance on both sides (Otsu 1979)."""
    counts, edges = np.histogram(ink, bins=256, range=(0, 1))
    levels = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sum_below = np.cumsum(counts * levels)
    with np.errstate(divide="ignore", invalid="ignore"):
        distance = sum_below / below - (sum_below[-1] - sum_below) / above
        between = np.nan_to_num(below * above * distance**2)
    return float(levels[np.argmax(between)])
