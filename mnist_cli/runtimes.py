"""What runs a model. Whoever asks one about pictures needs no more than this, and no torch.

A checkpoint runs on torch, which takes a second or two to import, so that nothing here imports it before it is needed.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, SupportsFloat

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]  # (N, 1, 28, 28), 0 = paper .. 255 = ink
Logits = NDArray[np.float32]  # (N, 10)


class Model(Protocol):
    """What says which digit is in a frame."""

    @property
    def least_score(self) -> SupportsFloat:
        """The logsumexp of the logits below which a frame is not taken for a digit."""

    def logits(self, frames: Frames) -> Logits:
        """Return how likely each digit is in each frame, as logarithms; their softmax are the probabilities."""


@dataclass(frozen=True)
class Loaded:
    """A model, ready to be asked, and where it is from."""

    path: Path
    model: Model
    val_accuracy: float | None  # 0 to 1; None when it was never measured


def load(path: Path, device: str | None = None) -> Loaded:
    """Return the model in a file on a device, the best there is by default.

    Raises CheckpointError when it is none, ConfigError when there is no such device.
    """
    from mnist_cli import checkpoints, devices

    place = devices.choose(device)
    checkpoint = checkpoints.load(path)
    return Loaded(path, checkpoint.model.to(place), checkpoint.val_accuracy)
