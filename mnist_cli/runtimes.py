"""What runs a model. Whoever asks one about pictures needs no more than this, and no torch.

A checkpoint runs on torch, which takes a second or two to import, so that nothing here imports it before it is needed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, SupportsFloat

import numpy as np
from numpy.typing import NDArray

CLASSES = 10
ANYTHING = -1e9  # a least score that every frame has

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
class Ensemble:
    """Several models as one: the mean of their probabilities, and if wanted of slightly shifted images."""

    members: Sequence[Model]
    test_time_augmentation: bool = False
    least_score: float = ANYTHING  # the logsumexp of logarithms of probabilities says nothing

    SHIFTS = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))  # px, down and right; a digit's margin is wider than that

    def logits(self, frames: Frames) -> Logits:
        """Return the logarithms of the mean probabilities, which serve as logits."""
        shifts = self.SHIFTS if self.test_time_augmentation else self.SHIFTS[:1]
        views = [np.roll(frames, shift, axis=(2, 3)) for shift in shifts]
        logits = np.stack([member.logits(view) for member in self.members for view in views])
        votes = logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)
        mean: Logits = np.logaddexp.reduce(votes, axis=0) - np.log(np.float32(len(votes)))
        return mean


@dataclass(frozen=True)
class Loaded:
    """A model, ready to be asked, and where it is from."""

    path: Path
    model: Model
    val_accuracy: float | None  # 0 to 1; None when it was never measured
    parameters: int | None = None
    runtime: str = "onnxruntime"  # what runs it, and where


def load(path: Path, device: str | None = None) -> Loaded:
    """Return the model in a file on a device, the best there is by default.

    Raises CheckpointError when it is none, ConfigError when there is no such device.
    """
    import torch

    from mnist_cli import checkpoints, devices

    place = devices.choose(device)
    checkpoint = checkpoints.load(path)
    parameters = sum(weights.numel() for weights in checkpoint.model.parameters())
    runtime = f"torch {torch.__version__} on {place}"
    return Loaded(path, checkpoint.model.to(place), checkpoint.val_accuracy, parameters, runtime)
