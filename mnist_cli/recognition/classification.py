"""Classifying a picture of one digit: of several candidates for its ink, the one with the best score is taken.

Where even that is not sure, its score is the mean over several views of the ink.

The constants were set by hand; `benchmarks/preparation.py --constants` prints what halving and doubling each changes.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import islice

import numpy as np

from mnist_cli.arrays import Frame, Ink, Picture
from mnist_cli.errors import ImageError
from mnist_cli.models.interface import Model, knows_digits_only
from mnist_cli.pictures import binarize, normalize
from mnist_cli.recognition.predictions import Prediction, classify_frames, over_views, reject, votes, without_ink

SURE = 7.0  # energy score of a first candidate above which no other is tried: at 6 to 10 the same of 1,890 pictures of held-out digits are right
MAX_SCORE = 10.0  # log-odds of a digit beyond which one candidate is no better than another
LATER_PENALTY = 3.0  # log-odds that all but a trusted first candidate lose
CUT_OFF = 0.4  # of the outline of its ink's box: a first candidate that touches it along more than this may be a shadow
ONE_DIGIT = 6.0  # energy score above which ink is a single digit; the highest of 210 pairs of digits was 5.5
WHOLE = 4.0  # energy score above which what reads as ones may be strokes of a digit; of 690 rows of ones the highest was 3.8
AGREEMENT = 1.0  # times the log of the fraction of the digit-like candidates that agree is added to a score
SAME_PEN = 0.6  # of the width of the thickest strokes: a 1 that is thinner is a line beside a digit
MIN_NEIGHBOUR = 0.4  # of the height of the tallest: taller ink beside it may be another digit
ROW = 1.5  # times its height: wider ink may be a row of digits
PART = 0.6  # of the width of such a row: a narrower candidate may be one of its digits
DOUBTFUL = -1.0  # log-odds that a symbol is one digit, below which it may be cut out of a drawing that is none
SHEET = 0.6  # of its box: ink that covers more may be paper, on a darker table
RANK_PENALTY = 0.2  # log-odds that a candidate loses for each before it: at 0.3 six of 900 held-out form cells are lost
THIN = 0.04  # of the longer side of ink: a pen below this width is pale in a frame


def classify(model: Model, pictures: Sequence[Picture], min_confidence: float = 0.0) -> list[Prediction]:
    """Return a prediction for each picture.

    The first candidates of all pictures are classified in one forward pass; for those whose score is below SURE, the
    other candidates are too. A picture whose best score is below the model's rejection threshold is not a digit; one whose
    confidence is below `min_confidence` is unclear.
    """
    of_digits = knows_digits_only(model)
    frames = normalize.already_drawn(pictures) if of_digits else normalize.as_frames(pictures)
    options = [_options(picture, frame) for picture, frame in zip(pictures, frames, strict=True)]
    candidates = _classify_options(model, [list(islice(some, 1)) for some in options])
    unsure = [index for index, some in enumerate(candidates) if some and some[0].score < SURE]
    for index, others in zip(unsure, _classify_options(model, [list(options[index]) for index in unsure]), strict=True):
        candidates[index] += others
    no_ink = without_ink(model.classes)
    chosen = [best_candidate(some) if some else no_ink for some in candidates]
    best = _in_views(model, chosen, candidates) if of_digits else chosen
    best = [one if one.reason else reject(model, one, min_confidence) for one in best]
    if not of_digits:
        return best
    best = _again_if_thin(model, candidates, best, min_confidence)
    scores = [max(one.score, other.score) for one, other in zip(chosen, best, strict=True)]
    return [
        replace(prediction, reason="several digits")
        if _may_be_several(some, prediction, score) and _shows_several(model, picture, score, _is_sheet(some[0].ink))
        else prediction
        for picture, some, prediction, score in zip(pictures, candidates, best, scores, strict=True)
    ]


def best_candidate(candidates: list[Prediction]) -> Prediction:
    """Return the candidate with the best score, raised where other candidates agree; of equal ones the first.

    Its score is less the later it came, because one of many candidates looks like a digit by chance.
    """
    if len(candidates) == 1:
        return candidates[0]
    trusted = 0 if _is_cut_off(candidates[0]) else 1
    rated = [
        replace(candidate, score=candidate.score - RANK_PENALTY * rank - LATER_PENALTY * (rank >= trusted))
        for rank, candidate in enumerate(candidates)
    ]
    scores = np.array([candidate.score for candidate in rated])
    digits = np.array([np.argmax(candidate.probabilities) for candidate in rated])
    weights = votes(scores)
    agreement = (digits == digits[:, None]) @ weights / weights.sum()
    merits = scores.clip(max=MAX_SCORE) + AGREEMENT * np.log(agreement)
    return rated[int(merits.argmax())]


def _in_views(
    model: Model, predictions: Sequence[Prediction], candidates: Sequence[Sequence[Prediction]]
) -> list[Prediction]:
    """Return predictions, each for one of some candidates, those that were not sure averaged over views of the ink."""
    unsure = [_unsure(one, some) for one, some in zip(predictions, candidates, strict=True)]
    averages = iter(over_views(model, [one for one in unsure if one]))
    return [
        _averaged(prediction, one, next(averages)) if one else prediction
        for prediction, one in zip(predictions, unsure, strict=True)
    ]


def _unsure(prediction: Prediction, candidates: Sequence[Prediction]) -> Prediction | None:
    """Return the candidate that a prediction is, if it has ink and was not sure."""
    same = (one for one in candidates if one.frame is prediction.frame and one.ink is not None)
    return next((one for one in same if one.score < SURE), None)


def _averaged(prediction: Prediction, one: Prediction, average: Prediction) -> Prediction:
    """Return a prediction with the probabilities of an average, and a score changed as that of the candidate `one` was."""
    return replace(prediction, probabilities=average.probabilities, score=prediction.score + average.score - one.score)


def _again_if_thin(
    model: Model, candidates: list[list[Prediction]], best: list[Prediction], min_confidence: float
) -> list[Prediction]:
    """Return the best predictions, where none is a digit that of thin ink in a wider pen if it is one; a large thin 0 is pale."""
    rejected = [index for index, one in enumerate(best) if one.reason == "not a digit"]
    wider = {index: ink for index in rejected if (ink := _in_a_wider_pen(candidates[index][0].ink)) is not None}
    inks = list(wider.values())
    again = classify_frames(model, list(map(normalize.draw, inks)), inks)
    again = _in_views(model, again, [[one] for one in again])
    decided = zip(wider, (reject(model, one, min_confidence) for one in again), strict=True)
    digits = {index: one for index, one in decided if one.reason != "not a digit"}
    return [digits.get(index, one) for index, one in enumerate(best)]


def _in_a_wider_pen(ink: Ink | None) -> Ink | None:
    """Return ink in a wider pen, None if it is not thin."""
    if ink is None:
        return None
    from mnist_cli.pictures.parts import connected, in_a_wider_pen, stroke_width  # imports scipy

    missing = round(THIN * max(ink.shape) - stroke_width(connected(ink)))
    return in_a_wider_pen(ink, missing) if missing >= 1 else None


def _may_be_several(candidates: list[Prediction], prediction: Prediction, score: float) -> bool:
    """Return whether a picture may show several digits, whose ink as a whole has at most this score.

    Either the best candidate is only a part of the first one, which has all the ink of a row, or it is not certain and the
    ink has a gap, is wide or a sheet.
    """
    ink = candidates[0].ink if candidates else None
    if ink is None:
        return False
    height, width = ink.shape
    if prediction.ink is not None and width > ROW * height and _width(prediction.ink) < PART * _width(ink):
        return True
    if score >= ONE_DIGIT:
        return False
    if _is_sheet(ink) or (height <= width and prediction.reason == "not a digit"):
        return True
    return _has_a_gap(ink) or _has_a_gap(ink.T)


def _width(ink: Ink) -> int:
    """Return the number of columns from the first with ink to the last, px."""
    columns = np.flatnonzero(ink.any(axis=0))
    return int(np.ptp(columns)) + 1 if columns.size else 0


def _is_sheet(ink: Ink | None) -> bool:
    """Return whether ink may be paper, on a darker table, with what is written on it as its holes."""
    return ink is not None and bool(np.count_nonzero(ink) > SHEET * ink.size)


def _has_a_gap(ink: Ink) -> bool:
    """Return whether empty columns divide the ink, with more than a piece of a stroke on both sides."""
    inked = ink > 0
    columns = np.flatnonzero(inked.any(axis=0))
    gaps = np.flatnonzero(np.diff(columns) > 1)
    if not gaps.size:
        return False
    heights = [np.count_nonzero(side.any(axis=1)) for side in np.split(inked[:, columns], gaps + 1, axis=1)]
    return bool(sorted(heights)[-2] >= MIN_NEIGHBOUR * max(heights))


def _shows_several(model: Model, picture: Picture, score: float, is_sheet: bool) -> bool:
    """Return whether every symbol in a picture is a digit, and at least two have strokes of about the same width.

    Bars, and what is short beside all ink, which as a whole has this score, may be its strokes: the segments of a display
    look like ones and sevens.
    """
    # These import scipy, which is slow and which most pictures do not need.
    from mnist_cli.pictures.parts import connected, stroke_width
    from mnist_cli.recognition import detection

    found = detection.find_digits(model, picture)
    digits = [one.prediction for one in found]
    if len(digits) < 2 or any(digit.reason or digit.ink is None for digit in digits):
        return False
    bars = [digit.digit == 1 for digit in digits]
    if any(bars) and sum((all(bars), detection.are_short(found), score >= WHOLE)) > 1:
        return False
    if min(detection.log_odds(model, digit) for digit in digits) < DOUBTFUL:
        return False
    widths = [stroke_width(connected(digit.ink)) for digit in digits if digit.ink is not None]
    # A thin straight line beside a digit belongs to a form, and any on a sheet may be its edge.
    least = np.inf if is_sheet else SAME_PEN * max(widths)
    return sum(digit.digit != 1 or width >= least for digit, width in zip(digits, widths, strict=True)) > 1


def _options(picture: Picture, frame: Frame | None) -> Iterator[tuple[Ink, Frame]]:
    """Yield the candidates for the ink of a picture and their frames, the likeliest first; nothing when there is no ink."""
    if frame is not None:
        yield frame[0] / np.float32(255), frame
        return
    with suppress(ImageError):
        yield from ((ink, normalize.draw(ink)) for ink in binarize.candidates(picture))


def _classify_options(model: Model, options: list[list[tuple[Ink, Frame]]]) -> list[list[Prediction]]:
    """Return the predictions for all options, in one forward pass."""
    inks = [ink for some in options for ink, _ in some]
    predictions = iter(classify_frames(model, [frame for some in options for _, frame in some], inks))
    return [list(islice(predictions, len(some))) for some in options]


def _is_cut_off(prediction: Prediction) -> bool:
    """Return whether the ink touches the edge of its picture along much of its outline, as a shadow does."""
    if prediction.ink is None:
        return False
    ink = prediction.ink
    outline = np.concatenate([ink[0], ink[-1], ink[1:-1, 0], ink[1:-1, -1]])
    return bool(np.count_nonzero(outline) > CUT_OFF * len(outline))
