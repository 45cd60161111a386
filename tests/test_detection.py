"""Pages of several digits, drawn from val images, which the model that ships was not trained on."""

from dataclasses import replace
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont

from mnist_cli.config import PRETRAINED
from mnist_cli.labels import DIGITS
from mnist_cli.models import checkpoints
from mnist_cli.pictures import decode, segment
from mnist_cli.pictures.parts import Part, connected
from mnist_cli.pictures.threshold import otsu_thresholds
from mnist_cli.recognition import detection
from mnist_cli.recognition.predictions import Prediction
from mnist_cli.recognition.result import Result
from pretraining import sheets, strokes

HEIGHT = 48  # px, of a digit


@pytest.fixture(scope="module")
def model():
    return checkpoints.load(PRETRAINED).model


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def text_of(digits):
    return Result(digits=digits).text


def read(model, page, paper=235.0, ink=30.0):
    """Return the text of a page, 0 = paper to 1 = ink, as it looks in a picture."""
    levels = paper + (ink - paper) * page
    return text_of(detection.find_digits(model, levels.clip(0, 255).astype(np.float32)[:, :, None]))


def sign(image, height=HEIGHT):
    """Enlarge a digit of MNIST, cut out: (height, width), 0 to 1."""
    rows, columns = np.flatnonzero((image > 60).any(axis=1)), np.flatnonzero((image > 60).any(axis=0))
    cut = Image.fromarray(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    size = max(3, round(cut.width * height / cut.height)), height
    large = np.asarray(cut.resize(size, Image.Resampling.BICUBIC), dtype=np.float32) / 255
    return ((large - 0.4) * 2 + 0.5).clip(0, 1) if height > 28 else large


def row(val, rng, count, height=HEIGHT, gaps=(0.2, 0.5)):
    """Return a page with a row of digits, and its text."""
    chosen = rng.integers(0, len(val), count)
    parts = []
    for index in chosen:
        digit = sign(val.images[index, 0].numpy(), height)
        parts += [digit, np.zeros((height, round(height * rng.uniform(*gaps))), np.float32)]
    return np.pad(np.hstack(parts), height // 2), "".join(str(val.labels[index].item()) for index in chosen)


def touching(val, rng, count=2, height=HEIGHT):
    """Return a page with digits that touch, and its text."""
    chosen = rng.integers(0, len(val), count)
    page = np.zeros((height, 1), np.float32)
    for index in chosen:
        digit = sign(val.images[index, 0].numpy(), height)
        wide = np.pad(page, ((0, 0), (0, digit.shape[1])))
        places = range(page.shape[1], 0, -1)
        hits = (x for x in places if (wide[:, x : x + digit.shape[1]] * digit > 0.3).sum() >= 4)
        x = next(hits, page.shape[1])
        wide[:, x : x + digit.shape[1]] = np.maximum(wide[:, x : x + digit.shape[1]], digit)
        page = wide[:, : max(page.shape[1], x + digit.shape[1])]
    return np.pad(page, height // 2), "".join(str(val.labels[index].item()) for index in chosen)


def share_read(model, samples, **colours):
    """Return the fraction of pages whose text is recognized correctly."""
    return np.mean([read(model, page, **colours) == text for page, text in samples])


@pytest.mark.parametrize(("paper", "ink"), [(235, 30), (20, 230), (120, 60)], ids=["dark", "light", "grey"])
def test_a_row_is_read_from_left_to_right(model, val, rng, paper, ink):
    assert share_read(model, [row(val, rng, 5) for _ in range(20)], paper=paper, ink=ink) >= 0.75


def test_a_row_of_mnist_images_as_they_are(model, val):
    rows = [np.hstack(list(val.images[start : start + 8, 0].numpy())) / 255 for start in range(0, 160, 8)]
    texts = ["".join(map(str, val.labels[start : start + 8].tolist())) for start in range(0, 160, 8)]
    assert share_read(model, list(zip(rows, texts, strict=True)), paper=0, ink=255) >= 0.75


def test_lines_are_read_from_top_to_bottom(model, val, rng):
    samples = []
    for _ in range(15):
        (above, first), (below, second) = row(val, rng, 4), row(val, rng, 6)
        above = np.pad(above, ((0, 0), (0, max(0, below.shape[1] - above.shape[1]))))
        below = np.pad(below, ((0, 0), (0, max(0, above.shape[1] - below.shape[1]))))
        samples.append((np.vstack([above[: -HEIGHT // 3], below]), f"{first}\n{second}"))
    assert share_read(model, samples) >= 0.7


@pytest.mark.parametrize("degrees", [-15, 15])
def test_lines_at_a_slope_stay_lines_and_are_read(model, val, rng, degrees):
    read_right = 0
    for _ in range(10):
        rows = [row(val, rng, 4, gaps=(0.3, 0.5)) for _ in range(2)]
        width = max(page.shape[1] for page, _ in rows)
        page = np.vstack([np.pad(page, ((10, 10), (60, width - page.shape[1] + 60))) for page, _ in rows])
        turned = Image.fromarray(np.pad(page, ((90, 90), (0, 0)))).rotate(degrees, Image.Resampling.BILINEAR)
        read_right += read(model, np.asarray(turned)) == "\n".join(text for _, text in rows)
    assert read_right >= 7


@pytest.mark.parametrize("turn", [0.0, 0.6])
def test_a_form_is_read_without_its_boxes(model, val, rng, turn):
    samples = []
    for _ in range(20):
        page, text = np.zeros((150, 520), np.float32), ""
        drawing = Image.fromarray(page)
        for x in range(20, 420, 80):
            ImageDraw.Draw(drawing).rectangle((x, 35, x + 80, 115), outline=0.8, width=2)
        page = np.asarray(drawing.rotate(turn, Image.Resampling.BILINEAR)).copy()
        for x in range(20, 340, 80):  # the last box stays empty
            index = int(rng.integers(len(val)))
            digit = sign(val.images[index, 0].numpy())[:, :70]
            top, left = int(rng.integers(42, 60)), x + 40 - digit.shape[1] // 2
            page[top : top + HEIGHT, left : left + digit.shape[1]] += digit
            text += str(val.labels[index].item())
        samples.append((page, text))
    assert share_read(model, samples) >= 0.7


def test_digits_on_lined_paper_are_read_without_the_line(model, val, rng):
    samples = [row(val, rng, 4) for _ in range(20)]
    for page, _ in samples:
        page[-HEIGHT // 2 - 1 : -HEIGHT // 2 + 1] = 0.7
    assert share_read(model, samples) >= 0.6


def test_touching_digits_are_separated(model, val, rng):
    assert share_read(model, [touching(val, rng) for _ in range(40)]) >= 0.6


def test_uneven_light_is_not_ink(model, val, rng):
    samples = [row(val, rng, 5) for _ in range(20)]
    read_right = 0
    for page, text in samples:
        light = np.linspace(1, 0.5, page.shape[1]) * (0.65 + 0.35 / (1 + np.exp((np.arange(page.shape[1]) - 150) / 12)))
        read_right += read(model, page, paper=230 * light, ink=30 * light) == text
    assert read_right >= 12


def test_small_digits_on_a_large_canvas_and_where_they_are(model, val, rng, tmp_path):
    read_right = 0
    for _ in range(5):
        page, text = row(val, rng, 4, height=40)
        canvas = np.full((2400, 3200), 255, np.uint8)
        top, left = int(rng.integers(0, 2300)), int(rng.integers(0, 2800))
        view = canvas[top : top + page.shape[0], left : left + page.shape[1]]
        view[:] = 255 - 225 * page[: view.shape[0], : view.shape[1]]
        Image.fromarray(canvas).save(tmp_path / "page.png")
        found = detection.find_digits(model, decode.read(tmp_path / "page.png", longest=None))
        if text_of(found) == text:
            read_right += 1
            x, y, width, height = found[0].box
            assert abs(x - left - 20) <= 4
            assert abs(y - top - 20) <= 4
            assert abs(height - 40) <= 6
            assert 4 <= width <= 60
    assert read_right >= 3


def test_printed_digits_with_commas_and_a_letter(model):
    page = Image.new("L", (500, 120), 255)
    face = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    ImageDraw.Draw(page).text((20, 20), "12,350 E", 0, ImageFont.truetype(face, 72))
    text = text_of(detection.find_digits(model, decode.to_array(page)))
    assert text == "12,350?"


def test_a_digit_below_min_confidence_has_a_reason_and_is_a_question_mark(model, val, rng):
    page, _ = row(val, rng, 5)
    found = detection.find_digits(model, (255 - 255 * page)[:, :, None], min_confidence=1.1)
    assert {one.prediction.reason for one in found} == {"unclear"}
    assert set(text_of(found)) == {"?"}


def oddities():
    rng = np.random.default_rng(0)
    yield "one pixel", np.full((1, 1), 7)
    yield "one row", np.tile([0, 255], 25)[None]
    yield "one column", np.tile([0, 255], 25)[:, None]
    yield "blank", np.full((200, 300), 255)
    yield "all ink", np.pad(np.zeros((200, 200)), 1, constant_values=255)
    yield "noise", rng.integers(0, 256, (600, 600))
    yield "specks", (rng.random((600, 600)) < 0.1) * 255
    yield "stripes", np.tile((np.arange(600) // 10 % 2 * 255)[:, None], (1, 500))
    yield "squares", np.add.outer(np.arange(900) // 20, np.arange(900) // 20) % 2 * 255
    yield "long", np.tile([0, 255, 255], (3, 3000))
    yield "spots", np.kron(rng.integers(0, 2, (90, 90)), np.ones((9, 9))) * 255


@pytest.mark.parametrize(
    ("name", "levels"), list(oddities()), ids=lambda value: value if isinstance(value, str) else ""
)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_picture_gives_a_result_with_boxes_inside_it(model, name, levels, channels):
    picture = np.repeat(levels.astype(np.float32)[:, :, None], channels, axis=2)
    found = detection.find_digits(model, picture)
    for x, y, width, height in (one.box for one in found):
        assert x >= 0
        assert y >= 0
        assert 0 < width <= picture.shape[1] - x
        assert 0 < height <= picture.shape[0] - y
    if name in {"one pixel", "blank", "noise", "stripes"}:
        assert found == []


def test_on_a_page_of_too_many_pieces_no_part_is_cut():
    block = np.ones((20, 80), np.float32)  # which is wide enough for several digits
    few, many = ([[Part(0, 100 * column, block) for column in range(count)]] for count in (5, 450))
    assert {candidate.part.width for candidate in segment.candidates(few)[0]} != {80}
    assert {candidate.part.width for candidate in segment.candidates(many)[0]} == {80}


def test_of_parts_as_large_as_the_page_none_is_cut_or_joined():
    large = np.ones((2_000, 1_500), np.float32)
    few, many = ([[Part(0, 1_600 * column, large) for column in range(count)]] for count in (1, 4))
    assert {candidate.part.width for candidate in segment.candidates(few)[0]} != {1_500}
    assert [candidate.part.width for candidate in segment.candidates(many)[0]] == [1_500] * 4


class CountingModel:
    """A model that counts the frames it is given."""

    def __init__(self, model):
        self.rejection_threshold = model.rejection_threshold
        self.classes = model.classes
        self.model = model
        self.count = 0

    def logits(self, frames):
        self.count += len(frames)
        return self.model.logits(frames)


@pytest.mark.slow
def test_a_page_of_very_many_candidates_is_looked_at_in_fewer_ways(model):
    paper = np.where(np.add.outer(np.arange(760), np.arange(1_080)) < 900, 230, 120)  # half of it in a shadow
    ink = np.logical_and.outer(np.arange(760) % 40 < 25, np.arange(1_080) % 40 < 21)
    counting = CountingModel(model)
    detection.find_digits(counting, np.where(ink, paper // 5, paper).astype(np.uint8)[:, :, None])
    assert 500 < counting.count <= detection.MAX_WORK / detection.CANDIDATE_WORK


def test_what_is_between_cuts_has_all_ink_once(val, rng):
    page, _ = touching(val, rng)
    [line] = segment.candidates(segment.lines(connected(page)))
    parts = {(candidate.start, candidate.stop): candidate.part for candidate in line}
    end = max(stop for _, stop in parts)
    ways = [((0, start), (start, stop), (stop, end)) for start, stop in parts]
    ways = [way for way in ways if parts.keys() >= {*way}]
    assert len(ways) > 20
    for way in ways:
        assert sum(np.count_nonzero(parts[span].ink) for span in way) == np.count_nonzero(page)


def test_the_best_path_takes_all_ink_once():
    part = segment.Part(0, 0, np.ones((20, 10), np.float32))
    spans = [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3)]
    candidates = {(start, stop): segment.Candidate(start, stop, [part], 0.0, False) for start, stop in spans}
    worth = dict(zip(candidates.values(), [-1.0, -0.5, -1.0, -3.0, -0.2], strict=True))
    assert segment.best_path(worth) == [candidates[0, 2], candidates[2, 3]]


def test_parts_that_overlap_from_above_are_of_one_line():
    page = np.zeros((120, 200), np.float32)
    page[40:100, 20:30] = page[42:95, 60:75] = 1  # two strokes
    page[34:38, 60:85] = 1  # a loose bar above the second
    page[110:112, 150:152] = 1  # a speck
    assert [len(line) for line in segment.lines(connected(page))] == [3]


def test_noise_is_that_of_each_kind_of_paper_and_structure_is_none(rng):
    paper = np.where(np.indices((100, 300))[1] < 100, 0, 120) + rng.normal(
        0, 3, (100, 300)
    )  # a frame, and what is in it
    paper[40:60, 150:250] = 220  # ink
    assert segment._noise(paper.astype(np.float32)) == pytest.approx(3, rel=0.2)
    assert segment._noise(rng.normal(0, 30, (100, 300)).astype(np.float32)) == pytest.approx(30, rel=0.2)


def test_two_thresholds_separate_three_kinds_of_pixels():
    counts = np.zeros(256, int)
    counts[[10, 12, 100, 104, 240]] = 50, 50, 30, 20, 5
    low, high, between = otsu_thresholds(counts)
    assert 12 < low <= 100
    assert 104 < high <= 240
    assert between > 0.99


def test_places_of_a_line_are_numbered_from_left_to_right(val, rng):
    for _ in range(5):
        page, _ = touching(val, rng, 4)
        [candidates] = segment.candidates(segment.lines(connected(page)))
        assert all(candidate.start < candidate.stop for candidate in candidates)
        columns = {candidate.start: candidate.left.column for candidate in candidates if candidate.left}
        assert len(columns) > 5
        assert [columns[place] for place in sorted(columns)] == sorted(columns.values())


def test_only_candidates_that_may_be_on_the_best_path_are_predicted(model, val, rng, monkeypatch):
    counts = []

    def counting(model, frames):
        counts.append(len(frames))
        return classify_frames(model, frames)

    classify_frames = detection.classify_frames
    monkeypatch.setattr(detection, "classify_frames", counting)
    pages = [make(val, rng, count)[0] for make, count in ((touching, 2), (touching, 6), (row, 5)) for _ in range(3)]
    pictures = [(235 - 205 * page).astype(np.float32)[:, :, None] for page in pages]
    found = [detection.find_digits(model, picture) for picture in pictures]
    few = sum(counts)
    monkeypatch.setattr(detection, "MAX_VISITS", 0)  # all are left out, so all are predicted
    assert [[(digit.box, digit.text) for digit in page] for page in found] == [
        [(digit.box, digit.text) for digit in detection.find_digits(model, picture)] for picture in pictures
    ]
    assert few < (sum(counts) - few) / 2


def test_the_best_path_of_a_long_row_is_found_though_few_candidates_are_predicted(model, val, rng):
    for _ in range(6):
        page, _ = touching(val, rng, 6)
        lines = segment.candidates(segment.lines(connected(page)))
        few, every = ([line.path for line in detection._read_lines(model, lines, all_)] for all_ in (False, True))
        assert few == every


def test_most_numbers_of_two_digits_on_a_display_are_one_line(model):
    pages = []
    for seed in range(6):
        for text in ("17", "71", "11", "41", "13"):
            shown = [strokes.seven_segments(digit, np.random.default_rng(seed)) for digit in text]
            page = sheets.scan([shown], np.random.default_rng(seed))
            pages.append((decode.to_array(page, longest=None), text))
    assert np.mean([Result(digits=detection.find_digits(model, page)).text == text for page, text in pages]) >= 0.9


@pytest.mark.parametrize(("gap", "lines"), [(4, 1), (20, 2)], ids=["segments of a display", "lines of ones"])
def test_bars_end_to_end_are_one_line(gap, lines):
    page = np.zeros((100, 60), np.float32)
    for left in (10, 40):
        for top in (10, 10 + 20 + gap):
            page[top : top + 20, left : left + 5] = 1
    assert len(segment.lines(connected(page))) == lines


class Scores:
    """A model for which each frame is a 3, with these scores one after the other."""

    classes, rejection_threshold = DIGITS, 0.0

    def __init__(self, *scores):
        self.scores = iter(scores)

    def logits(self, frames):
        return np.array([np.where(np.arange(10) == 3, next(self.scores), -50.0) for _ in frames], np.float32)


def test_a_symbol_of_a_line_is_looked_at_in_views_before_it_is_rejected():
    ink = np.ones((20, 10), np.float32)
    sure, doubtful = (Prediction(list(np.eye(10)[3]), score, ink=ink) for score in (5.0, -2.0))
    model = Scores(4.0, 4.0, 4.0, -2.0, -2.0, -2.0)
    found = detection._in_views_if_rejected(model, [doubtful, sure, doubtful])
    assert [one.score for one in found] == pytest.approx([2.5, 5.0, -2.0])


@pytest.mark.parametrize(
    ("box", "reason", "is_kept"),
    [
        ((200, 0, 3, 130), None, False),
        ((200, 20, 3, 110), "not a digit", False),
        ((170, 0, 35, 130), "not a digit", True),  # perhaps a digit that touches the strip
        ((200, 20, 3, 105), None, True),  # not at an edge
        ((200, 0, 3, 60), None, True),
    ],
    ids=["whole edge", "piece of an edge", "wide", "in the middle", "of the usual height"],
)
def test_a_tall_bar_at_an_edge_of_the_picture_is_no_digit(box, reason, is_kept):
    one = detection.Detection(box, Prediction(list(np.eye(10)[1]), 5.0, reason))
    others = [(replace(one, box=(x, 45, 25, 45)), 1.0) for x in (20, 60, 100)]
    assert detection._without_edges([*others, (one, 1.0)], (206, 130)) == [*others, *[(one, 1.0)] * is_kept]
    assert detection._without_edges([(one, 1.0)], (206, 130)) == [(one, 1.0)]


def test_a_symbol_that_is_no_digit_does_not_agree_with_a_0():
    box = (0, 0, 20, 40)
    zero = detection.Detection(box, Prediction(list(np.eye(10)[0]), 5.0))
    rejected = replace(zero, prediction=replace(zero.prediction, reason="not a digit"))
    assert detection._found_in([(zero, 1.0)], [(rejected, 1.0)]).tolist() == [False]
    assert detection._found_in([(rejected, 1.0)], [(rejected, 1.0)]).tolist() == [True]
