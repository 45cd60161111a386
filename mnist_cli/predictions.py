"""What a model says about pictures: the digit and how sure it is, or why there is none."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import torch

from mnist_cli import images
from mnist_cli.errors import ImageError
from mnist_cli.images import Frame, Ink, Picture
from mnist_cli.models import Classifier

Reason = Literal["no ink", "not a digit", "unclear", "several digits"]

SURE = 4.0  # log-odds beyond which one candidate is no better than another
RANK = 0.7  # log-odds by which a candidate must be better for each place that it stands further back


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


@dataclass(frozen=True)
class Found:
    """A digit found in a picture, and where."""

    box: tuple[int, int, int, int]  # x, y, width, height in pixels of the picture
    prediction: Prediction


NO_INK = Prediction([0.1] * 10, -np.inf, "no ink")


def classify(model: Classifier, pictures: Sequence[Picture], min_confidence: float = 0.0) -> list[Prediction]:
    """Return a prediction for each picture, all in one forward pass of a model in evaluation mode.

    A picture whose best score is below the model's `least_score` is not a digit; one whose confidence is below
    `min_confidence` is unclear.
    """
    options = []
    for picture, frame in zip(pictures, images.already_drawn(pictures), strict=True):
        as_it_is = None if frame is None else [(np.float32(1 / 255) * frame[0], frame)]
        options.append(as_it_is or [(ink, images.draw(ink)) for ink in _candidates(picture)])
    answers = iter(classify_frames(model, [frame for some in options for _, frame in some]))
    predictions = []
    for some in options:
        found = [replace(next(answers), ink=ink) for ink, _ in some]
        predictions.append(judge(model, _choose(found), min_confidence) if found else NO_INK)
    return predictions


@torch.inference_mode()
def classify_frames(model: Classifier, frames: Sequence[Frame]) -> list[Prediction]:
    """Return what the model says of each frame, without a judgement of whether it is a digit."""
    if not frames:
        return []
    logits = model(torch.from_numpy(np.stack(frames)).to(model.pixel_mean.device))
    answers = zip(logits.softmax(dim=1).tolist(), logits.logsumexp(dim=1).tolist(), frames, strict=True)
    return [Prediction(probabilities, score, frame=frame) for probabilities, score, frame in answers]


def judge(model: Classifier, prediction: Prediction, min_confidence: float = 0.0) -> Prediction:
    """Return the prediction with the reason, if there is one, why no digit should be named."""
    if prediction.score < float(model.least_score):
        return replace(prediction, reason="not a digit")
    return replace(prediction, reason="unclear") if prediction.confidence < min_confidence else prediction


def _candidates(picture: Picture) -> list[Ink]:
    try:
        return images.candidates(picture)
    except ImageError:
        return []


def _choose(found: list[Prediction]) -> Prediction:
    """Return the candidate that looks most like a digit; of equals the first, which keeps most of the picture."""
    return max(enumerate(found), key=lambda item: min(item[1].score, SURE) - RANK * item[0])[1]
