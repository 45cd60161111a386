"""Decoding picture files within limits, and turning them upright; Pillow decodes, and no metadata is trusted."""

import ctypes
import io
import logging
import math
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageStat, UnidentifiedImageError, _imaging

from mnist_cli.arrays import Picture
from mnist_cli.errors import FormatError, ImageError, TooLargeError, first_line
from mnist_cli.files import open_regular
from mnist_cli.pictures import limits, rare_formats

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm", ".pbm"})
MAX_PIXELS = 100_000_000  # a picture with more is refused before it is decoded
MAX_WEBP_PIXELS = 30_000_000  # since its decoder keeps several copies of a picture
MAX_FILE_BYTES = 400_000_000  # about the size of an uncompressed picture of MAX_PIXELS
SMALL_FILE_BYTES = 65_536  # a file with fewer is read in one go
WORKING_SIZE = 400  # px, the longer side to which a larger picture is reduced

STRIP_PIXELS = 3_000_000  # that are converted at a time
MIN_DRAWING = 8  # grey levels, standard deviation: opaque pixels that vary less have no drawing; set by hand
SAMPLE_SIZE = 1_000  # px, the sides to which a transparent picture is reduced to choose its background
# The inverse of each Exif orientation. Pillow's `exif_transpose` would copy the whole decoded image before it is reduced.
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


def silence_libraries() -> None:
    """Keep Pillow from logging and libtiff from writing to stderr: an error in a picture is reported once, as ImageError.

    This affects the whole process, so programs call it at their start; importing this module does not.
    """
    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    with suppress(OSError, AttributeError):  # where libtiff is not part of Pillow
        ctypes.CDLL(_imaging.__file__).TIFFSetErrorHandler(None)


def read(path: Path, longest: int | None = WORKING_SIZE) -> Picture:
    """Return the picture in a file, reduced to at most `longest` px unless that is None; `-` is standard input.

    Raises ImageError, which names the file, when it is missing, not a picture, or too large.
    """
    try:
        return read_unnamed(path, longest)
    except ImageError as error:
        raise type(error)(f"{path}: {error}") from error


def read_unnamed(path: Path, longest: int | None = WORKING_SIZE) -> Picture:
    """Return the picture in a file as `read` does; its errors do not name the file."""
    try:
        if str(path) == "-":
            content = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
            _check_size(len(content))
            return decode(io.BytesIO(content), longest)
        with open_regular(path) as file:
            _check_size(os.fstat(file.fileno()).st_size)
            # Pillow reads a few bytes at a time, which for a small file takes as long as decoding it.
            start = file.read(SMALL_FILE_BYTES)
            if len(start) < SMALL_FILE_BYTES:
                return decode(io.BytesIO(start), longest)
            file.seek(0)
            return decode(file, longest)
    except IsADirectoryError as error:
        raise ImageError("this is a folder; name the files in it") from error
    except FileNotFoundError as error:
        raise ImageError("there is no such file") from error
    except PermissionError as error:
        raise ImageError("there is no permission to read it") from error
    except (OSError, ValueError) as error:  # such as a name that is too long or has a zero byte
        raise ImageError(getattr(error, "strerror", None) or str(error)) from error


def _check_size(size: int) -> None:
    """Raise ImageError for an empty file, TooLargeError for one that would need too much memory."""
    if not size:
        raise ImageError("the file is empty")
    if size > MAX_FILE_BYTES:
        raise TooLargeError(f"the file has more than {MAX_FILE_BYTES:,} bytes")


def decode(file: BinaryIO, longest: int | None = WORKING_SIZE, max_pixels: int = MAX_PIXELS) -> Picture:
    """Return the picture in an open file.

    Raises FormatError when there is none, TooLargeError when it has more than `max_pixels`, else ImageError when it is
    corrupted.
    """
    limits.check_tiff(file)
    with _reported(max_pixels), Image.open(file, formats=(*FORMATS, *rare_formats.openers(file))) as image:
        limit = min(max_pixels, MAX_WEBP_PIXELS if image.format == "WEBP" else rare_formats.max_pixels(image))
        if image.width * image.height > limit:
            raise _too_large(limit)
        if image.format in {"JPEG", "MPO"}:
            limits.check_scans(file, image.width * image.height)
        if longest:
            image.draft(None, (longest, longest))  # lets a JPEG decode straight to a smaller size
        return to_array(image, longest)


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(f"the picture has too many pixels, at most {limit:,} are read")


def from_image(image: Image.Image, longest: int | None = WORKING_SIZE) -> Picture:
    """Return the picture of a Pillow image, which may not have been decoded yet.

    Raises ImageError when it is corrupted.
    """
    with _reported(MAX_PIXELS):
        return to_array(image, longest)


