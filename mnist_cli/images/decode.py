"""A picture file, safely opened and turned upright: Pillow decodes, and nothing else of the file is believed."""

import io
import stat
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, ImageStat, UnidentifiedImageError

from mnist_cli.errors import FormatError, ImageError, TooLargeError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"})
LARGEST = 128_000_000  # px, beyond which a picture is refused before it is decoded
SMALL = 65_536  # bytes of a file that is read at once
WORKING_SIZE = 400  # px, the longer side to which a larger picture is reduced

Picture = NDArray[np.float32]  # (height, width, channels), 1 channel of grey or 3 of colour, 0 = black .. 255 = white


def read(path: Path, longest: int | None = WORKING_SIZE) -> Picture:
    """Return the picture in a file, reduced to at most `longest` px unless that is None; `-` is standard input.

    Raises ImageError when it is missing, not a picture, or too large.
    """
    try:
        if str(path) == "-":
            return decode(io.BytesIO(sys.stdin.buffer.read()), longest)
        if not stat.S_ISREG(path.stat().st_mode):
            raise ImageError("this is a folder; name the files in it" if path.is_dir() else "this is not a file")
        with open(path, "rb") as file:
            # Of what is small Pillow would ask a few bytes at a time, which takes as long as decoding them.
            start = file.read(SMALL)
            if len(start) < SMALL:
                return decode(io.BytesIO(start), longest)
            file.seek(0)
            return decode(file, longest)
    except ImageError as error:
        raise ImageError(f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise ImageError(f"{path}: there is no such file") from error
    except PermissionError as error:
        raise ImageError(f"{path}: there is no permission to read it") from error
    except (OSError, ValueError) as error:  # a name too long, or with a zero byte
        raise ImageError(f"{path}: {getattr(error, 'strerror', None) or error}") from error


def decode(file: BinaryIO, longest: int | None = WORKING_SIZE, largest: int = LARGEST) -> Picture:
    """Return the picture in an open file.

    Raises FormatError when there is none, TooLargeError when it has more than `largest` px, else ImageError when it is
    broken.
    """
    too_large = f"the picture has too many pixels, at most {largest:,} are read"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata and of sizes that LARGEST allows
            with Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > largest:
                    raise TooLargeError(too_large)
                if longest:
                    image.draft(None, (longest, longest))  # lets a JPEG decode straight to a smaller size
                return to_array(image, longest)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise FormatError(f"this is not a picture in a format read here ({', '.join(FORMATS)})") from error
    except Image.DecompressionBombError as error:
        raise TooLargeError(too_large) from error
    # Pillow's decoders raise nearly anything on a broken file, and a broken file must not end the run.
    except Exception as error:
        raise ImageError(f"the picture cannot be decoded: {error or type(error).__name__}") from error


def to_array(image: Image.Image, longest: int | None = WORKING_SIZE) -> Picture:
    """Return a Pillow image of any mode upright, on paper where it is transparent, and at most `longest` px.

    Raises ImageError when its pixels are not numbers.
    """
    image = _shrink(image, longest)
    image.load()  # so that a broken picture is told from what follows
    with suppress(Exception):  # a broken note of how the camera was held is no reason not to look
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:  # else a copy of the picture would be made
            image = ImageOps.exif_transpose(image)
    if image.mode.startswith(("I", "F")):  # 16 or 32 bits a pixel, which convert("L") would clip at 255
        levels = np.asarray(image, dtype=np.float32)
        if not np.isfinite(levels).all():
            raise ImageError("some of its pixels are not numbers")
        # Scaled by its largest: such files hold 0 to 1, 0 to 1,023 or 0 to 65,535 alike.
        low, high = min(0.0, float(levels.min())), float(levels.max())
        scaled = np.interp(levels, (low, high), (0, 255)) if high > low else levels * 0
        image = Image.fromarray(scaled.astype(np.float32))
    elif image.has_transparency_data:
        image = _lay_on_paper(image.convert("RGBA"))
    elif image.mode not in {"L", "RGB"}:
        image = image.convert("L" if image.mode == "1" else "RGB")
    if image.mode in {"RGB", "RGBA"}:
        image = _without_alpha(image)
    levels = np.asarray(_shrink(image, longest), dtype=np.float32)
    return levels if levels.ndim == 3 else levels[:, :, np.newaxis]


def _shrink(image: Image.Image, longest: int | None) -> Image.Image:
    """Average a large image down to `longest` px, where its mode allows that."""
    factor = -(-max(image.size) // longest) if longest else 1
    return image.reduce(factor) if factor > 1 and image.mode in {"L", "F", "RGB", "RGBA", "LA", "CMYK"} else image


def _without_alpha(image: Image.Image) -> Image.Image:
    """Return an opaque image in RGB, or one of its channels if all its colours are greys: that is a third of the work."""
    red, green, blue, *_ = image.split()
    return red if red.tobytes() == green.tobytes() == blue.tobytes() else image.convert("RGB")


def _lay_on_paper(image: Image.Image) -> Image.Image:
    """Put an RGBA image on white paper, or on black if what is drawn in it is light.

    An image of opaque pixels only comes back as it was.
    """
    alpha = image.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return image
    grey = image.convert("L")
    drawn = ImageStat.Stat(grey, mask=alpha.point(lambda level: 255 if level > 127 else 0))
    paper = "black" if drawn.count[0] and drawn.mean[0] > 127 else "white"
    return Image.alpha_composite(Image.new("RGBA", image.size, paper), image)
