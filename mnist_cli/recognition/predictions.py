"""What a model predicts for 28x28 frames: the digit and how sure it is, or why there is none."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from mnist_cli.arrays import Frame, Ink
from mnist_cli.models.interface import Model

Reason = Literal["no ink", "not a digit", "unclear", "several digits"]


@dataclass(frozen=True)
class Prediction:
    """The answer for one picture."""

    probabilities: list[float]  # of the digits 0 to 9, given that it is one; they sum to 1
    score: float  # log-odds that it is a digit, as far as the model can tell
    reason: Reason | None = None  # why no digit is named
    frame: Frame | None = field(default=None, repr=False)  # what the model saw
    ink: Ink | None = field(default=None, repr=False)  # what was taken for ink in the picture

    @property
    def digit(self) -> int | None:
        """The likeliest digit, or None for a `reason`."""
        return None if self.reason else self.probabilities.index(max(self.probabilities))

    @property
    def confidence(self) -> float:
        """The probability of the likeliest digit, 0 to 1."""
        return max(self.probabilities)


NO_INK = Prediction([0.1] * 10, -np.inf, "no ink")


def classify_frames(
    model: Model, frames: Sequence[Frame], inks: Sequence[Ink | None] | None = None
) -> list[Prediction]:
    """Return what the model says of each frame, drawn from its ink, without a judgement of whether it is a digit."""
    if not frames:
        return []
    logits = model.logits(np.stack(frames)).astype(np.float64)
    scores = np.logaddexp.reduce(logits, axis=1)
    probabilities = np.exp(logits - scores[:, np.newaxis])
    columns = probabilities.tolist(), scores.tolist(), frames, inks or [None] * len(frames)
    return [Prediction(shares, score, None, frame, ink) for shares, score, frame, ink in zip(*columns, strict=True)]


def judge(model: Model, prediction: Prediction, min_confidence: float = 0.0) -> Prediction:
    """Return the prediction with the reason, if there is one, why no digit should be named."""
    if prediction.score < float(model.least_score):
        return replace(prediction, reason="not a digit")
    return replace(prediction, reason="unclear") if prediction.confidence < min_confidence else prediction
