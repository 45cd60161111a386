"""Recognizing all digits of a picture: a house number, a column, a filled-in form.

The constants were set by hand; `benchmarks/preparation.py --constants` prints what halving and doubling each changes.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import repeat

import numpy as np
from numpy.typing import NDArray

from mnist_cli.arrays import FRAME, Ink, Picture
from mnist_cli.models.interface import Model
from mnist_cli.pictures import normalize, segment
from mnist_cli.pictures.parts import stroke_width
from mnist_cli.pictures.segment import Binarization, Candidate
from mnist_cli.recognition import patterns, separators
from mnist_cli.recognition.patterns import Pattern
from mnist_cli.recognition.predictions import Prediction, classify_frames, over_views, reject

SYMBOL_BONUS = 1.0  # log-odds for each symbol, when the binarizations of a picture are compared
SLASH_BONUS = 2.0  # the same for a slash, which is told by its shape; in another binarization it may be a sure 1
NOT_A_DIGIT = -5.0  # log-probability of a symbol that is no digit, in a line of digits
# Two digits or a piece of one, which the lattice offers many times, score higher than other pictures without a digit: the
# log-odds that a symbol is one digit are those of its score less a margin, times a slope.
MARGIN, SLOPE = 4.0, 0.5
MIN_HEIGHT = 0.4  # of the height of the digits: a smaller symbol is a speck
# Of candidates, in the search for the best paths of a page; after them those without a prediction are left out. It bounds
# the time: a line of digits that touch takes up to 500 rounds of a thousand visits.
MAX_VISITS = 2_000_000
BATCH = 1_024  # candidates in one forward pass
MAX_WORK = 30_000_000  # px in all binarizations together, above which no other is tried; set by hand, bounds the time
CANDIDATE_WORK = 800  # px that take as long as a candidate, of which few are predicted; measured
AGREEMENT = 0.5  # times the log of the fraction of binarizations that have a symbol is added to its score
INSIDE = 0.8  # of the box of a stroke is in that of its digit
SHORT = 0.7  # of the height of that digit
TALL = 1.7  # times the height of the others in its line: a bar at the edge of a picture is no 1
SURE_SCORE = 5.0  # energy score above which a symbol is a digit, however small it is
SURE_CONFIDENCE = 0.9  # the probability of a digit that is sure
EMPTY = np.zeros((1, FRAME, FRAME), np.uint8)  # the frame of a candidate that is no digit


@dataclass(frozen=True)
class Detection:
    """A symbol in a line of digits, with its box: a digit, or one with a reason that it is not."""

    box: tuple[int, int, int, int]  # x, y, width, height in pixels of the picture
    prediction: Prediction
    line: int = 0  # the number of its line, from the top
    before: str | None = None  # the separator before it, read or of a pattern, where it is empty if there is none

    @property
    def text(self) -> str:
        """The digit, or `?` for a reason."""
        return "?" if self.prediction.reason else str(self.prediction.digit)


@dataclass
class _Line:
    """The candidates of a line."""

    worth: dict[Candidate, float]  # in log-odds; of those without a prediction the most that they can be worth
    predictions: dict[Candidate, Prediction] = field(default_factory=dict)
    path: list[Candidate] = field(default_factory=list)  # the best one

    @property
    def is_blocked(self) -> bool:
        """Whether a scrap, or what was left out, is on the best path: it is worth nothing."""
        return any(math.isinf(self.worth[candidate]) for candidate in self.path)

    def without_prediction(self, some: Iterable[Candidate]) -> list[Candidate]:
        """Return those of some candidates that have no prediction yet."""
        return [candidate for candidate in some if candidate not in self.predictions]


Symbols = list[tuple[Detection, float]]  # the symbols of a page, each with its worth in log-odds
Found = NDArray[np.bool_]


def find_digits(
    model: Model, picture: Picture, min_confidence: float = 0.0, pattern: Pattern | None = None
) -> list[Detection]:
    """Return the digits of a picture in reading order, with a reason for each symbol among them that is not a digit.

    Boxes are in pixels of `picture`, which should have its full size, since a digit on a page is small. With a
    `pattern` the result is the digits of the line that fits it best, and empty when no line does.
    """
    results = [_recognize(model, *page, min_confidence, pattern) for page in _pages(picture)]
    results = [symbols for symbols in results if symbols]
    scores = [
        _total(symbols, results) + AGREEMENT * float(np.log(_agreement(symbols, results)).sum()) for symbols in results
    ]
    best = results[int(np.argmax(scores))] if results else []
    return [detection for detection, _ in best]


def is_sure(prediction: Prediction) -> bool:
    """Return whether a prediction is certain by its shape; a 1 never is, because it looks like any straight line."""
    sure = prediction.reason is None and prediction.score >= SURE_SCORE and prediction.confidence >= SURE_CONFIDENCE
    return sure and prediction.digit != 1


def log_odds(model: Model, prediction: Prediction) -> float:
    """Return the log-odds that a symbol cut out of a picture is one digit, not several or a piece of one."""
    return SLOPE * (prediction.score - float(model.rejection_threshold) - MARGIN)


def are_short(found: Sequence[Detection]) -> bool:
    """Return whether each symbol is much shorter than all together, as no digit of a row is."""
    top, bottom = min(one.box[1] for one in found), max(one.box[1] + one.box[3] for one in found)
    return all(one.box[3] < SHORT * (bottom - top) for one in found)


def _agreement(symbols: Symbols, results: list[Symbols]) -> NDArray[np.float64]:
    """Return in which fraction of the results each symbol is found, in the same place and as the same digit."""
    agreement: NDArray[np.float64] = np.mean([_found_in(symbols, others) for others in results], axis=0)
    return agreement


def _total(symbols: Symbols, results: list[Symbols]) -> float:
    """Return what the symbols of a result are worth, without the strokes of a digit that another result has as a whole."""
    strokes = np.any([_strokes_of(others, symbols) for others in results], axis=0)
    return sum(worth for (_, worth), is_stroke in zip(symbols, strokes, strict=True) if not is_stroke)


def _strokes_of(others: Symbols, symbols: Symbols) -> Found:
    """Return which symbols are pieces of a 1, or of a digit that is sure, among the others: several in its place, one a short bar.

    The segments of a display look like ones until the gaps between them are closed.
    """
    intersection, area, _ = _overlaps(symbols, others)
    inside = intersection > INSIDE * area
    heights, other_heights = (np.array([symbol.box[3] for symbol, _ in some]) for some in (symbols, others))
    is_bar = np.array([symbol.prediction.digit in (1, None) for symbol, _ in symbols])
    short_bar = is_bar[:, None] & (heights[:, None] < SHORT * other_heights)
    is_whole = np.array([is_sure(other.prediction) or other.prediction.digit == 1 for other, _ in others])
    whole = is_whole & (inside.sum(axis=0) > 1) & (inside & short_bar).any(axis=0)
    strokes: Found = (inside & whole).any(axis=1)
    return strokes


def _found_in(symbols: Symbols, others: Symbols) -> Found:
    """Return which symbols are among the others: boxes of which the intersection is more than half of the union."""
    intersection, area, other_area = _overlaps(symbols, others)
    same_place = intersection > (area + other_area - intersection) / 2
    digit, other = (
        np.array([-1 if symbol.prediction.digit is None else symbol.prediction.digit for symbol, _ in some])
        for some in (symbols, others)
    )
    found: Found = (same_place & (digit[:, None] == other)).any(axis=1)
    return found


def _overlaps(symbols: Symbols, others: Symbols) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return the areas, px, that the boxes of symbols (N, 1) and others (1, M) share, (N, M), and their own."""
    x, y, width, height = np.array([symbol.box for symbol, _ in symbols]).T[:, :, None]
    other_x, other_y, other_width, other_height = np.array([symbol.box for symbol, _ in others]).T[:, None]
    across = np.minimum(x + width, other_x + other_width) - np.maximum(x, other_x)
    down = np.minimum(y + height, other_y + other_height) - np.maximum(y, other_y)
    return across.clip(0) * down.clip(0), width * height, other_width * other_height


