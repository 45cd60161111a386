"""The interface of all models: frames in, logits out, both as arrays. It depends on neither torch nor onnxruntime."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol, SupportsFloat

import numpy as np

from mnist_cli.arrays import ACCEPT_ALL, Frames, Logits
from mnist_cli.errors import CheckpointError, ConfigError
from mnist_cli.labels import DIGITS

BATCH = 1_000  # images; large enough to be fast, small enough for any cache


class Model(Protocol):
    """A classifier of frames."""

    @property
    def classes(self) -> Sequence[str]:
        """The names of its classes, in the order of its logits."""

    @property
    def rejection_threshold(self) -> SupportsFloat:
        """The energy score, logsumexp of the logits, below which a frame is not a digit (Liu et al. 2020)."""

    def logits(self, frames: Frames) -> Logits:
        """Return the logits (N, classes) of frames (N, 1, 28, 28); their softmax are the probabilities of the classes."""


def knows_digits_only(model: Model) -> bool:
    """Return whether the classes of a model are the ten digits, for which alone pages are read and symbols rejected."""
    return tuple(model.classes) == DIGITS


def checked(logits: Logits) -> Logits:
    """Return logits as they are; raises CheckpointError when some are infinite or NaN."""
    if not np.isfinite(logits).all():
        raise CheckpointError("the model's logits are infinite or NaN; choose another --checkpoint")
    return logits


def logits_of(model: Model, images: Frames) -> Logits:
    """Return the logits of any number of images, a batch at a time."""
    return np.concatenate([model.logits(images[start : start + BATCH]) for start in range(0, len(images), BATCH)])


@dataclass(frozen=True)
class Ensemble:
    """Several models as one: the mean of their probabilities, optionally also over slightly shifted images."""

    members: Sequence[Model]
    test_time_augmentation: bool = False

    def __post_init__(self) -> None:
        """Raise ConfigError unless all members have the same classes."""
        if any(tuple(member.classes) != tuple(self.classes) for member in self.members):
            raise ConfigError("models with different classes cannot be evaluated as an ensemble")

    @property
    def classes(self) -> Sequence[str]:
        """The classes of each member."""
        return self.members[0].classes

    SHIFTS = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))  # px, down and right; the margin of a digit is wider
    rejection_threshold: ClassVar[float] = ACCEPT_ALL  # averaged probabilities have no energy score

    def logits(self, frames: Frames) -> Logits:
        """Return the logarithms of the mean probabilities, which serve as logits."""
        shifts = self.SHIFTS if self.test_time_augmentation else self.SHIFTS[:1]
        views = [np.roll(frames, shift, axis=(2, 3)) for shift in shifts]
        logits = np.stack([member.logits(view) for member in self.members for view in views])
        votes = logits - np.logaddexp.reduce(logits, axis=2, keepdims=True)
        mean: Logits = np.logaddexp.reduce(votes, axis=0) - np.log(np.float32(len(votes)))
        return mean


def as_one(members: Sequence[Model], test_time_augmentation: bool = False) -> Model:
    """Return an ensemble of several models, or a single model unchanged unless test-time augmentation is on."""
    return Ensemble(members, test_time_augmentation) if test_time_augmentation or len(members) > 1 else members[0]
