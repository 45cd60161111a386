"""Segmentation of a page: its ink, the connected parts of the ink, their lines, and the candidates for digits.

The ink alone does not determine which parts are a digit: a loose bar belongs to a 5, two digits touch. So straight cuts
are laid through parts wherever two digits may touch, what is between two cuts is a candidate, as neighbouring parts are
together, and the model's predictions choose the best path through a line (the segmentation lattice of LeCun, Bottou, Bengio
and Haffner, "Gradient-based learning applied to document recognition", 1998).

The constants were set by hand; `benchmarks/preparation.py --constants` prints what halving and doubling each changes.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, count, pairwise, product
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from scipy.sparse import csgraph

from mnist_cli.arrays import Ink, Levels, Picture
from mnist_cli.pictures.binarize import MIN_CONTRAST, difference_from_paper
from mnist_cli.pictures.cleanup import reflectance, remove_shadow
from mnist_cli.pictures.forms import without_frames
from mnist_cli.pictures.parts import (
    MIN_HEIGHT,
    Part,
    connected,
    cropped,
    joined,
    size,
    sizes,
    stroke_width,
    typical,
)
from mnist_cli.pictures.threshold import otsu_thresholds

MAX_PAGE_SIDE = 2_500  # px, the longer side to which a larger page is reduced
LIGHT_WINDOW = 0.12  # of the longer side of a page: what is wider than this is a shadow
MIN_LIGHT_WINDOW = 30  # px: a smaller window may be no wider than a stroke, so the picture is also used unchanged
SMOOTHING = 0.7  # px, the standard deviation of the blur before the threshold
NOISE = 5  # standard deviations of the noise by which ink differs from the paper
MAD_TO_DEVIATION = 1.5  # of normal noise: its standard deviation is 1.48 times its median absolute deviation
MODAL = 0.9  # of the variance: if more is between Otsu's three classes, the darkest is the ink; in noise it is less
PALE = 0.3  # of the typical darkness of ink: paler pixels are paper
STRONG = 0.5  # of the darkest ink: paler pixels may be the soft edges where digits touch, or the lines of graph paper

# Broken strokes.
MANY_PIECES = 5  # parts of ink: with fewer, strokes are not broken; a display shows a 2 in five
GAP = 1.5  # times the width of the strokes: shorter gaps are closed
MAX_GAP = 0.06  # of the longer side of the page
PIECES_JOINED = 2  # parts, on average, that have to become one by closing gaps

# Lines of digits.
SIMILAR = 0.4  # of the height of its neighbour: a part smaller than this is a piece of something, or a comma
BAR = 2.0  # times its width: the least height of a bar
END_TO_END = 0.3  # of the shorter of two bars, the largest gap between them in one stroke
NEARBY = 0.3  # of a part's height: how far from it its loose pieces lie

# Digits that touch.
MIN_CUT_HEIGHT = 0.6  # of the height of the line: a lower part is not two digits, but perhaps a comma
MIN_CUT_WIDTH = 0.45  # of its height: a narrower part is not two digits
MIN_CUT_GAP = 0.12  # of a part's height: the least distance between two cuts, or between a cut and an end
MAX_CUTS = 40  # of a part, for each slant
SLANTS = (0.0, 0.25, 0.5)  # px to the left per px downwards, of a cut; most hands slant to the right
MAX_JOINED = 9  # parts
MAX_HEIGHT = 1.5  # times the height of the line: larger than that is no digit
MAX_CANDIDATES = 25_000  # of a page: 500 digits have about as many; bounds the time for other pictures
MAX_CANDIDATE_PIXELS = 100_000_000  # of the boxes of all candidates, for the same purpose

# The costs of a candidate, in log-odds.
CUT_COST = 1.5  # for each cut, since most digits do not touch
WIDE = 1.5  # times the height of the line: a wider part is several digits that touch
WIDE_CUT_COST = 0.4  # for each cut through such a part, which has to be somewhere
JOIN_COST = 0.4  # for each part joined to another, since most digits are in one part
FREE_WIDTH = 0.9  # of the height of the line, up to which a candidate costs nothing for its width
WIDTH_COST = 3.0  # for each height of the line beyond that, since it may be two digits
SKIP_COST = 1.0  # for leaving out a comma or a speck
STACKED_COST = 3.0  # for two neighbours of which one is above the other, as the segments of a display's 1 are

Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Binarization:
    """One separation of a picture into ink and paper, and where its pixels lie in the picture."""

    ink: Ink
    factor: int  # px of the picture, in each direction, to one of the ink
    size: tuple[int, int]  # width and height of the picture
    parts: Sequence[Part]  # of the ink that belong together, also across small gaps

    def box(self, part: Part) -> tuple[int, int, int, int]:
        """Return where in the picture a part is: x, y, width, height."""
        x, y = part.left * self.factor, part.top * self.factor
        right, bottom = (part.left + part.width) * self.factor, (part.top + part.height) * self.factor
        return x, y, min(right, self.size[0]) - x, min(bottom, self.size[1]) - y


class Cut(NamedTuple):
    """A straight cut through a part, from its top to its bottom."""

    slant: float  # px to the left per px downwards
    column: int  # halfway down, px from the left edge of the part

    def columns(self, height: int) -> NDArray[np.floating[Any]]:
        """Return where the cut is in each row of a part that is `height` px high, px from its left edge."""
        return self.column - self.slant * (np.arange(height) - height // 2)


@dataclass(frozen=True, eq=False)
class Candidate:
    """What is between two places of a line, neighbouring parts or a piece of one, that may be one digit."""

    start: int  # number of the place
    stop: int
    parts: Sequence[Part]
    cost: float
    small: bool = False  # too small for a digit of this line
    left: Cut | None = None  # through the first part; what is to the left of it is left out
    right: Cut | None = None  # through the last part
    least_height: float = 0.0  # px; what is between cuts and lower than that is no digit

    @property
    def part(self) -> Part:
        """Its ink as one part, which is cut and joined anew each time: all candidates of a page would take much memory."""
        first, last = self.parts[0], self.parts[-1]
        if first is last:
            return _cut_out(first, self.left, self.right)
        return joined([_cut_out(first, self.left, None), *self.parts[1:-1], _cut_out(last, None, self.right)])


def binarizations(picture: Picture) -> Iterator[Binarization]:
    """Yield the ways to separate the ink of a picture from its paper, the likeliest first."""
    height, width = picture.shape[:2]
    factor = -(-max(height, width) // MAX_PAGE_SIDE)
    if factor > 1:
        channels = [Image.fromarray(channel).reduce(factor) for channel in np.moveaxis(picture, 2, 0)]
        picture = np.stack([np.asarray(channel) for channel in channels], axis=2)
    picture = picture.astype(np.float32, copy=False)
    levels, uneven = difference_from_paper(picture)
    variants = [levels, -levels]
    if uneven:  # a shadow may hide whether the ink is darker or lighter than the paper
        unchanged = variants if max(levels.shape) * LIGHT_WINDOW < MIN_LIGHT_WINDOW else []
        even = [remove_shadow(variant, LIGHT_WINDOW) for variant in variants]
        variants = [reflectance(picture, LIGHT_WINDOW), *even, *unchanged]
    for variant in variants:
        for ink in _inks(variant):
            parts = connected(ink)
            yield Binarization(ink, factor, (width, height), parts)
            if gap := _usual_gap(ink, parts):
                yield Binarization(ink, factor, (width, height), connected(ink, gap))


def _inks(levels: Levels) -> Iterator[Ink]:
    """Yield all the ink, then only the darker of two kinds, as on graph paper; nothing for a blank page."""
    smooth = ndimage.gaussian_filter(levels, SMOOTHING)
    if smooth.max() <= MIN_CONTRAST:  # as where ink that is darker than the paper is taken for lighter
        return
    floor = max(MIN_CONTRAST, NOISE * _noise(smooth))
    values = smooth[smooth > floor]
    if not values.size:
        return
    typical, darkest = np.percentile(values, [90, 99])
    whole = (levels / typical).clip(0, 1)
    with_frames = [np.where(smooth < max(floor, palest * typical), 0, whole) for palest in (PALE, PALE / 2)]
    dark, pale = map(without_frames, with_frames)
    # The lines of a box may be so pale that only their dark parts are found, which look like ones.
    lines = (with_frames[1] > 0) & (pale == 0)
    if 2 * np.count_nonzero(dark[lines]) < np.count_nonzero(dark):
        dark = np.where(lines, 0, dark)
    seen: list[Ink] = []
    for ink in (dark, pale):
        for too_pale in (smooth < PALE * typical, levels < STRONG * darkest):
            darker = np.where(too_pale, 0, ink)
            if not any(np.array_equal(darker, other) for other in seen):
                seen.append(darker)
                yield darker


def _usual_gap(ink: Ink, parts: Sequence[Part]) -> int:
    """Return the width, px, of the gaps to close in strokes that a threshold broke into many pieces; 0 if none are."""
    if len(parts) < MANY_PIECES:
        return 0
    gap = 2 * max(1, round(GAP * stroke_width(parts) / 2))
    too_wide = gap > MAX_GAP * max(ink.shape)
    return 0 if too_wide or len(connected(ink, gap)) > len(parts) / PIECES_JOINED else gap


def _noise(levels: Levels) -> float:
    """Return the standard deviation of the noise of the paper, which may be of two kinds, as where a frame is around it."""
    grey = (levels / 2 + 128).clip(0, 255).astype(np.uint8)
    low, high, between = otsu_thresholds(np.array(Image.fromarray(grey).histogram()))
    kinds = [grey < low, (grey >= low) & (grey < high)] if between > MODAL else [np.full(levels.shape, True)]
    deviations = [np.abs(levels[kind] - np.median(levels[kind])) for kind in kinds if kind.any()]
    return MAD_TO_DEVIATION * float(np.median(np.concatenate(deviations)))


def lines(parts: Iterable[Part]) -> list[list[Part]]:
    """Return the parts of each line of a page, lines from top to bottom and their parts from left to right."""
    parts = [part for part in parts if part.height * part.width >= MIN_HEIGHT]
    if not parts:
        return []
    parts.sort(key=lambda part: part.left + part.width / 2)
    numbers = _line_numbers(parts)
    found = [[parts[index] for index in np.flatnonzero(numbers == number)] for number in range(numbers.max() + 1)]
    found = [line for line in found if max(part.height for part in line) >= MIN_HEIGHT]
    return sorted(found, key=lambda line: float(np.median([part.top + part.height / 2 for part in line])))


def candidates(lines: Sequence[Sequence[Part]]) -> list[list[Candidate]]:
    """Return the candidates for digits in each line of a page; if there would be too many, no part is cut, or even joined."""
    for cut, most in ((True, MAX_JOINED), (False, MAX_JOINED), (False, 1)):
        lattices = [_Lattice.of(line, cut, most) for line in lines]
        pixels = sum(lattice.pixels for lattice in lattices)
        if sum(len(lattice.spans) for lattice in lattices) <= MAX_CANDIDATES and pixels <= MAX_CANDIDATE_PIXELS:
            break
    return [lattice.candidates() for lattice in lattices]


class _Place(NamedTuple):
    """Where in a line a digit may start or stop: before a part, at a cut through it, or at the end of the line."""

    number: int  # from left to right
    cut: Cut | None = None


class _Span(NamedTuple):
    """What is between two places of a line: neighbouring parts, or a piece of one."""

    start: _Place
    stop: _Place
    parts: Sequence[Part]
    height: int  # px
    width: int  # px, between the middles of the cuts

    @property
    def cuts(self) -> int:
        """How many of its ends are cuts."""
        return (self.start.cut is not None) + (self.stop.cut is not None)


@dataclass(frozen=True)
class _Lattice:
    """What of a line may be one digit."""

    height: float  # typical of the parts of the line, px
    spans: list[_Span]  # in the order of their starts
    stacked: set[int]  # numbers of the places between two parts of which one is above the other

    @property
    def pixels(self) -> int:
        """How many pixels the boxes of all candidates have."""
        return sum(span.height * span.width for span in self.spans)

    @classmethod
    def of(cls, parts: Sequence[Part], cut: bool, most: int) -> "_Lattice":
        """Return the lattice of a line, whose parts are cut if `cut`; at most so many parts are joined."""
        height = typical([size(column)[0] for column in _columns(parts)])
        cuts = [_cuts(part) if cut and part.height >= MIN_CUT_HEIGHT * height else [] for part in parts]
        numbers = list(accumulate((1 + len(some) for some in cuts), initial=0))
        stacked = {
            number
            for number, (part, following) in zip(numbers[1:], pairwise(parts), strict=False)
            if min(part.height, following.height) >= SIMILAR * height and _are_stacked(part, following)
        }
        spans = _spans(parts, cuts, numbers, most, MAX_HEIGHT * height)
        return cls(height, sorted(spans, key=lambda span: span.start.number), stacked)

    def candidates(self) -> list[Candidate]:
        """Return each span as a candidate, with its cost."""
        found = []
        for span in self.spans:
            (start, left), (stop, right) = span.start, span.stop
            small = span.height < SIMILAR * self.height
            least = SIMILAR * self.height if span.cuts else 0.0
            cost = self._cut_cost(span) + JOIN_COST * (len(span.parts) - 1)
            cost += WIDTH_COST * max(0.0, span.width / self.height - FREE_WIDTH) + SKIP_COST * small
            cost += STACKED_COST / 2 * ((start in self.stacked) + (stop in self.stacked))
            found.append(Candidate(start, stop, span.parts, cost, small, left, right, least))
        return found

    def _cut_cost(self, span: _Span) -> float:
        """Return what the cuts at the ends of a span cost; a cut between two digits costs each of them half."""
        ends = (span.parts[0], span.start.cut), (span.parts[-1], span.stop.cut)
        cut = [part for part, cut in ends if cut]
        return sum(WIDE_CUT_COST if part.width > WIDE * self.height else CUT_COST for part in cut) / 2


def _spans(
    parts: Sequence[Part], cuts: Sequence[Sequence[Cut]], numbers: Sequence[int], most: int, largest: float
) -> Iterator[_Span]:
    """Yield what may be a digit in a line with cuts through its parts: whole parts, others only up to the `largest` size.

    `numbers` are those of the places before each part, and of the end.
    """
    edges = [_Place(number) for number in numbers]
    inside = [list(map(_Place, count(number + 1), some)) for number, some in zip(numbers, cuts, strict=False)]
    for first in range(len(parts)):
        for last, (height, width) in enumerate(sizes(parts[first : first + most]), first):
            some = parts[first : last + 1]
            pairs = product([edges[first], *inside[first]], [*inside[last], edges[last + 1]])
            spans = [
                _Span(start, stop, some, height, width - _cut_off(some, start.cut, stop.cut))
                for start, stop in pairs
                if not start.cut or not stop.cut or (first == last and _have_room(start.cut, stop.cut, height))
            ]
            fitting = [
                span for span in spans if max(height, span.width) <= largest or (first == last and not span.cuts)
            ]
            if not fitting:
                break
            yield from fitting


def _columns(parts: Sequence[Part]) -> list[list[Part]]:
    """Return the parts of a line, those together that lie one above the other, as the segments of a display do."""
    columns: list[list[Part]] = []
    for part in parts:
        before = columns[-1][-1] if columns else None
        shared = min(before.left + before.width, part.left + part.width) - max(before.left, part.left) if before else 0
        if before and _are_stacked(before, part) and shared >= min(before.width, part.width) / 2:
            columns[-1].append(part)
        else:
            columns.append([part])
    return columns


def _are_stacked(part: Part, other: Part) -> bool:
    """Return whether one of two parts is above the other."""
    return part.top + part.height <= other.top or other.top + other.height <= part.top


def best_path(worth: Mapping[Candidate, float]) -> list[Candidate]:
    """Return the candidates that take all ink of a line exactly once and have the largest total `worth`, in log-odds."""
    best: dict[int, tuple[float, list[Candidate]]] = {0: (0.0, [])}  # up to each place
    for candidate, value in worth.items():
        # Unreachable where what is before it is too large for any candidate but the whole part.
        if candidate.start not in best:
            continue
        before, path = best[candidate.start]
        if candidate.stop not in best or before + value > best[candidate.stop][0]:
            best[candidate.stop] = before + value, [*path, candidate]
    return best[max(best)][1]


def _line_numbers(parts: list[Part]) -> Indices:
    """Return the line number of each part: parts of similar height are linked to the next, small ones to what is near."""
    top, left, height, width = np.array([(part.top, part.left, part.height, part.width) for part in parts]).T
    middle: NDArray[np.float64] = left + width / 2
    smaller, larger = np.minimum(height, height[:, None]), np.maximum(height, height[:, None])
    overlap = np.minimum(top + height, (top + height)[:, None]) - np.maximum(top, top[:, None])
    gap_y = -overlap
    gap_x = np.maximum(left, left[:, None]) - np.minimum(left + width, (left + width)[:, None])
    alike = (overlap >= smaller / 3) & (smaller >= SIMILAR * larger)
    # Only to the next on the right: over longer distances a sloping line runs into another one.
    ahead = np.where(alike & (middle > middle[:, None]), middle - middle[:, None], np.inf)
    # A smaller part belongs to the nearest of the larger ones, if it is near.
    distance = np.maximum(gap_x, gap_y)
    # A comma is for the most part below the digits.
    beside = (smaller < larger / 2) & (overlap >= smaller / 4) & (gap_x <= height)
    above = (smaller < larger / 2) & (gap_y <= NEARBY * height) & (-gap_x >= np.minimum(width, width[:, None]) / 2)
    loose = (height > height[:, None]) & (beside | above)
    near = np.where(loose, distance, np.inf)
    # On a display the halves of a 1 are one above the other, and perhaps nothing is beside them.
    is_bar = height >= BAR * width
    halves = is_bar & is_bar[:, None] & (gap_y > 0) & (gap_y <= END_TO_END * smaller) & (gap_x <= smaller / 10)
    end_to_end = np.where(halves, distance, np.inf)
    links = np.zeros((len(parts), len(parts)), dtype=bool)
    for cost in (ahead, near, end_to_end):
        nearest = cost.argmin(axis=1)
        rows = np.flatnonzero(np.isfinite(cost.min(axis=1)))
        links[rows, nearest[rows]] = True
    numbers: Indices = csgraph.connected_components(links, directed=False)[1]
    return numbers


def _cuts(part: Part) -> list[Cut]:
    """Return straight cuts through little ink: of a part wide enough for two digits for each slant, else of all slants together."""
    if part.width < MIN_CUT_WIDTH * part.height:
        return []
    margin = max(1, round(MIN_CUT_GAP * part.height), part.width // MAX_CUTS)
    profile = np.stack([_profile(part, slant) for slant in SLANTS])
    profile[:, :margin] = profile[:, part.width - margin :] = np.inf
    is_wide = part.width > FREE_WIDTH * part.height
    cuts = []
    while np.isfinite(profile).any():
        number, column = divmod(int(profile.argmin()), part.width)
        cuts.append(Cut(SLANTS[number], column))
        profile[number if is_wide else slice(None), max(0, column - margin) : column + margin + 1] = np.inf
    return sorted(cuts, key=lambda cut: cut.column)


def _profile(part: Part, slant: float) -> NDArray[np.float64]:
    """Return how much ink of a part is on a line with a slant through each column halfway down, smoothed."""
    rows, columns = np.nonzero(part.ink)
    halfway = np.round(columns + slant * (rows - part.height // 2)).astype(int).clip(0, part.width - 1)
    ink = np.bincount(halfway, weights=part.ink[rows, columns], minlength=part.width)
    profile: NDArray[np.float64] = ndimage.uniform_filter1d(ink, 3)
    return profile


def _have_room(left: Cut, right: Cut, height: int) -> bool:
    """Return whether a digit has room between two cuts through a part, which do not cross."""
    return right.column - left.column >= max(MIN_CUT_GAP * height, abs(left.slant - right.slant) * height / 2)


def _cut_off(parts: Sequence[Part], left: Cut | None, right: Cut | None) -> int:
    """Return how much of the width of parts is not between the middles of cuts through the first and the last of them, px."""
    return (left.column if left else 0) + (parts[-1].width - right.column if right else 0)


def _cut_out(part: Part, left: Cut | None, right: Cut | None) -> Part:
    """Return what is between two cuts through a part."""
    columns = np.arange(part.width)
    ink = part.ink
    if left:
        ink = np.where(columns >= left.columns(part.height)[:, None], ink, 0)
    if right:
        ink = np.where(columns < right.columns(part.height)[:, None], ink, 0)
    return cropped(part.top, part.left, ink)
