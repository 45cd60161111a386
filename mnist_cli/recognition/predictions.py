"""Predictions for 28x28 frames: the digit and its probability, or the reason why there is none."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mnist_cli.arrays import Frame, Ink
from mnist_cli.labels import DIGITS, digit_in
from mnist_cli.models.interface import Model
from mnist_cli.pictures import normalize
from mnist_cli.recognition.attribution import Evidence

SHARP = 2  # views that are not blurred, the first ones
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


def over_views(model: Model, predictions: Sequence[Prediction]) -> list[Prediction]:
    """Return predictions averaged over views of their ink: the mean score, the mean of the probabilities of the sharp views.

    What only looks like a digit by chance does so in fewer views than a digit. A prediction without ink stays as it is.
    """
    views = [[] if one.ink is None else list(map(normalize.draw, normalize.views(one.ink))) for one in predictions]
    seen = iter(classify_frames(model, [frame for some in views for frame in some]))
    return [
        _mean([one, *islice(seen, len(some))]) if some else one for one, some in zip(predictions, views, strict=True)
    ]


def _mean(views: Sequence[Prediction]) -> Prediction:
    """Return the first view with the mean score of all, and the mean of the probabilities of the sharp ones."""
    scores = np.array([view.score for view in views])
    weights = votes(scores[:SHARP])  # out of focus, a narrow 0 is a 1
    probabilities = weights @ np.array([view.probabilities for view in views[:SHARP]]) / weights.sum()
    return replace(views[0], probabilities=probabilities.tolist(), score=float(scores.mean()))


def votes(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability that each candidate or view is a digit, given the scores."""
    probabilities: NDArray[np.float64] = 1 / (1 + np.exp(-scores.clip(-50)))
    return probabilities


def reject(model: Model, prediction: Prediction, min_confidence: float = 0.0) -> Prediction:
    """Return the prediction with a reason when its score or its confidence is too low."""
    if prediction.score < float(model.rejection_threshold):
        return replace(prediction, reason="not a digit")
    return replace(prediction, reason="unclear") if prediction.confidence < min_confidence else prediction
