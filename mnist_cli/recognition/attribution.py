"""Where in a frame the evidence for a class lies: by how much its logit falls when a square is covered with paper.

This is called occlusion (Zeiler and Fergus, "Visualizing and understanding convolutional networks", 2014). It needs only the
logits of a model, so that it works for all of them. The mean of all logits is subtracted: what falls by the same amount
for all classes changes no probability, and is evidence for none.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_cli.arrays import FRAME, Frame, Frames, Logits
from mnist_cli.models.interface import Model

SQUARE = 4  # px, of the squares that are covered; half as far apart, they cover each pixel four times
STEP = SQUARE // 2  # px
BATCH = 64  # frames

Maps = NDArray[np.float32]  # (values, 28, 28)


@dataclass(frozen=True)
class Evidence:
    """Where the evidence for two classes lies in a frame: the likeliest, or another one, and its strongest rival."""

    classes: tuple[str, str]
    # (2, 28, 28): by how much the logit of the class, less the mean of all, falls where the ink is covered; < 0 = it rises
    maps: Maps


def evidence(model: Model, frame: Frame) -> Evidence:
    """Return where the evidence for the likeliest class and for the runner-up lies."""
    first, second = rivals(model.logits(frame[np.newaxis])[0])
    maps = occlusion(lambda frames: centred(model.logits(frames)), frame)
    return Evidence((model.classes[first], model.classes[second]), maps[[first, second]])


def centred(logits: Logits) -> Logits:
    """Return logits (N, classes) less the mean of each row."""
    less: Logits = logits - logits.mean(axis=1, keepdims=True)
    return less


def rivals(logits: NDArray[Any], chosen: int | None = None) -> tuple[int, int]:
    """Return the likeliest class, or the chosen one, and the likeliest of the others."""
    ranks = [int(index) for index in np.argsort(-logits, kind="stable")]
    first = ranks[0] if chosen is None else chosen
    return first, next(index for index in ranks if index != first)


def occlusion(values_of: Callable[[Frames], NDArray[np.float32]], frame: Frame) -> Maps:
    """Return by how much each value falls when a square around a pixel is covered, the mean of the squares on it.

    `values_of` returns values (N, K) for frames (N, 1, 28, 28), and the maps are (K, 28, 28). Where there is no ink,
    nothing is covered, and nothing falls.
    """
    starts = range(STEP - SQUARE, FRAME, STEP)
    corners = [(top, left) for top in starts for left in starts if frame[0][_square(top, left)].any()]
    frames = np.repeat(frame[np.newaxis], 1 + len(corners), axis=0)
    for covered, corner in zip(frames[1:], corners, strict=True):
        covered[0][_square(*corner)] = 0
    values = np.concatenate([values_of(some) for some in np.split(frames, range(BATCH, len(frames), BATCH))])
    maps = np.zeros((values.shape[1], FRAME, FRAME), np.float32)
    for fallen, corner in zip(values[0] - values[1:], corners, strict=True):
        maps[:, *_square(*corner)] += fallen[:, np.newaxis, np.newaxis]
    return maps / (SQUARE / STEP) ** 2


def _square(top: int, left: int) -> tuple[slice, slice]:
    return slice(max(top, 0), top + SQUARE), slice(max(left, 0), left + SQUARE)
