"""What an export is, and how it compares with its checkpoint."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_cli.arrays import Frames, Logits
from mnist_cli.errors import ExportError
from mnist_cli.models import interface
from mnist_cli.models.checkpoints import Checkpoint

MAX_LOGIT_DIFFERENCE = 1e-4  # from the checkpoint, of models with the same weights
MAX_ACCURACY_LOSS = 0.001  # of quantized models: 0.1 percentage points


@dataclass(frozen=True)
class Comparison:
    """An exported model compared with its checkpoint on labelled images."""

    images: int
    distance: float  # the largest difference of a logit
    different: int  # how many predictions differ
    accuracy: float  # 0 to 1
    accuracy_before: float  # of the checkpoint

    @property
    def has_same_predictions(self) -> bool:
        """Whether no prediction differs."""
        return self.different == 0

    @property
    def is_same(self) -> bool:
        """Whether the predictions are the same, and the logits too except for rounding."""
        return self.has_same_predictions and self.distance <= MAX_LOGIT_DIFFERENCE

    @property
    def is_as_good(self) -> bool:
        """Whether the accuracy is nearly the same."""
        return self.accuracy >= self.accuracy_before - MAX_ACCURACY_LOSS


@dataclass(frozen=True)
class Export:
    """An exported model, and how it compares with its checkpoint."""

    content: bytes  # of the file
    comparison: Comparison
    size: str = ""  # what the model takes where it runs, in words


def compare(after: Logits, checkpoint: Checkpoint, images: Frames, labels: NDArray[np.integer[Any]]) -> Comparison:
    """Compare the logits of an exported model with those of its checkpoint."""
    before = interface.logits_of(checkpoint.model, images)
    return Comparison(
        images=len(images),
        distance=float(np.abs(after - before).max()),
        different=int((after.argmax(axis=1) != before.argmax(axis=1)).sum()),
        accuracy=float((after.argmax(axis=1) == labels).mean()),
        accuracy_before=float((before.argmax(axis=1) == labels).mean()),
    )


def require(condition: bool, checkpoint: Checkpoint, found: Comparison) -> None:
    """Raise ExportError, with what was found, unless a condition on the comparison is met."""
    if not condition:
        raise ExportError(
            f"{checkpoint.path} was not exported, because the exported model predicts differently: "
            f"{found.different:,} of {found.images:,} predictions differ, the logits by up to {found.distance:.1g}, and "
            f"its accuracy is {found.accuracy:.2%} instead of {found.accuracy_before:.2%}"
        )
