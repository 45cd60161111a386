"""Reading a picture that may have several digits: a house number, a column, a filled-in form."""

import math
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from mnist_cli.arrays import Picture
from mnist_cli.models.interface import Model
from mnist_cli.pictures import normalize, segment
from mnist_cli.pictures.segment import Candidate, Page
from mnist_cli.recognition.predictions import Prediction, classify_frames, judge

SIGN = 1.0  # what one more sign is worth when readings of a whole picture are compared
OTHER_SIGN = -2.5  # log-probability of a sign that is no digit, in a line of digits
TINY = 0.4  # of the height of the digits: what is smaller is dirt
BATCH = 1_024  # candidates that a model is asked about at once


@dataclass(frozen=True)
class Found:
    """A digit found in a picture, and where."""

    box: tuple[int, int, int, int]  # x, y, width, height in pixels of the picture
    prediction: Prediction
    line: int = 0  # the number of its line, from the top


def find_digits(model: Model, picture: Picture, min_confidence: float = 0.0) -> list[Found]:
    """Return the digits of a picture in reading order, with a reason for what stands among them and is none.

    Boxes are in the pixels of `picture`; give it all it has, as `decode.read(path, longest=None)` does, since a digit on a
    page is small.
    """
    readings = [_read_page(model, page, min_confidence) for page in segment.pages(picture)]
    best = max(readings, key=lambda signs: sum(worth for _, worth in signs), default=[])
    return [found for found, _ in best]


def _read_page(model: Model, page: Page, min_confidence: float) -> list[tuple[Found, float]]:
    """Return what is found in one reading of the ink of a picture, and what each sign is worth."""
    lines = [segment.candidates(line) for line in segment.lines(page.ink)]
    frames = [normalize.draw(candidate.part.ink) for line in lines for candidate in line]
    batches = (classify_frames(model, frames[start : start + BATCH]) for start in range(0, len(frames), BATCH))
    answers = chain.from_iterable(batches)
    read = []
    for number, line in enumerate(lines):
        predictions = {candidate: next(answers) for candidate in line}
        worth = {candidate: _worth(model, candidate, prediction) for candidate, prediction in predictions.items()}
        signs = []
        for candidate in segment.best_way(worth):
            if not candidate.small:
                prediction = judge(model, replace(predictions[candidate], ink=candidate.part.ink), min_confidence)
                signs.append((Found(page.box(candidate.part), prediction, number), worth[candidate] + SIGN))
        read.append(signs)
    return _without_dirt(read)


def _worth(model: Model, candidate: Candidate, prediction: Prediction) -> float:
    """Return the log-probability that a candidate is the digit it is read as, or else another sign, less its cost."""
    if candidate.small:
        return -candidate.cost
    no_digit = float(np.logaddexp(0, float(model.least_score) - prediction.score))
    return max(math.log(prediction.confidence) - no_digit, OTHER_SIGN) - candidate.cost


def _without_dirt(lines: list[list[tuple[Found, float]]]) -> list[tuple[Found, float]]:
    """Return the signs in lines that have digits, and that are not tiny next to the line with the most."""
    heights = [[found.box[3] for found, _ in line if found.prediction.reason != "not a digit"] for line in lines]
    main = max(heights, key=sum, default=[])
    return [
        (found, worth)
        for line, some in zip(lines, heights, strict=True)
        for found, worth in line
        if some and np.median(some) >= TINY * np.median(main) and found.box[3] >= TINY * np.median(some)
    ]
