"""The sources of pictures: a file, standard input, bytes, a Pillow image, an array or a tensor."""

import io
import os
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_cli.arrays import Picture
from mnist_cli.errors import ImageError
from mnist_cli.pictures import decode, folders

CHANNELS = (1, 3)  # grey or red, green, blue


class ArrayLike(Protocol):
    """A NumPy array, a torch tensor on any device, or an array of another library."""

    def __array__(self, *args: Any, **options: Any) -> Any:
        """Return a NumPy array."""


AnyPath = str | PathLike[str]
Source = AnyPath | bytes | Image.Image | ArrayLike
S = TypeVar("S")


def expand(sources: Iterable[S]) -> Iterator[S | str]:
    """Yield the sources, replacing each folder by the pictures below it; a folder without pictures is kept."""
    for source in sources:
        pictures = folders.find(source) if isinstance(source, str | PathLike) and os.path.isdir(source) else []
        if pictures:
            yield from pictures
        else:
            yield source


def is_one(source: object) -> bool:
    """Return whether `source` is one picture, and not a folder or an iterable of pictures."""
    if isinstance(source, str | PathLike):
        return not os.path.isdir(source)
    if isinstance(source, bytes | Image.Image):
        return True
    shape = getattr(source, "shape", None)
    if shape is not None:
        return not (len(shape) == 4 and _is_picture_shape(tuple(shape[1:])))
    return not isinstance(source, Iterable)


def read(source: Source, longest: int | None = decode.WORKING_SIZE, max_pixels: int = decode.MAX_PIXELS) -> Picture:
    """Return the picture of a source, reduced to at most `longest` px unless that is None; `-` is standard input.

    An array or tensor is (height, width), (height, width, 1 or 3) or (1 or 3, height, width), with values from 0 to 1, to
    255, or to any larger number. Encoded bytes may have at most `max_pixels`.

    Raises ImageError, whose message does not name the source, when it cannot be read.
    """
    if isinstance(source, bytes):
        return decode.decode(io.BytesIO(source), longest, max_pixels)
    if isinstance(source, str | PathLike):
        return _read_path(Path(source), longest)
    if isinstance(source, Image.Image):
        return decode.from_image(source, longest)
    return _from_array(_to_numpy(source), longest)


def _read_path(path: Path, longest: int | None) -> Picture:
    try:
        return decode.read_unnamed(path, longest)
    except ImageError as error:
        if not os.path.isdir(path):
            raise
        is_readable = os.access(path, os.R_OK | os.X_OK)
        raise ImageError(f"there is no {'picture in' if is_readable else 'permission to read'} this folder") from error


def _to_numpy(source: ArrayLike) -> NDArray[Any]:
    """Return an array, or a tensor on any device and of any type, with or without a gradient, as a NumPy array."""
    detach = getattr(source, "detach", None)
    return np.asarray(source if detach is None else detach().cpu().float())


def _from_array(array: NDArray[Any], longest: int | None) -> Picture:
    """Return the picture of an array, 0 = black to 255 = white; raises ImageError when it is not a picture."""
    if not (array.size and _is_picture_shape(array.shape) and array.dtype.kind in "buif"):
        raise ImageError(
            f"an array of shape {array.shape} and type {array.dtype} is not a picture; expected numbers of shape "
            "(height, width), (height, width, 3) or (3, height, width)"
        )
    if array.ndim == 3 and array.shape[2] not in CHANNELS:
        array = np.moveaxis(array, 0, 2)
    levels = array.astype(np.float32)
    if not np.isfinite(levels).all() or levels.min() < 0:
        raise ImageError("an array with negative, infinite or NaN values is not a picture")
    top = float(levels.max())
    if top > 255 or top <= 1 or (array.dtype.kind == "f" and top < 2):  # resampling may make a 1 slightly larger
        levels *= 255 / max(top, 1)
    pixels = levels.round().astype(np.uint8)
    return decode.to_array(Image.fromarray(pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels), longest)


def _is_picture_shape(shape: tuple[int, ...]) -> bool:
    return len(shape) == 2 or (len(shape) == 3 and (shape[2] in CHANNELS or shape[0] in CHANNELS))
