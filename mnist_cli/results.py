"""What measuring comes to: of a set of images, and of an epoch of training. Standard library only."""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Evaluation:
    """How well a model does on a set of images."""

    loss: float  # mean per image; cross-entropy in nats
    errors: int
    images: int

    @property
    def accuracy(self) -> float:
        """The share of images that were classified right, 0 to 1."""
        return (self.images - self.errors) / self.images

    def interval(self, z: float = 1.96) -> tuple[float, float]:
        """Return the Wilson score interval of the accuracy; z = 1.96 makes it the 95 % one."""
        n, p = self.images, self.accuracy
        centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        reach = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        return max(centre - reach, 0.0), min(centre + reach, 1.0)  # rounding may take it past them


@dataclass(frozen=True)
class EpochResult:
    """What one pass over the training images came to."""

    epoch: int  # counted from 1
    train_loss: float  # mean per image, while the weights were changing
    val_loss: float
    val_accuracy: float
    seconds: float  # of training, without the measuring
    learning_rate: float  # at the last step
    held_out_loss: float | None = None  # on the images that `holdout` took out of the training images
    train_accuracy: float | None = (
        None  # on the augmented images, while the weights were changing; older runs have none
    )


def p_value(probability: float) -> str:
    """Write a p-value; below 0.0001 its size says nothing more."""
    return "< 0.0001" if probability < 1e-4 else f"{probability:.2g}"


def percent(share: float, digits: int = 2) -> str:
    """Write 0.9921 as `99.21 %`."""
    return f"{100 * share:.{digits}f} %"
