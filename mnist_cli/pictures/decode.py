"""A picture file, safely opened and turned upright: Pillow decodes, and nothing else of the file is believed."""

import ctypes
import io
import logging
import math
import stat
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageStat, UnidentifiedImageError, _imaging

from mnist_cli.arrays import Picture
from mnist_cli.errors import FormatError, ImageError, TooLargeError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"})
LARGEST = 100_000_000  # px, beyond which a picture is refused before it is decoded
LARGEST_WEBP = 60_000_000  # px, whose decoder keeps several copies of a picture
LARGEST_FILE = 400_000_000  # bytes, which is what so many pixels take where nothing is compressed
SMALL = 65_536  # bytes of a file that is read at once
WORKING_SIZE = 400  # px, the longer side to which a larger picture is reduced

logging.getLogger("PIL").setLevel(logging.CRITICAL)  # what is wrong with a picture is told once, and by us
with suppress(OSError, AttributeError):  # libtiff talks to stderr itself, where Pillow has it as a library of its own
    ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)

STRIP = 4_000_000  # px that are prepared at a time
SAMPLED = 1_000  # px, the sides of what is looked at of a large picture to choose its paper
# What undoes each way of holding a camera, by its number in Exif.
TURNS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    1: lambda levels: levels,
    2: lambda levels: levels[:, ::-1],
    3: lambda levels: levels[::-1, ::-1],
    4: lambda levels: levels[::-1],
    5: lambda levels: levels.swapaxes(0, 1),
    6: lambda levels: levels[::-1].swapaxes(0, 1),
    7: lambda levels: levels[::-1, ::-1].swapaxes(0, 1),
    8: lambda levels: levels[:, ::-1].swapaxes(0, 1),
}


def read(path: Path, longest: int | None = WORKING_SIZE) -> Picture:
    """Return the picture in a file, reduced to at most `longest` px unless that is None; `-` is standard input.

    Raises ImageError when it is missing, not a picture, or too large.
    """
    try:
        if str(path) == "-":
            content = sys.stdin.buffer.read(LARGEST_FILE + 1)
            _check_size(len(content))
            return decode(io.BytesIO(content), longest)
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("this is a folder; name the files in it" if path.is_dir() else "this is not a file")
        _check_size(status.st_size)
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


def _check_size(size: int) -> None:
    """Raise ImageError for no bytes, TooLargeError for so many that reading them would take too much memory."""
    if not size:
        raise ImageError("the file is empty")
    if size > LARGEST_FILE:
        raise TooLargeError(f"the file has more than {LARGEST_FILE:,} bytes")


