"""What a model says about frames: the digit, and how sure it is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from mnist_cli.images import Frame
from mnist_cli.models import Classifier


@dataclass(frozen=True)
class Prediction:
    """The answer for one image."""

    probabilities: list[float]  # of the digits 0 to 9; they sum to 1

    @property
    def digit(self) -> int:
        """The likeliest digit."""
        return self.probabilities.index(self.confidence)

    @property
    def confidence(self) -> float:
        """The probability of that digit, 0 to 1."""
        return max(self.probabilities)


@torch.inference_mode()
def classify(model: Classifier, frames: Sequence[Frame]) -> list[Prediction]:
    """Return a prediction for each frame, all in one forward pass of a model in evaluation mode."""
    if not frames:
        return []
    images = torch.from_numpy(np.stack(frames)).to(model.pixel_mean.device)
    return [Prediction(row) for row in model(images).softmax(dim=1).tolist()]
