"""Pages of several digits in the conditions of `pretraining.sheets`, with other digits, pens and seeds than those of benchmarks."""

import numpy as np
import pytest
from PIL import Image

from mnist_cli.config import PRETRAINED
from mnist_cli.models import checkpoints
from mnist_cli.pictures import decode, parts
from mnist_cli.recognition import classification, detection
from mnist_cli.recognition.result import Result
from pretraining import sheets, strokes, written_forms

PAGES = 24


@pytest.fixture(scope="module")
def model():
    return checkpoints.load(PRETRAINED).model


def by_hand(value, rng):
    """Draw a digit in a form and a hand as on most pages: a block 0 is like the box of a form, and displays are no hand."""
    forms = [form for form in written_forms.DIGITS[value] if form.kind not in {"block", "display"}]
    frequencies = np.array([form.frequency for form in forms])
    form = forms[rng.choice(len(forms), p=frequencies / frequencies.sum())]
    curves = strokes._curves(written_forms.strokes_of(form.strokes), rng.uniform(0.02, 0.055), rng)
    slanted = np.array([[np.exp(rng.normal(0, 0.18)), -rng.normal(0.12, 0.2)], [0, 1]])
    return strokes._inked([curve @ slanted.T for curve in curves], rng.uniform(0.02, 0.14) * strokes.CANVAS, True)


def pick(val, rng, count):
    """Return digits, every other one drawn by program, and what they read."""
    indices = rng.integers(0, len(val), count)
    labels = [int(val.labels[index]) for index in indices]
    drawn = [val.images[index, 0].numpy().astype(np.float32) / 255 for index in indices]
    return [mask if i % 2 else by_hand(labels[i], rng) for i, mask in enumerate(drawn)], "".join(map(str, labels))


def fraction_read(model, val, condition, rng, lines=1):
    """Return the fraction of pages under a condition that are read without a mistake."""
    right = 0
    for _ in range(PAGES):
        masks, texts = zip(*(pick(val, rng, int(rng.integers(2, 6))) for _ in range(lines)), strict=True)
        picture = decode.to_array(sheets.CONDITIONS[condition](masks, rng), longest=None)
        right += Result(digits=detection.find_digits(model, picture)).text == "\n".join(texts)
    return right / PAGES


@pytest.mark.parametrize(
    ("condition", "least"),
    [
        ("clean scan", 0.8),
        ("boxes of a form", 0.7),
        ("dividers", 0.7),
        ("dark strip at a side", 0.7),
        ("frame at the edge", 0.7),
        ("unequal heights", 0.7),
        ("broken strokes", 0.4),
        ("tight crop", 0.7),
    ],
)
def test_a_row_of_digits_is_read_in_every_condition(model, val, condition, least):
    assert fraction_read(model, val, condition, np.random.default_rng(101)) >= least


@pytest.mark.parametrize(
    ("condition", "drawn"),
    [("counter", strokes.printed), ("clean scan", strokes.seven_segments), ("tight crop", strokes.seven_segments)],
    ids=["a counter", "a display", "a display, lit"],
)
def test_a_meter_is_read(model, condition, drawn):
    rng = np.random.default_rng(105)
    right = 0
    for _ in range(PAGES):
        text = "".join(map(str, rng.integers(0, 10, rng.integers(2, 6))))
        same = int(rng.integers(2**32))  # for one typeface, pen and slant
        masks = [drawn(digit, np.random.default_rng(same)) for digit in text]
        picture = decode.to_array(sheets.CONDITIONS[condition]([masks], rng), longest=None)
        right += Result(digits=detection.find_digits(model, picture)).text == text
    assert right >= 0.7 * PAGES


@pytest.mark.parametrize("condition", ["table", "on a darker table"])
def test_lines_are_read_within_a_table_and_on_one(model, val, condition):
    assert fraction_read(model, val, condition, np.random.default_rng(102), lines=2) >= 0.6


