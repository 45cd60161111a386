from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import draw_seven
from matplotlib.cbook import get_sample_data
from PIL import Image, ImageDraw, ImageOps

from mnist_cli.config import PRETRAINED
from mnist_cli.labels import DIGITS
from mnist_cli.models import checkpoints
from mnist_cli.pictures import decode
from mnist_cli.recognition import classification, predictions
from mnist_cli.recognition.predictions import Prediction
from pretraining import pages, strokes, written_forms


@pytest.fixture(scope="module")
def shipped():
    return checkpoints.load(PRETRAINED).model


def pictures_of(val, condition, count=12):
    """Return pictures of val digits under a condition, and what they show."""
    rng = np.random.default_rng(0)
    masks = val.images[:count, 0].numpy().astype(np.float32) / 255
    return [decode.to_array(pages.CONDITIONS[condition](mask, rng)) for mask in masks], val.labels[:count].tolist()


def test_the_digit_is_the_likeliest_and_its_probability_the_confidence():
    prediction = Prediction([0.1, 0.0, 0.7, 0.2, 0, 0, 0, 0, 0, 0], score=3.0)
    assert (prediction.digit, prediction.confidence) == (2, 0.7)
    assert Prediction([0.1] * 10, score=-3.0, reason="not a digit").digit is None


@pytest.mark.parametrize("condition", pages.CONDITIONS)
def test_every_kind_of_picture_is_read(condition, shipped, val):
    pictures, labels = pictures_of(val, condition)
    answers = classification.classify(shipped, pictures)
    right = sum(
        answer.probabilities.index(answer.confidence) == label for answer, label in zip(answers, labels, strict=True)
    )
    assert right >= 10  # of 12


@pytest.mark.parametrize(
    ("value", "kind"),
    dict.fromkeys((value, form.kind) for value, forms in written_forms.DIGITS.items() for form in forms),
    ids=lambda part: str(part),
)
def test_every_written_form_of_a_digit_is_read(value, kind, shipped):
    rng = np.random.default_rng(0)
    forms = [form for form in written_forms.DIGITS[value] if form.kind == kind]
    masks = [strokes.draw_form(forms[number % len(forms)], rng) for number in range(12)]
    answers = classification.classify(shipped, [decode.to_array(pages.scan(mask, rng)) for mask in masks])
    assert sum(answer.probabilities.index(answer.confidence) == value for answer in answers) >= 11


@pytest.mark.parametrize("value", range(10))
def test_the_segments_of_a_display_are_one_digit_and_not_several_ones(value, shipped):
    rng = np.random.default_rng(1)
    forms = [form for form in written_forms.DIGITS[value] if form.kind == "display"]
    masks = [strokes.draw_form(forms[number % len(forms)], rng) for number in range(20)]
    answers = classification.classify(shipped, [decode.to_array(pages.scan(mask, rng)) for mask in masks])
    assert sum(answer.digit == value for answer in answers) >= 19


def ellipse(width):
    angles = np.linspace(0.1, 0.1 + 2 * np.pi, 30)
    return np.stack([width * np.cos(angles), np.sin(angles)], axis=1) / 2 + 0.5


# Digits as they are drawn in a paint program, in a box of height 1: the lines, and by how much they are slanted.
DRAWN = {
    "circle": (0, [ellipse(1)], 0),
    "box without corners": (
        0,
        [[(0.2, 0), (0.6, 0), (0.8, 0.15), (0.8, 0.85), (0.6, 1), (0.2, 1), (0, 0.85), (0, 0.15), (0.2, 0)]],
        0,
    ),
    "block 6": (6, [[(0.55, 0), (0, 0), (0, 1), (0.55, 1), (0.55, 0.5), (0, 0.5)]], 0),
    "block 8": (8, [[(0, 0), (0.55, 0), (0.55, 1), (0, 1), (0, 0)], [(0, 0.5), (0.55, 0.5)]], 0),
    "narrow, slanted 0": (0, [ellipse(0.3)], 0.6),
}
# The side of the page, the height of the digit, the width of the pen, and the side of the picture, in px.
PAINTED = {
    "a pen of 1 px": (200, 115, 1, 200),
    "a pen of 5 px": (280, 155, 5, 280),
    "a page": (400, 130, 12, 400),
    "28 px": (280, 190, 14, 28),
    "28 px, bold": (280, 190, 34, 28),
}


