"""Points, commas, colons, minus signs and slashes between digits of val images, read without a pattern."""

import numpy as np
import pytest
from PIL import Image, ImageDraw
from test_detection import HEIGHT, sign

import mnist_cli
from mnist_cli.recognition import separators

ROWS = 30


@pytest.fixture(scope="module")
def model():
    return mnist_cli.load()


def separator(kind, pen, rng):
    """Draw a separator with a pen so many px wide, beside digits of 48 px: (72, width), 0 to 1."""
    drawn = Image.new("L", (32, HEIGHT + 24), 0)
    pencil, shift = ImageDraw.Draw(drawn), rng.integers(-2, 3)
    if kind == "-":
        pencil.line([(4, 36 + shift), (27, 36 + shift + rng.integers(-2, 3))], 255, pen)
    elif kind == "/":
        pencil.line([(2, 66 + shift), (28, 6 + shift)], 255, pen)
    for y in {".": [58], ",": [58], ":": [58, 30]}.get(kind, []):
        pencil.ellipse((16 - pen, y + shift - pen, 16 + pen, y + shift + pen), 255)
    if kind == ",":
        pencil.line([(16 + pen / 2, 58 + shift), (13, 71)], 255, pen)
    return np.asarray(drawn, np.float32)[:, slice(8, 24) if kind in ".,:" else slice(None)] / 255


def row(val, rng, form, pen):
    """Return a picture of digits (`d`) and separators, dark on light, and its text."""
    parts, text = [], ""
    for symbol in form:
        index = int(rng.integers(5_000, 10_000))
        is_digit = symbol == "d"
        digit = np.pad(sign(val.images[index, 0].numpy()), ((12, 12), (0, 0)))
        parts += [digit if is_digit else separator(symbol, pen, rng), np.zeros((HEIGHT + 24, 5))]
        text += str(val.labels[index].item()) if is_digit else symbol
    page = np.pad(np.hstack(parts), HEIGHT // 2)
    return (235 - 205 * page).astype(np.uint8), text


@pytest.mark.slow
@pytest.mark.parametrize("pen", [4, 6])
@pytest.mark.parametrize("form", ["dd.d", "d,dd", "dd:dd", "dd-dd", "-ddd", "dd/dd"])
def test_a_separator_is_in_the_text_and_is_no_digit(model, val, form, pen):
    rng = np.random.default_rng([7, pen])
    rows = [row(val, rng, form, pen) for _ in range(ROWS)]
    results = model.find_digits([picture for picture, _ in rows])
    shape = [result.text.translate(str.maketrans("0123456789", "dddddddddd")) for result in results]
    assert np.mean([found == form for found in shape]) >= 0.9, shape
    first = results[shape.index(form)]
    assert first.numbers == first.text.translate(str.maketrans(".,:-/", "     ")).split()
    before = [number["before"] for line in first.to_dict(many=True)["lines"] for number in line["numbers"]]
    assert [sign for sign in before if sign] == list(form.replace("d", ""))


@pytest.mark.slow
def test_digits_alone_have_no_separators(model, val):
    rng = np.random.default_rng(8)
    results = model.find_digits([row(val, rng, "ddddd", 4)[0] for _ in range(ROWS)])
    assert np.mean([set(result.text) <= {*"0123456789?"} for result in results]) >= 0.95


def boxes(*lefts):
    """Return the boxes of digits 20 px wide and 40 px tall."""
    return [(left, 100, 20, 40) for left in lefts]


@pytest.mark.parametrize(
    ("left", "mark", "expected"),
    [
        (50, (30, 134, 6, 6), "."),
        (50, (30, 134, 5, 14), ","),
        (60, (28, 118, 24, 5), "-"),
        (50, (30, 100, 6, 6), None),  # an apostrophe
        (50, (34, 138, 2, 2), None),  # a speck
        (150, (30, 134, 6, 6), None),  # a full stop at the end of a number
        (150, (30, 118, 24, 5), None),  # a dash between two columns
    ],
)
def test_a_mark_is_told_by_its_shape_and_place(left, mark, expected):
    assert separators.place(boxes(0, left), {}, [mark], pen=5) == [(0, None), (1, expected)]


def test_two_dots_above_one_another_are_a_colon():
    assert separators.place(boxes(0, 50), {}, [(30, 108, 6, 6), (31, 134, 6, 6)], pen=5) == [(0, None), (1, ":")]


def test_a_minus_sign_before_the_first_digit_is_near_to_it():
    for left, expected in ((20, "-"), (-40, None)):
        assert separators.place(boxes(60), {}, [(left, 118, 24, 5)], pen=5) == [(0, expected)]


def test_a_slash_is_a_straight_stroke_that_leans_and_is_taller_than_the_digits():
    slash = np.eye(60, 60, dtype=np.float32)[::-1]
    assert separators.place([*boxes(0), (25, 90, 60, 60), *boxes(80)], {1: slash}, [], 0) == [(0, None), (2, "/")]
    for one in ((25, 100, 40, 40), (25, 90, 60, 60)):  # one that is no taller, and one that leans to the left
        ink = slash if one[3] == 40 else slash[:, ::-1]
        assert [index for index, _ in separators.place([*boxes(0), one, *boxes(80)], {1: ink}, [], 0)] == [0, 1, 2]