@contextmanager
def _reported(max_pixels: int) -> Iterator[None]:
    """Raise any error of Pillow as an ImageError, and ignore its warnings."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about invalid metadata, and about sizes that MAX_PIXELS allows
            yield
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise FormatError(f"this is not a picture in a format read here ({', '.join(FORMATS)})") from error
    except Image.DecompressionBombError as error:
        raise _too_large(max_pixels) from error
    # Pillow's decoders raise almost any exception for a corrupted file, which must not end the program.
    except Exception as error:
        raise ImageError(f"the picture cannot be decoded: {first_line(error)}") from error


def to_array(image: Image.Image, longest: int | None = WORKING_SIZE) -> Picture:
    """Return a Pillow image of any mode as an array: upright, with a plain background, reduced to at most `longest` px.

    Without `longest`, levels of 8 bits stay uint8. The image is converted a strip at a time, so apart from the decoded
    image only the result needs memory.

    Raises ImageError when its pixels are not numbers.
    """
    image.load()  # a corrupted picture raises here, and not in what follows
    levels = _levels(image, longest)
    if image.mode.startswith(("I", "F")):
        _scale_to_255(levels)
    if levels.ndim == 2:
        levels = levels[:, :, np.newaxis]
    elif _is_grey(levels):
        levels = levels[:, :, :1].copy()
    return _turn_upright(levels, image)


def _levels(image: Image.Image, longest: int | None) -> Picture:
    """Return the levels of an image as it is stored, (height, width) or (height, width, 3)."""
    factor = -(-max(image.size) // longest) if longest else 1
    background = _background(image) if image.has_transparency_data else None
    drawn = image.getchannel(0) if background is None and _has_greys_only(image) else image
    rows = factor * max(1, STRIP_PIXELS // (image.width * factor))
    levels: Picture | None = None
    done = 0  # rows of the result
    for top in range(0, image.height, rows):
        strip = drawn.crop((0, top, image.width, min(top + rows, image.height))) if rows < image.height else drawn
        plain = _plain(strip, background)
        pixels = np.asarray(plain.reduce(factor) if factor > 1 else plain)
        if levels is None:
            kind = np.uint8 if pixels.dtype == np.uint8 and not longest else np.float32
            levels = np.empty((-(-image.height // factor), *pixels.shape[1:]), kind)
        levels[done : done + len(pixels)] = pixels
        done += len(pixels)
    if levels is None:
        raise ImageError("the picture has no pixels")
    return levels


def _has_greys_only(image: Image.Image) -> bool:
    """Return whether all colours of an image are greys: checking that is faster than converting colours."""
    rows = max(1, STRIP_PIXELS // image.width)
    strips = (image.crop((0, top, image.width, min(top + rows, image.height))) for top in range(0, image.height, rows))
    channels = ([channel.tobytes() for channel in strip.split()[:3]] for strip in strips)
    return image.mode in {"RGB", "RGBA"} and all(red == green == blue for red, green, blue in channels)


def _plain(strip: Image.Image, background: str | None) -> Image.Image:
    """Return a part of an image in a mode that can be averaged: L, RGB, or F for 16 and 32 bits a pixel."""
    if background:
        strip = strip.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", strip.size, background), strip).convert("RGB")
    if strip.mode.startswith(("I", "F")):  # which convert("L") would clip at 255
        return Image.fromarray(np.asarray(strip, dtype=np.float32))
    if strip.mode in {"L", "RGB"}:
        return strip
    return strip.convert("L" if strip.mode == "1" else "RGB")


def _scale_to_255(levels: Picture) -> None:
    """Scale levels by their maximum to 0 to 255: files of 16 and 32 bits have ranges such as 0 to 1 or 0 to 65,535."""
    low, high = min(0.0, float(levels.min())), float(levels.max())
    if not math.isfinite(low + high):
        raise ImageError("some of its pixels are not numbers")
    rows = max(1, STRIP_PIXELS // levels.shape[1])
    for top in range(0, len(levels), rows):
        part = levels[top : top + rows]
        part[:] = np.interp(part, (low, high), (0, 255)) if high > low else 0


def _is_grey(levels: Picture) -> bool:
    """Return whether all colours are greys, as in most drawings, so that one channel is enough."""
    return all(np.array_equal(levels[:, :, 0], levels[:, :, channel]) for channel in (1, 2))


def _turn_upright(levels: Picture, image: Image.Image) -> Picture:
    """Turn a picture by the orientation in its Exif data; invalid Exif data are ignored."""
    with suppress(Exception):
        return TURNS[image.getexif().get(ExifTags.Base.Orientation, 1)](levels)
    return levels


def _background(image: Image.Image) -> str | None:
    """Return the background for a transparent image, None when nothing is transparent.

    It contrasts with the drawing: white for a dark one, black for a light one. A mostly opaque image with a
    drawing on it is paper with holes, so its background is like the paper.
    """
    size = min(image.width, SAMPLE_SIZE), min(image.height, SAMPLE_SIZE)
    small = image if size == image.size else image.resize(size, Image.Resampling.NEAREST)
    if small.mode != "RGBA":
        small = small.convert("RGBA")
    alpha = small.getchannel("A")
    if size == image.size and alpha.getextrema() == (255, 255):
        return None
    grey = small.convert("L")
    opaque = alpha.point(lambda level: 255 if level > 127 else 0)
    drawn = ImageStat.Stat(grey, mask=opaque)
    if not drawn.count[0]:
        return "white"
    is_paper = drawn.count[0] > size[0] * size[1] / 2 and drawn.stddev[0] > MIN_DRAWING
    return "white" if (drawn.mean[0] > 127) == is_paper else "black"