def paint(lines, slant, medium, rng):
    """Return lines drawn in a medium, by a hand that is not quite steady."""
    side, height, pen, pixels = PAINTED[medium]
    wide, turn = rng.uniform(0.85, 1.15), rng.normal(0, 0.05)
    page = Image.new("L", (side, side), 255)
    for line in lines:
        x, y = np.transpose(np.array(line) - 0.5 + rng.normal(0, 0.008, (len(line), 2))) * height
        x = wide * x - slant * y
        path = np.stack([x - turn * y, y + turn * x], axis=1) + side / 2
        ImageDraw.Draw(page).line([tuple(point) for point in path], 0, pen, joint="curve")
    page = page.resize((pixels, pixels), Image.Resampling.BOX)
    return decode.to_array(ImageOps.invert(page) if medium == "28 px, bold" else page)


@pytest.mark.parametrize("medium", PAINTED)
@pytest.mark.parametrize("kind", DRAWN)
def test_digits_that_are_drawn_with_straight_lines_and_circles_are_read(kind, medium, shipped):
    value, lines, slant = DRAWN[kind]
    if slant and medium == "28 px, bold":
        pytest.skip("the pen fills the 0")
    rng = np.random.default_rng(15)
    answers = classification.classify(shipped, [paint(lines, slant, medium, rng) for _ in range(100)])
    assert sum(answer.digit == value for answer in answers) >= 95


def test_thin_letters_are_no_digits(shipped):
    rng = np.random.default_rng(15)
    lines = [written_forms.strokes_of(letter) for letter in written_forms.LETTERS]
    pictures = [paint([np.array(line) for line in some], 0, "a pen of 1 px", rng) for some in lines]
    assert sum(answer.digit is not None for answer in classification.classify(shipped, pictures)) <= 1


def test_pictures_have_the_same_result_alone_and_in_a_batch(shipped, val):
    pictures, _ = pictures_of(val, "shadow", 5)
    for picture, answer in zip(pictures, classification.classify(shipped, pictures), strict=True):
        alone = classification.classify(shipped, [picture])[0]
        assert alone.probabilities == pytest.approx(answer.probabilities, abs=1e-5)
        assert np.array_equal(alone.frame, answer.frame)


def test_an_mnist_image_is_used_unchanged(shipped, val):
    picture = decode.to_array(Image.fromarray(val.images[0, 0].numpy()))
    answer = classification.classify(shipped, [picture])[0]
    assert np.array_equal(answer.frame, val.images[0].numpy())
    expected = shipped(val.images[:1]).softmax(dim=1)[0]
    assert answer.probabilities == pytest.approx(expected.tolist(), abs=1e-6)


@pytest.mark.parametrize(
    "picture",
    [
        Image.new("L", (28, 28), 255),
        Image.new("RGBA", (50, 50)),
        Image.new("L", (1, 1)),
        Image.new("RGB", (1, 50), "red"),
    ],
    ids=["white", "transparent", "one pixel", "a column"],
)
def test_a_blank_picture_has_no_ink(shipped, picture):
    answer = classification.classify(shipped, [decode.to_array(picture)])[0]
    assert (answer.digit, answer.reason, answer.frame) == (None, "no ink", None)


def test_most_letters_and_noise_are_not_digits(shipped):
    rng = np.random.default_rng(0)
    letters = [written_forms.strokes_of(text) for text in written_forms.LETTERS]
    drawn = [paint(letters[number % len(letters)], 0, "a page", rng) for number in range(40)]
    noise = [decode.to_array(Image.fromarray(rng.integers(0, 256, (60, 60)).astype(np.uint8))) for _ in range(20)]
    assert sum(answer.reason == "not a digit" for answer in classification.classify(shipped, drawn)) >= 36
    assert sum(answer.digit is None for answer in classification.classify(shipped, noise)) >= 19  # of 20


@pytest.mark.parametrize(("margin", "chosen"), [(1, 7), (0, 3)], ids=["ink with paper around it", "a shadow"])
def test_a_first_candidate_that_is_cut_off_by_the_border_is_penalized(margin, chosen):
    first, other = (Prediction(list(np.eye(10)[digit]), score) for digit, score in ((7, 5.0), (3, 8.0)))
    first = replace(first, ink=np.pad(np.ones((20, 10), np.float32), margin))
    assert classification.best_candidate([first, other]).probabilities.index(1) == chosen


@pytest.mark.parametrize("agreeing", [1, 12])
def test_one_candidate_is_outvoted_by_many_that_agree_on_another_digit(agreeing):
    hole = Prediction(list(np.eye(10)[1]), 8.5)
    rest = [Prediction(list(np.eye(10)[0]), 7.5)] * agreeing
    first = Prediction(list(np.eye(10)[3]), -5.0)
    best = classification.best_candidate([first, hole, *rest])
    assert best.probabilities.index(1) == (0 if agreeing > 1 else 1)


@pytest.mark.parametrize(("before", "is_accepted"), [(1, True), (25, False)])
def test_the_later_a_candidate_comes_the_more_evidence_it_needs(shipped, before, is_accepted):
    rejected, digit = (Prediction(list(np.eye(10)[1]), score) for score in (-5.0, 6.5))
    best = classification.best_candidate([rejected] * before + [digit])
    assert (best.score >= float(shipped.rejection_threshold)) is is_accepted


