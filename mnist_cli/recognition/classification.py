"""Which digit is in a picture: of several ways to tell its ink from its paper, the one that looks most like a digit."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice

import numpy as np

from mnist_cli.arrays import Frame, Ink, Picture
from mnist_cli.errors import ImageError
from mnist_cli.models.interface import Model
from mnist_cli.pictures import binarize, normalize
from mnist_cli.recognition.predictions import NO_INK, Prediction, classify_frames, judge

SURE = 10.0  # log-odds beyond which one candidate is no better than another
DOUBT = 4.0  # log-odds that all but a trusted first candidate lose: of many readings of a cat one looks like a digit
EDGE = 0.4  # of the outline of its ink: a first candidate that is cut off along more than this may be a shadow
RANK = 0.1  # log-odds by which a candidate must be better for each place that it stands further back


def classify(model: Model, pictures: Sequence[Picture], min_confidence: float = 0.0) -> list[Prediction]:
    """Return a prediction for each picture.

    Its likeliest ink is looked at first, that of all pictures in one forward pass; where that is not surely a digit, so
    are the other candidates. A picture whose best score is below the model's `least_score` is not a digit; one whose
    confidence is below `min_confidence` is unclear.
    """
    options = [
        _options(picture, frame) for picture, frame in zip(pictures, normalize.already_drawn(pictures), strict=True)
    ]
    found = _answer(model, [list(islice(some, 1)) for some in options])
    unsure = [place for place, some in enumerate(found) if some and some[0].score < SURE]
    for place, others in zip(unsure, _answer(model, [list(options[place]) for place in unsure]), strict=True):
        found[place] += others
    judged = [judge(model, _choose(some), min_confidence) if some else NO_INK for some in found]
    return [_look_for_several(model, picture, answer) for picture, answer in zip(pictures, judged, strict=True)]


def _look_for_several(model: Model, picture: Picture, answer: Prediction) -> Prediction:
    """Return the answer, or that there are several digits: wider than tall, no digit together, and each one a digit."""
    if answer.reason != "not a digit" or answer.ink is None or answer.ink.shape[0] > answer.ink.shape[1]:
        return answer

    from mnist_cli.recognition import numbers  # imports scipy, which takes a while and which most pictures do not need

    signs = numbers.find_digits(model, picture)
    is_row = len(signs) > 1 and not any(sign.prediction.reason for sign in signs)
    return replace(answer, reason="several digits") if is_row else answer


def _options(picture: Picture, frame: Frame | None) -> Iterator[tuple[Ink, Frame]]:
    """Yield what the model may be shown of a picture, the likeliest first; nothing when there is no ink."""
    if frame is not None:
        yield frame[0] / np.float32(255), frame
        return
    with suppress(ImageError):
        yield from ((ink, normalize.draw(ink)) for ink in binarize.candidates(picture))


def _answer(model: Model, options: list[list[tuple[Ink, Frame]]]) -> list[list[Prediction]]:
    """Return what the model says of all options, in one forward pass."""
    inks = [ink for some in options for ink, _ in some]
    answers = iter(classify_frames(model, [frame for some in options for _, frame in some], inks))
    return [list(islice(answers, len(some))) for some in options]


def _choose(found: list[Prediction]) -> Prediction:
    """Return the candidate that looks most like a digit; of equals the first, which keeps most of the picture."""
    if len(found) == 1:
        return found[0]
    trusted = 0 if _is_cut_off(found[0]) else 1
    doubted = [*found[:trusted], *(replace(other, score=other.score - DOUBT) for other in found[trusted:])]
    return max(enumerate(doubted), key=lambda item: min(item[1].score, SURE) - RANK * item[0])[1]


def _is_cut_off(prediction: Prediction) -> bool:
    """Say whether the ink goes on to the edge of its picture along much of its outline, as a shadow does."""
    if prediction.ink is None:
        return False
    ink = prediction.ink
    outline = np.concatenate([ink[0], ink[-1], ink[1:-1, 0], ink[1:-1, -1]])
    return bool(np.count_nonzero(outline) > EDGE * len(outline))