def _pages(picture: Picture) -> Iterator[tuple[Binarization, list[list[Candidate]]]]:
    """Yield the binarizations of a picture with the candidates in them; after the first only while they are little work."""
    work = 0
    for binarized in segment.binarizations(picture):
        lines = segment.candidates(segment.lines(binarized.parts))
        before, work = work, work + binarized.ink.size + CANDIDATE_WORK * sum(map(len, lines))
        if before and work > MAX_WORK:
            break
        yield binarized, lines


def _recognize(
    model: Model, binarized: Binarization, lines: list[list[Candidate]], min_confidence: float, pattern: Pattern | None
) -> Symbols:
    """Return the symbols found in one binarization of a picture, each with its worth in log-odds."""
    detections = []
    for number, line in enumerate(_read_lines(model, lines, everything=pattern is not None)):
        path, worth = line.path, line.worth
        if pattern:
            path = patterns.best_fit(worth, pattern, best_worth=sum(worth[candidate] for candidate in path))
        else:
            path = list(separators.parted(path, line.predictions))
        parts = [candidate.part for candidate in path]
        digits = [part for candidate, part in zip(path, parts, strict=True) if not candidate.small]
        seen = [replace(line.predictions[candidate], ink=part.ink) for candidate, part in zip(path, parts, strict=True)]
        seen = [reject(model, one, min_confidence) for one in _in_views_if_rejected(model, seen)]
        symbols, marks = [], []
        before_each = pattern.before if pattern else repeat(None)
        for candidate, part, prediction, before in zip(path, parts, seen, before_each, strict=False):
            is_digit = not candidate.small or is_sure(prediction)
            if is_digit and (pattern or not separators.is_comma(part, digits)):
                detection = Detection(binarized.box(part), prediction, number, before)
                symbols.append((detection, worth[candidate] + SYMBOL_BONUS))
            else:
                marks.append(binarized.box(part))
        pen = stroke_width(digits) * binarized.factor if marks and digits else 0.0
        detections.append(symbols if pattern else _with_separators(symbols, marks, pen))
    if pattern:
        return max(detections, key=lambda line: sum(worth for _, worth in line), default=[])
    return _without_specks([_without_edges(symbols, binarized.size) for symbols in detections])