class Stub:
    """A model for which each frame is a 3, the first ones with these scores, others with none to speak of."""

    classes, rejection_threshold = DIGITS, 0.0

    def __init__(self, *scores):
        self.scores = list(scores)

    def logits(self, frames):
        scores = [self.scores.pop(0) if self.scores else -20.0 for _ in frames]
        return np.array([np.where(np.arange(10) == 3, score, -50.0) for score in scores], np.float32)


@pytest.mark.parametrize(
    ("own", "others", "digit"),
    [(2.0, (-4.0, -4.0, -4.0), None), (-2.0, (4.0, 4.0, 4.0), 3), (classification.SURE, (), 3)],
    ids=["a digit in one view of four", "a digit in three", "sure at once"],
)
def test_the_mean_over_views_of_the_ink_decides_where_the_score_is_not_sure(own, others, digit):
    picture = np.zeros((28, 28, 1), np.float32)  # already as MNIST draws it, so that it has one candidate
    picture[4:24, 12:17] = 255
    stub = Stub(own, *others)
    [answer] = classification.classify(stub, [picture])
    assert (answer.digit, stub.scores) == (digit, [])
    assert answer.score == pytest.approx(np.mean([own, *others]))


def test_most_pieces_of_a_photo_are_not_digits(shipped):
    photo = Image.open(get_sample_data("grace_hopper.jpg", asfileobj=False))
    rng, pieces = np.random.default_rng(0), []
    for _ in range(60):
        side = int(rng.integers(28, 200))
        left, top = (int(rng.integers(length - side)) for length in photo.size)
        pieces.append(decode.to_array(photo.crop((left, top, left + side, top + side))))
    # 45 where late candidates need no more evidence than early ones
    assert sum(answer.digit is None for answer in classification.classify(shipped, pieces)) >= 47


def test_a_digit_below_min_confidence_is_unclear(shipped):
    picture = decode.to_array(draw_seven())
    answer = classification.classify(shipped, [picture])[0]
    assert (answer.digit, answer.reason) == (7, None)
    unclear = classification.classify(shipped, [picture], min_confidence=1.0)[0]
    assert (unclear.digit, unclear.reason) == (None, "unclear")
    assert unclear.probabilities == answer.probabilities


@pytest.mark.slow
def test_confidence_is_calibrated_on_val(shipped, val):
    with torch.inference_mode():
        confidence, answers = torch.cat([shipped(b.images).softmax(1) for b in val.batches(1_000)]).max(dim=1)
    right = (answers == val.labels).float()
    place = (confidence * 15).long().clamp(max=14)
    gaps = [
        (right[place == b].mean() - confidence[place == b].mean()).abs() * (place == b).sum() for b in place.unique()
    ]
    assert sum(gaps) / len(val) <= 0.005


def test_probabilities_are_the_softmax_and_the_score_the_logsumexp_of_the_logits():
    class Model:
        rejection_threshold = 0.0
        classes = DIGITS

        def logits(self, frames):
            return np.repeat([[1_000.0] + [0.0] * 8 + [1_001.0]], len(frames), axis=0).astype(np.float32)

    (answer,) = predictions.classify_frames(Model(), [np.zeros((1, 28, 28), np.uint8)])
    assert answer.probabilities[9] == pytest.approx(1 / (1 + np.exp(-1)))
    assert sum(answer.probabilities) == pytest.approx(1)
    assert answer.score == pytest.approx(1_001 + np.log(1 + np.exp(-1)))


def test_no_pictures_give_no_predictions(shipped):
    assert classification.classify(shipped, []) == []


@pytest.mark.parametrize("tops", [(40, 60, 80), (80, 60, 20), (20, 100, 60)])
def test_an_uneven_row_is_not_classified_as_one_of_its_digits(val, shipped, tops):
    sheet = Image.new("L", (300, 280), 255)
    for place, top in enumerate(tops):
        image = val.images[val.labels == (2, 6, 4)[place]][0, 0].numpy()
        sheet.paste(0, (94 * place, top), Image.fromarray(image).resize((94, 120)))
    (answer,) = classification.classify(shipped, [decode.to_array(sheet)])
    assert answer.reason == "several digits"


def test_a_row_of_digits_is_distinguished_from_no_digit(shipped):
    rng = np.random.default_rng(1)
    rows = []
    for _ in range(10):
        signs = [strokes.digit(int(rng.integers(10)), rng) for _ in range(3)]
        rows.append(decode.to_array(pages.scan(np.hstack(signs), rng)))
    reasons = [answer.reason for answer in classification.classify(shipped, rows)]
    assert reasons.count("several digits") >= 6
