"""What a model is to those who ask it about frames: arrays in, arrays out. Nothing here knows torch or onnxruntime."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, SupportsFloat

import numpy as np

from mnist_cli.arrays import Frames, Logits

BATCH = 1_000  # images; large enough to be fast, small enough for any cache


class Reader(Protocol):
    """What says which digit is in a frame."""

    def logits(self, frames: Frames) -> Logits:
        """Return how likely each digit is in each frame, as logarithms; their softmax are the probabilities."""


class Model(Reader, Protocol):
    """What can also say that there is none."""

    @property
    def least_score(self) -> SupportsFloat:
        """The logsumexp of the logits below which a frame is not taken for a digit."""


def logits_of(model: Reader, images: Frames) -> Logits:
    """Return what a model says of any number of images."""
    return np.concatenate([model.logits(images[start : start + BATCH]) for start in range(0, len(images), BATCH)])


@dataclass(frozen=True)
class Ensemble:
    """Several models as one: the mean of their probabilities, and if wanted of slightly shifted images."""

    members: Sequence[Reader]
    test_time_augmentation: bool = False

    SHIFTS = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))  # px, down and right; a digit's margin is wider than that

    def logits(self, frames: Frames) -> Logits:
        """Return the logarithms of the mean probabilities, which serve as logits."""
        shifts = self.SHIFTS if self.test_time_augmentation else self.SHIFTS[:1]
        views = [np.roll(frames, shift, axis=(2, 3)) for shift in shifts]
        logits = np.stack([member.logits(view) for member in self.members for view in views])
        votes = logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)
        mean: Logits = np.logaddexp.reduce(votes, axis=0) - np.log(np.float32(len(votes)))
        return mean


def as_one(members: Sequence[Reader], test_time_augmentation: bool = False) -> Reader:
    """Return several models as one; one alone stays what it is, unless it is to see shifted images."""
    return Ensemble(members, test_time_augmentation) if test_time_augmentation or len(members) > 1 else members[0]
