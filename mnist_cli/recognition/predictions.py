"""Predictions for 28x28 frames: the digit and its probability, or the reason why there is none."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from mnist_cli.arrays import Frame, Ink
from mnist_cli.labels import DIGITS, digit_in
from mnist_cli.models.interface import Model
from mnist_cli.recognition.attribution import Evidence

Reason = Literal["no ink", "not a digit", "unclear", "several digits"]


@dataclass(frozen=True)
class Prediction:
    """The prediction for one frame."""

    probabilities: list[float]  # of the classes, the digits 0 to 9 for example, given that it is one; they sum to 1
    score: float  # the energy score, logsumexp of the logits (Liu et al. 2020), or its mean over views; higher = more likely a digit
    reason: Reason | None = None  # why there is no digit
    frame: Frame | None = field(default=None, repr=False)  # the input of the model
    ink: Ink | None = field(default=None, repr=False)  # from which the frame was drawn
    classes: Sequence[str] = field(default=DIGITS, repr=False)  # the names of the classes
    evidence: Evidence | None = field(default=None, repr=False)  # if that was asked for, and there is ink

    @property
    def label(self) -> str | None:
        """The name of the likeliest class, or None for a `reason`."""
        return None if self.reason else self.classes[self.probabilities.index(max(self.probabilities))]

    @property
    def digit(self) -> int | None:
        """The likeliest class if that is a digit, or None for another class or a `reason`."""
        return None if self.label is None else digit_in(self.label)

    @property
    def confidence(self) -> float:
        """The probability of the likeliest class, 0 to 1."""
        return max(self.probabilities)


def without_ink(classes: Sequence[str]) -> Prediction:
    """Return the prediction for a picture without ink."""
    return Prediction([1 / len(classes)] * len(classes), -np.inf, "no ink", classes=classes)


NO_INK = without_ink(DIGITS)


def classify_frames(
    model: Model, frames: Sequence[Frame], inks: Sequence[Ink | None] | None = None
) -> list[Prediction]:
    """Return a prediction for each frame, drawn from its ink, before any is rejected."""
    if not frames:
        return []
    logits = model.logits(np.stack(frames)).astype(np.float64)
    scores = np.logaddexp.reduce(logits, axis=1)
    probabilities = np.exp(logits - scores[:, np.newaxis])
    columns = probabilities.tolist(), scores.tolist(), frames, inks or [None] * len(frames)
    return [
        Prediction(row, score, None, frame, ink, model.classes) for row, score, frame, ink in zip(*columns, strict=True)
    ]


def reject(model: Model, prediction: Prediction, min_confidence: float = 0.0) -> Prediction:
    """Return the prediction with a reason when its score or its confidence is too low."""
    if prediction.score < float(model.rejection_threshold):
        return replace(prediction, reason="not a digit")
    return replace(prediction, reason="unclear") if prediction.confidence < min_confidence else prediction
