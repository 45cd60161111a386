"""A picture from the user, redrawn the way MNIST draws digits.

A digit in MNIST is light ink on dark paper, scaled to fit 20x20 pixels with its shape kept, and placed so that its
centre of mass is the middle of 28x28 (LeCun, Cortes and Burges, "The MNIST database of handwritten digits"). Whatever
the size, colours and place of the digit in a picture, this is how the model has to see it.
"""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from mnist_cli.errors import ImageError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
FRAME = 28  # px, height and width of what a model sees
DIGIT = 20  # px, the longer side of the digit in it
LARGEST = 128_000_000  # px, beyond which a picture is refused before it is decoded
WORKING_SIZE = 1_000  # px, the longer side to which a larger picture is first reduced
FAINTEST = 10  # grey levels out of 255 between ink and paper; below this lies the noise of an empty page

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
    ink = extract_ink(grey)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    digit = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = DIGIT / max(digit.shape)
    size = [max(1, round(side * scale)) for side in digit.shape]
    small = np.asarray(Image.fromarray(digit).resize((size[1], size[0]), Image.Resampling.BOX))
    return _centre(small * (255 / small.max()))


def extract_ink(grey: Grey) -> Grey:
    """Tell ink from paper: the same picture as 0 = paper .. 1 = ink.

    Paper is what the border shows, ink is what differs most from it, darker or lighter. Raises ImageError when
    nothing does.
    """
    border = np.concatenate([grey[0], grey[-1], grey[1:-1, 0], grey[1:-1, -1]])
    difference = np.median(border) - grey
    dark, light = np.maximum(difference, 0), np.maximum(-difference, 0)
    ink: Grey = dark if np.square(dark).sum() >= np.square(light).sum() else light
    if ink.max() < FAINTEST:
        raise ImageError("there is no ink in the picture")
    ink /= ink.max()
    # Half of it, because the soft edge of a stroke belongs to the stroke; the grain of the paper does not.
    ink[ink < _otsu_threshold(ink) / 2] = 0
    return ink


def _read_grey(path: Path) -> Grey:
    """Decode a picture, turn it upright, lay it on paper and make it grey."""
    if not path.exists():
        raise ImageError("there is no such file")
    if not path.is_file():
        raise ImageError("this is not a file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata and of sizes that LARGEST allows
            with Image.open(path, formats=FORMATS) as picture:
                if picture.width * picture.height > LARGEST:
                    raise ImageError(f"{picture.width:,}x{picture.height:,} pixels are too many, at most {LARGEST:,}")
                picture.draft("L", (WORKING_SIZE, WORKING_SIZE))  # lets a JPEG decode straight to a smaller size
                return _to_grey(ImageOps.exif_transpose(picture))
    except UnidentifiedImageError as error:
        raise ImageError(f"this is not a picture in a format read here ({', '.join(FORMATS)})") from error
    except PermissionError as error:
        raise ImageError("there is no permission to read it") from error
    # Pillow's decoders raise these, and only these, on broken files of the formats above.
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise ImageError(f"the picture is damaged: {error}") from error


def _to_grey(picture: Image.Image) -> Grey:
    """Return the picture as grey levels, whatever its mode, no larger than needed."""
    if picture.mode.startswith(("I", "F")):  # 16 bits a pixel, which convert("L") would clip at 255
        levels = np.asarray(picture, dtype=np.float32)
        picture = Image.fromarray(levels / 257 if levels.max() > 255 else levels)
    elif picture.has_transparency_data:
        picture = _lay_on_paper(picture.convert("RGBA"))
    else:
        picture = picture.convert("L")
    factor = -(-max(picture.size) // WORKING_SIZE)
    return np.asarray(picture.reduce(factor) if factor > 1 else picture, dtype=np.float32)


def _lay_on_paper(picture: Image.Image) -> Image.Image:
    """Put a picture with transparency on white paper, or on black if what is drawn in it is light.

    A picture of opaque pixels only comes back as it was.
    """
    alpha = np.asarray(picture.getchannel("A"), dtype=np.float32)
    grey = np.asarray(picture.convert("L"), dtype=np.float32)
    drawn_in_light = alpha.any() and np.average(grey, weights=alpha) > 127
    paper = Image.new("RGBA", picture.size, "black" if drawn_in_light else "white")
    return Image.alpha_composite(paper, picture).convert("L")


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


def _centre(digit: Grey) -> Frame:
    """Place a digit of at most 20x20 so that its centre of mass is the middle of the frame, as far as it fits."""
    frame = np.zeros((FRAME, FRAME), dtype=np.float32)
    corner = []
    for axis, length in enumerate(digit.shape):
        mass = digit.sum(axis=1 - axis)
        centre = (mass * np.arange(length)).sum() / mass.sum()
        corner.append(int(np.clip(round((FRAME - 1) / 2 - centre), 0, FRAME - length)))
    top, left = corner
    frame[top : top + digit.shape[0], left : left + digit.shape[1]] = digit
    return frame.round().clip(0, 255).astype(np.uint8)[np.newaxis]
