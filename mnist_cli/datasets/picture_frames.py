"""Pictures of any size as 28x28 frames, read as `mnist predict` reads them."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnist_cli import cores
from mnist_cli.arrays import FRAME, Frame, Frames, Picture
from mnist_cli.errors import ImageError
from mnist_cli.pictures import binarize, decode, normalize

AT_ONCE = 500  # pictures that are held
FRAMES_LIKE_MNIST = 0.99  # of the pictures of digits: from this fraction on all of them are frames of MNIST

Progress = Callable[[int, int], object]
"""Called with the number of pictures that were read, and that of all."""


def ignore(done: int, total: int) -> None:
    """Ignore the progress."""


@dataclass(frozen=True)
class Read:
    """The frames of pictures, and what could not be read."""

    frames: Frames  # (N, 1, 28, 28)
    indices: NDArray[np.int64]  # (N,), of the pictures among all
    unreadable: dict[int, str] = field(default_factory=dict)  # the reason, by the index of the picture


def read(pictures: Sequence[Path | bytes], of_digits: bool, progress: Progress = ignore) -> Read:
    """Return the frames of picture files or of their bytes, which show digits or anything else.

    Pictures that are all greyscale and of 28x28 pixels are frames already and are not changed, but for light paper, which
    is inverted; of digits, if nearly all are drawn as MNIST draws. Any other picture is redrawn.
    """
    levels = np.zeros((len(pictures), 1, FRAME, FRAME), np.uint8)
    is_small, is_drawn = np.zeros(len(pictures), bool), np.zeros(len(pictures), bool)
    unreadable: dict[int, str] = {}
    for index, (frame, small, drawn) in enumerate(_decoded(pictures, of_digits, progress)):
        is_small[index], is_drawn[index] = small, drawn
        if isinstance(frame, str):
            unreadable[index] = frame
        else:
            levels[index] = frame
    read = np.setdiff1d(np.arange(len(pictures)), list(unreadable)).astype(np.int64)
    levels, is_small, is_drawn = levels[read], is_small[read], is_drawn[read]
    if not is_small.all() or (of_digits and is_drawn.mean() < FRAMES_LIKE_MNIST):
        for index in np.flatnonzero(is_small).tolist():
            try:
                levels[index] = _drawn(levels[index, 0, :, :, np.newaxis].astype(np.float32))
            except ImageError as error:
                unreadable[int(read[index])] = str(error)
        good = ~np.isin(read, list(unreadable))
        return Read(levels[good], read[good], dict(sorted(unreadable.items())))
    return Read(normalize.upright(levels), read, unreadable)


def _decoded(
    pictures: Sequence[Path | bytes], of_digits: bool, progress: Progress
) -> Iterator[tuple[Frame | str, bool, bool]]:
    """Yield for each picture its frame or levels, or why it cannot be read; whether it has 28x28 greyscale pixels, not
    redrawn yet; and whether these are drawn as MNIST draws.
    """
    done = 0
    with ThreadPoolExecutor(cores.available()) as pool:
        for start in range(0, len(pictures), AT_ONCE):
            some = pictures[start : start + AT_ONCE]
            found = list(pool.map(_levels, some))
            small = [picture for picture, is_small in found if is_small and not isinstance(picture, str)]
            drawn = iter(normalize.already_drawn([one.transpose(1, 2, 0).astype(np.float32) for one in small]))
            for picture, is_small in found:
                yield picture, is_small, is_small and next(drawn) is not None
            done += len(some)
            progress(done, len(pictures))


def _levels(source: Path | bytes) -> tuple[Frame | str, bool]:
    """Return the levels of a small greyscale picture, or the frame that any other is redrawn as, or why there is none."""
    try:
        picture = decode.decode(BytesIO(source)) if isinstance(source, bytes) else decode.read_unnamed(source)
        if picture.shape == (FRAME, FRAME, 1):
            return picture.transpose(2, 0, 1).round().astype(np.uint8), True
        return _drawn(picture), False
    except ImageError as error:
        return str(error), False


def _drawn(picture: Picture) -> Frame:
    """Return the frame of a picture in the first of several ways, which `mnist predict` also prefers."""
    (drawn,) = normalize.already_drawn([picture])
    return normalize.draw(next(binarize.candidates(picture))) if drawn is None else drawn
