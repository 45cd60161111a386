"""The results of an evaluation and of a training epoch. Standard library only."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Evaluation:
    """The loss and the accuracy of a model on a set of images."""

    loss: float  # mean per image; cross-entropy in nats
    errors: int
    images: int

    @property
    def accuracy(self) -> float:
        """The fraction of images that were classified correctly, 0 to 1."""
        return (self.images - self.errors) / self.images

    def interval(self, z: float = 1.96) -> tuple[float, float]:
        """Return the Wilson score interval of the accuracy; z = 1.96 makes it the 95 % one."""
        n, p = self.images, self.accuracy
        centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        half_width = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        return max(centre - half_width, 0.0), min(centre + half_width, 1.0)  # rounding may exceed the bounds


@dataclass(frozen=True)
class EpochResult:
    """The losses and scores of one pass over the training images."""

    epoch: int  # counted from 1
    train_loss: float  # mean per image, while the weights were changing
    val_loss: float
    val_accuracy: float
    seconds: float  # of training, without the evaluation
    learning_rate: float  # at the last step
    held_out_loss: float | None = None  # on the training images that `holdout` held out
    # On the augmented images, while the weights were changing; None in checkpoints of older versions.
    train_accuracy: float | None = None


def p_value(probability: float) -> str:
    """Format a p-value; below 0.0001 the exact value carries no information."""
    return "< 0.0001" if probability < 1e-4 else f"{probability:.2g}"


def percent(fraction: float, digits: int = 2) -> str:
    """Format 0.9921 as `99.21 %`."""
    return f"{100 * fraction:.{digits}f} %"
