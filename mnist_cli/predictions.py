"""What a model says about pictures: the digit and how sure it is, or why there is none."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, groupby, islice
from typing import Literal

import numpy as np
import torch

from mnist_cli import images
from mnist_cli.errors import ImageError
from mnist_cli.images import Frame, Ink, Picture, find
from mnist_cli.images.find import Candidate, Part
from mnist_cli.models import Classifier

Reason = Literal["no ink", "not a digit", "unclear", "several digits"]

SURE = 8.0  # log-odds beyond which one candidate is no better than another
OTHER_SIGN = -4.0  # log-probability of a sign that is no digit, in a line of digits
TINY = 0.3  # of the height of the digits: what is smaller is dirt
BATCH = 1_024  # candidates that a model is asked about at once
RANK = 0.1  # log-odds by which a candidate must be better for each place that it stands further back


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
    line: int = 0  # the number of its line, from the top


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


def find_digits(model: Classifier, picture: Picture, min_confidence: float = 0.0) -> list[Found]:
    """Return the digits of a picture in reading order, with a reason for what stands among them and is none.

    Digits that are small in a large picture need all of its pixels: `images.read(path, longest=None)`.
    """
    readings = [_read_page(model, ink, factor, min_confidence) for ink, factor in find.pages(picture)]
    return max(readings, key=lambda found: _evidence(model, found), default=[])


def text_of(found: Sequence[Found]) -> str:
    """Return the digits as text, line by line, with a `?` for each that has a reason."""
    lines = groupby(found, key=lambda one: one.line)
    return "\n".join("".join("?" if one.prediction.reason else str(one.prediction.digit) for one in line) for _, line in lines)


def _read_page(model: Classifier, ink: Ink, factor: int, min_confidence: float) -> list[Found]:
    """Return what is found in the ink of a page that was reduced by `factor`."""
    lines = [find.candidates(line) for line in find.lines(ink)]
    frames = [images.draw(candidate.part.ink) for line in lines for candidate in line]
    batches = (classify_frames(model, frames[start : start + BATCH]) for start in range(0, len(frames), BATCH))
    answers = chain.from_iterable(batches)
    read = []
    for number, line in enumerate(lines):
        predictions = [judge(model, answer, min_confidence) for answer in islice(answers, len(line))]
        way = find.best_way(line, [_worth(model, *pair) for pair in zip(line, predictions, strict=True)])
        read.append([_found(line[index].part, factor, predictions[index], number) for index in way if not line[index].small])
    return _without_dirt(read)


def _found(part: Part, factor: int, prediction: Prediction, line: int) -> Found:
    x, y, width, height = (factor * side for side in (part.left, part.top, part.width, part.height))
    return Found((x, y, width, height), replace(prediction, ink=part.ink), line)


def _worth(model: Classifier, candidate: Candidate, prediction: Prediction) -> float:
    """Return the log-probability that a candidate is the digit it is read as, or else another sign."""
    if candidate.small:
        return 0.0
    no_digit = float(np.logaddexp(0, float(model.least_score) - prediction.score))
    return max(math.log(prediction.confidence) - no_digit, OTHER_SIGN)


def _without_dirt(lines: list[list[Found]]) -> list[Found]:
    """Return what is found in lines that have digits, and that are not tiny next to the line with the most."""
    heights = [[one.box[3] for one in line if one.prediction.reason != "not a digit"] for line in lines]
    main = max(heights, key=sum, default=[])
    return [
        one
        for line, some in zip(lines, heights, strict=True)
        for one in line
        if some and np.median(some) >= TINY * np.median(main) and one.box[3] >= TINY * np.median(some)
    ]


def _evidence(model: Classifier, found: list[Found]) -> float:
    """Return how much the signs of a reading look like digits."""
    above = [one.prediction.score - float(model.least_score) for one in found]
    return sum(max(-SURE, min(score, SURE)) for score in above)