@pytest.mark.parametrize("condition", ["on a darker table", "tight crop"])
def test_a_row_is_not_answered_with_one_of_its_digits(model, val, condition):
    rng = np.random.default_rng(108)
    rows = [pick(val, rng, int(rng.integers(2, 6)))[0] for _ in range(PAGES)]
    pictures = [decode.to_array(sheets.CONDITIONS[condition]([row], rng), longest=None) for row in rows]
    assert sum(one.digit is not None for one in classification.classify(model, pictures)) <= 2


def test_a_digit_in_a_frame_at_the_edge_is_read_whichever_is_lighter(model, val):
    rng = np.random.default_rng(103)
    masks, text = pick(val, rng, 20)
    pictures = [decode.to_array(sheets.frame_line([[mask]], rng)) for mask in masks]
    found = classification.classify(model, pictures)
    assert np.mean([str(one.digit) == label for one, label in zip(found, text, strict=True)]) >= 0.9


def test_a_one_of_a_display_is_one_symbol_also_where_it_is_slanted(model):
    rng = np.random.default_rng(106)
    right = 0
    for _ in range(PAGES):
        text = "".join(map(str, rng.permutation([1, 1, *rng.integers(0, 10, 2)])))
        same = int(rng.integers(2**32))
        masks = [strokes.seven_segments(digit, np.random.default_rng(same)) for digit in text]
        picture = decode.to_array(sheets.CONDITIONS["clean scan"]([masks], rng), longest=None)
        right += Result(digits=detection.find_digits(model, picture)).text == text
    assert right >= 0.9 * PAGES


def test_a_straight_one_taller_than_its_neighbour_makes_several_digits(model):
    rng = np.random.default_rng(104)
    reasons = []
    for number in range(30):
        digit = sheets.enlarge(by_hand(int(rng.choice([0, 2, 3, 4, 5, 6, 7, 8, 9])), rng), sheets.HEIGHT)
        tall, pen = (
            round(rng.uniform(1.2, 1.8) * sheets.HEIGHT),
            round(parts.stroke_width(parts.connected(digit)) * rng.uniform(0.8, 1.3)),
        )
        one = np.ones((tall, pen), np.float32)
        gap = round(rng.uniform(0.2, 1.2) * sheets.HEIGHT)
        above = (tall - len(digit)) // 2
        digit = np.pad(digit, ((above, tall - len(digit) - above), (0, 0)))
        row = [digit, np.zeros((tall, gap), np.float32), one]
        page = np.pad(np.hstack(row if number % 2 else row[::-1]), 30)
        turned = np.asarray(Image.fromarray(page).rotate(rng.normal(0, 3), Image.Resampling.BILINEAR))
        picture = decode.to_array(sheets.in_grey(turned, rng))
        reasons.append(classification.classify(model, [picture])[0].reason)
    assert np.mean([reason == "several digits" for reason in reasons]) >= 0.9
    assert None not in reasons  # none answers with one of the two


def test_one_digit_is_not_several(model, val):
    rng = np.random.default_rng(105)
    masks, _ = pick(val, rng, 60)
    found = classification.classify(model, [decode.to_array(sheets.scan([[mask]], rng)) for mask in masks])
    assert sum(one.reason == "several digits" for one in found) <= 1  # some of MNIST's have a stroke of their neighbour


def test_thin_pieces_of_a_frame_beside_a_digit_are_no_digits(model):
    rng = np.random.default_rng(107)
    pictures = []
    for number in range(20):
        page = np.pad(sheets.enlarge(by_hand(number % 10, rng), sheets.HEIGHT), 20)
        page[8:-12, 6] = page[12:-6, -8] = 0.8
        pictures.append(decode.to_array(sheets.in_grey(page, rng)))
    assert sum(one.reason == "several digits" for one in classification.classify(model, pictures)) <= 1


def test_a_page_has_a_text_under_each_condition_of_any_number_of_lines(val):
    rng = np.random.default_rng(106)
    for condition in sheets.CONDITIONS.values():
        image = condition([pick(val, rng, 2)[0], pick(val, rng, 5)[0]], rng)
        assert image.mode == "L"
        assert min(image.size) > sheets.HEIGHT
