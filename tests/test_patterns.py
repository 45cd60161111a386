"""Rows of digits with separators, drawn from val images, read as a field of known form."""

import numpy as np
import pytest
from test_detection import HEIGHT, sign

import mnist_cli
from mnist_cli.errors import ConfigError
from mnist_cli.pictures.segment import Candidate
from mnist_cli.recognition.patterns import Pattern, best_fit


@pytest.fixture(scope="module")
def model():
    return mnist_cli.load()


def separator(kind):
    """Draw a separator as tall as a digit: (48, width), 0 to 1."""
    drawn = np.zeros((HEIGHT, 24), np.float32)
    if kind == "-":
        drawn[22:27, 3:21] = 1
    elif kind == "/":
        for row in range(HEIGHT):
            left = round(19 - 18 * row / HEIGHT)
            drawn[row, left : left + 4] = 1
    elif kind == ".":
        drawn[42:48, 9:15] = 1
    return drawn


def field(val, rng, form):
    """Return a picture of a field, dark on light, and its text."""
    parts, text = [], ""
    for symbol in form:
        index = int(rng.integers(0, 5_000))
        parts += [sign(val.images[index, 0].numpy()) if symbol == "d" else separator(symbol), np.zeros((HEIGHT, 9))]
        text += str(val.labels[index].item()) if symbol == "d" else symbol
    page = np.pad(np.hstack(parts), HEIGHT // 2)
    return (235 - 205 * page).astype(np.uint8), text


@pytest.mark.slow
@pytest.mark.parametrize("form", ["dddd-dd", "dd/dd/dddd", "ddd.dd"])
def test_a_field_of_known_form_is_read_with_its_separators(model, val, form):
    rng = np.random.default_rng(1)
    fields = [field(val, rng, form) for _ in range(10)]
    results = model.find_digits([picture for picture, _ in fields], pattern=form)
    right = [result.text == text for result, (_, text) in zip(results, fields, strict=True)]
    assert np.mean(right) >= 0.8
    first = results[right.index(True)]
    assert first.numbers == fields[right.index(True)][1].replace("-", " ").replace("/", " ").replace(".", " ").split()
    assert [line.text for line in first.lines] == [first.text]


def test_gaps_do_not_split_a_number_of_known_length(model, val):
    rng = np.random.default_rng(2)
    picture, text = field(val, rng, "dd  dd")
    digits = text.replace(" ", "")
    assert model.find_digits(picture).numbers == [digits[:2], digits[2:]]
    assert model.find_digits(picture, pattern="dddd").numbers == [digits]
    assert model.find_digits(picture, pattern="dd dd").numbers == [digits[:2], digits[2:]]
    for form in ("ddd", "ddddddddd-d"):
        missing = model.find_digits(picture, pattern=form)
        assert (missing.text, missing.reason) == ("", f"nothing like {form}")


@pytest.mark.parametrize("pattern", ["", "-", "dd-", "-dd", "d--d", "dd_dd", "12", "d" * 41])
def test_what_is_not_a_pattern_is_refused(pattern):
    with pytest.raises(ConfigError, match="is not a pattern; write d for each digit"):
        Pattern(pattern)


def test_the_separator_before_each_digit():
    assert Pattern("dd-d/dd").before == ["", "", "-", "/", ""]


def test_a_separator_may_be_as_tall_as_a_digit_but_a_space_is_no_ink():
    digits = [Candidate(place, place + 1, [], 0.0) for place in range(3)]
    worth = dict.fromkeys(digits, -0.1)
    assert best_fit(worth, Pattern("d-d"), best_worth=-0.3) == [digits[0], digits[2]]
    assert best_fit(worth, Pattern("d d"), best_worth=-0.3) == []