def decode(file: BinaryIO, longest: int | None = WORKING_SIZE, largest: int = LARGEST) -> Picture:
    """Return the picture in an open file.

    Raises FormatError when there is none, TooLargeError when it has more than `largest` px, else ImageError when it is
    broken.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata and of sizes that LARGEST allows
            with Image.open(file, formats=FORMATS) as image:
                if image.format == "WEBP":
                    largest = min(largest, LARGEST_WEBP)
                if image.width * image.height > largest:
                    raise Image.DecompressionBombError
                if longest:
                    image.draft(None, (longest, longest))  # lets a JPEG decode straight to a smaller size
                return to_array(image, longest)
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise FormatError(f"this is not a picture in a format read here ({', '.join(FORMATS)})") from error
    except Image.DecompressionBombError as error:
        raise TooLargeError(f"the picture has too many pixels, at most {largest:,} are read") from error
    # Pillow's decoders raise nearly anything on a broken file, and a broken file must not end the run.
    except Exception as error:
        raise ImageError(f"the picture cannot be decoded: {error or type(error).__name__}") from error


def to_array(image: Image.Image, longest: int | None = WORKING_SIZE) -> Picture:
    """Return a Pillow image of any mode upright, on paper where it is transparent, and at most `longest` px.

    Whole pictures of colours and greys are uint8. All is done a strip at a time: the memory that a picture takes beside
    what Pillow decodes it to is that of the result.

    Raises ImageError when its pixels are not numbers.
    """
    image.load()  # so that a broken picture is told from what follows
    factor = -(-max(image.size) // longest) if longest else 1
    paper = _paper_behind(image) if image.has_transparency_data else None
    drawn = image.getchannel(0) if paper is None and _has_greys_only(image) else image
    rows = factor * max(1, STRIP // (image.width * factor))
    levels: Picture | None = None
    done = 0  # rows of the result
    for top in range(0, image.height, rows):
        strip = drawn.crop((0, top, image.width, min(top + rows, image.height))) if rows < image.height else drawn
        plain = _plain(strip, paper)
        pixels = np.asarray(plain.reduce(factor) if factor > 1 else plain)
        if levels is None:
            kind = np.uint8 if pixels.dtype == np.uint8 and not longest else np.float32
            levels = np.empty((-(-image.height // factor), *pixels.shape[1:]), kind)
        levels[done : done + len(pixels)] = pixels
        done += len(pixels)
    if levels is None:
        raise ImageError("the picture has no pixels")
    if image.mode.startswith(("I", "F")):
        _spread(levels)
    if levels.ndim == 2:
        levels = levels[:, :, np.newaxis]
    elif _is_grey(levels):
        levels = levels[:, :, :1].copy()
    return _turn_upright(levels, image)


def _has_greys_only(image: Image.Image) -> bool:
    """Return whether the colours of an image are greys, where that is told faster than its pixels are converted."""
    rows = max(1, STRIP // image.width)
    strips = (image.crop((0, top, image.width, min(top + rows, image.height))) for top in range(0, image.height, rows))
    channels = ([channel.tobytes() for channel in strip.split()[:3]] for strip in strips)
    return image.mode in {"RGB", "RGBA"} and all(red == green == blue for red, green, blue in channels)


def _plain(strip: Image.Image, paper: str | None) -> Image.Image:
    """Return a part of an image in a mode that can be averaged: L, RGB, or F for 16 and 32 bits a pixel."""
    if paper:
        strip = strip.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", strip.size, paper), strip).convert("RGB")
    if strip.mode.startswith(("I", "F")):  # which convert("L") would clip at 255
        return Image.fromarray(np.asarray(strip, dtype=np.float32))
    if strip.mode in {"L", "RGB"}:
        return strip
    return strip.convert("L" if strip.mode == "1" else "RGB")


def _spread(levels: Picture) -> None:
    """Scale levels to 0 to 255 by their largest: such files hold 0 to 1, 0 to 1,023 or 0 to 65,535 alike."""
    low, high = min(0.0, float(levels.min())), float(levels.max())
    if not math.isfinite(low + high):
        raise ImageError("some of its pixels are not numbers")
    rows = max(1, STRIP // levels.shape[1])
    for top in range(0, len(levels), rows):
        part = levels[top : top + rows]
        part[:] = np.interp(part, (low, high), (0, 255)) if high > low else 0


def _is_grey(levels: Picture) -> bool:
    """Return whether all colours are greys, as in most drawings: one channel is a third of the work."""
    return all(np.array_equal(levels[:, :, 0], levels[:, :, channel]) for channel in (1, 2))


def _turn_upright(levels: Picture, image: Image.Image) -> Picture:
    """Turn a picture as the camera noted that it was held; a broken note is no reason not to look."""
    with suppress(Exception):
        return TURNS[image.getexif().get(ExifTags.Base.Orientation, 1)](levels)
    return levels


def _paper_behind(image: Image.Image) -> str | None:
    """Return the paper on which to lay what is see-through: white, or black if what is drawn is light; None for neither."""
    size = min(image.width, SAMPLED), min(image.height, SAMPLED)
    small = image.resize(size, Image.Resampling.NEAREST).convert("RGBA")
    alpha = small.getchannel("A")
    if size == image.size and alpha.getextrema() == (255, 255):
        return None
    grey = small.convert("L")
    drawn = ImageStat.Stat(grey, mask=alpha.point(lambda level: 255 if level > 127 else 0))
    return "black" if drawn.count[0] and drawn.mean[0] > 127 else "white"