def _in_views_if_rejected(model: Model, predictions: Sequence[Prediction]) -> list[Prediction]:
    """Return the predictions of a line, those that would be no digit averaged over views of their ink."""
    lowest = float(model.rejection_threshold)
    rejected = [
        index for index, one in enumerate(predictions) if one.score < lowest and one.ink is not None and one.ink.any()
    ]
    averages = dict(zip(rejected, over_views(model, [predictions[index] for index in rejected]), strict=True))
    return [averages.get(index, one) for index, one in enumerate(predictions)]


def _with_separators(symbols: Symbols, marks: Sequence[separators.Box], pen: float) -> Symbols:
    """Return the digits of a line, each with the separator before it, of marks and of symbols that are bars.

    A slash adds to the worth of the digit after it.
    """
    found = [detection for detection, _ in symbols]
    bars = {
        index: one.prediction.ink
        for index, one in enumerate(found)
        if one.prediction.digit in (1, None) and one.prediction.ink is not None
    }
    placed = separators.place([one.box for one in found], bars, marks, pen)
    return [
        (replace(found[index], before=before), symbols[index][1] + SLASH_BONUS * (before == "/"))
        for index, before in placed
    ]


def _read_lines(model: Model, lines: list[list[Candidate]], everything: bool) -> list[_Line]:
    """Return the lines of a page with their best paths, and the predictions for the candidates on them or for `everything`.

    No candidate is worth more than a digit that is certain. With that for those without a prediction, the best path is
    predicted and found again, until all of it has predictions: then no other path can be better. After `MAX_VISITS` the others are
    left out, unless all that is left has scraps on it.
    """
    read = [_Line({candidate: -candidate.cost for candidate in line}) for line in lines]
    rest = read
    visits = 0
    while True:
        visits += sum(len(line.worth) for line in rest)
        if visits > MAX_VISITS:
            for line in rest:
                line.worth.update(dict.fromkeys(line.without_prediction(line.worth), -math.inf))
        for line in rest:
            line.path = segment.best_path(line.worth)
        wanted = [line.without_prediction(line.worth if everything or line.is_blocked else line.path) for line in rest]
        rest = [line for line, some in zip(rest, wanted, strict=True) if some]
        if not rest:
            break
        _predict(model, rest, list(filter(None, wanted)))
    if not everything:
        apart = [separators.with_dots_apart(line.path, line.worth) for line in read]
        _predict(model, read, [line.without_prediction(some) for line, some in zip(read, apart, strict=True)])
    return read


def _predict(model: Model, lines: Sequence["_Line"], wanted: Sequence[Sequence[Candidate]]) -> None:
    """Predict some candidates of each line, and record what they are worth."""
    every = [(line, candidate) for line, some in zip(lines, wanted, strict=True) for candidate in some]
    for start in range(0, len(every), BATCH):
        batch = every[start : start + BATCH]
        inks = [_ink(candidate) for _, candidate in batch]
        predictions = classify_frames(model, [EMPTY if ink is None else normalize.draw(ink) for ink in inks])
        for (line, candidate), ink, prediction in zip(batch, inks, predictions, strict=True):
            line.predictions[candidate] = prediction
            line.worth[candidate] = -math.inf if ink is None else _worth(model, candidate, prediction)


def _ink(candidate: Candidate) -> Ink | None:
    """Return the ink of a candidate, None for a scrap between two cuts."""
    part = candidate.part
    return part.ink if part.height > candidate.least_height else None


def _worth(model: Model, candidate: Candidate, prediction: Prediction) -> float:
    """Return the log-probability that a candidate is the likeliest digit, or else another symbol, less its cost."""
    if candidate.small:
        return -candidate.cost
    no_digit = float(np.logaddexp(0, -log_odds(model, prediction)))
    return max(math.log(prediction.confidence) - no_digit, NOT_A_DIGIT) - candidate.cost


def _without_edges(symbols: Symbols, size: tuple[int, int]) -> Symbols:
    """Return the symbols of a line without bars that end at an edge of the picture, far taller than the others.

    Beside a dark strip, a table or the next page, a line of its edge is left.
    """
    heights = [detection.box[3] for detection, _ in symbols]
    kept = []
    for number, (detection, worth) in enumerate(symbols):
        (_, top, width, height), others = detection.box, heights[:number] + heights[number + 1 :]
        usual = float(np.median(others)) if others else math.inf
        at_edge = top == 0 or top + height == size[1]
        is_bar = detection.prediction.digit in (1, None) and width < usual / 2
        if not (at_edge and is_bar and height > TALL * usual):
            kept.append((detection, worth))
    return kept


def _without_specks(lines: list[Symbols]) -> Symbols:
    """Return the symbols without specks: in lines with digits, those that are sure or not tiny next to the main line."""
    heights = [[symbol.box[3] for symbol, _ in line if symbol.prediction.reason != "not a digit"] for line in lines]
    usual = [float(np.median(digits)) if digits else 0.0 for digits in heights]
    main = float(np.median(max(heights, key=sum, default=[]) or [0]))
    return [
        (symbol, worth)
        for line, height in zip(lines, usual, strict=True)
        for symbol, worth in line
        if height
        and (height >= MIN_HEIGHT * main or any(is_sure(one.prediction) for one, _ in line))
        and (symbol.box[3] >= MIN_HEIGHT * height or is_sure(symbol.prediction))
    ]
