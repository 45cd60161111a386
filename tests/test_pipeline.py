import io
import itertools

import numpy as np
import pytest
import torch
from conftest import draw_seven

from mnist_cli.config import PRETRAINED
from mnist_cli.errors import FormatError, ImageError
from mnist_cli.models import backends
from mnist_cli.recognition import pipeline
from mnist_cli.recognition.pipeline import BATCH, Options


@pytest.fixture(scope="module")
def model():
    return backends.load(PRETRAINED).model


def recognize(model, pictures, **options):
    return list(itertools.chain.from_iterable(pipeline.recognize(model, pictures, Options(**options))))


def page_of(*digits):
    """Return digits of MNIST beside each other, (height, width)."""
    return np.hstack([np.pad(digit, 4) for digit in digits])


def test_results_are_in_the_order_of_the_pictures_across_batches(model, val):
    count = 2 * BATCH + 5
    pictures = list(val.images[:count].numpy())
    for index in (0, BATCH, count - 1):
        pictures[index] = b"no picture"
    results = recognize(model, pictures)
    assert [type(result.error) for result in results].count(FormatError) == 3
    assert [result.digit for result in (results[0], results[BATCH], results[-1])] == [None] * 3
    right = [result.digit == label for result, label in zip(results, val.labels[:count].tolist(), strict=True)]
    assert sum(right) >= 0.95 * count


def test_every_kind_of_source_gives_the_same_result(model, tmp_path):
    seven = draw_seven()
    seven.save(tmp_path / "seven.png")
    file = io.BytesIO()
    seven.save(file, "PNG")
    levels = np.asarray(seven)
    pictures = [tmp_path / "seven.png", file.getvalue(), seven, levels, torch.tensor(levels).permute(2, 0, 1)]
    results = recognize(model, pictures)
    assert [result.digit for result in results] == [7] * 5
    assert [result.path for result in results] == [tmp_path / "seven.png", None, None, None, None]
    for result in results:
        assert np.array_equal(result.prediction.frame, results[0].prediction.frame)


@pytest.mark.parametrize("many", [False, True])
def test_a_picture_that_cannot_be_read_is_a_result_with_its_error(model, tmp_path, many):
    (tmp_path / "notes.png").write_text("milk, eggs")
    pictures = [tmp_path / "none.png", draw_seven(), tmp_path / "notes.png", np.full((3, 3), -1), tmp_path]
    missing, seven, text, negative, folder = recognize(model, pictures, many=many)
    assert (missing.path, str(missing.error)) == (tmp_path / "none.png", "there is no such file")
    assert (missing.digit, missing.reason, missing.confidence) == (None, "there is no such file", None)
    assert (seven.digit, seven.error) == (7, None)
    assert isinstance(text.error, FormatError)
    assert isinstance(negative.error, ImageError)
    assert folder.reason == "there is no picture in this folder"


def test_several_digits_are_found_with_their_boxes(model, val):
    pictures = [page_of(*val.images[[0, 1, 2], 0].numpy()), page_of(val.images[0, 0].numpy())]
    several, only = recognize(model, pictures, many=True)
    assert several.text == "".join(map(str, val.labels[:3].tolist()))
    assert (several.digit, several.reason) == (None, "several digits")
    lefts = [detection.box[0] for detection in several.digits]
    assert lefts == sorted(lefts)
    assert (only.digit, len(only.digits)) == (val.labels[0].item(), 1)


def test_a_digit_below_min_confidence_is_unclear(model):
    for many in (False, True):
        (result,) = recognize(model, [draw_seven()], many=many, min_confidence=1.1)
        assert (result.digit, result.reason) == (None, "unclear")


@pytest.mark.parametrize("many", [False, True])
def test_pixels_are_kept_only_on_request(model, many):
    for keep in (False, True):
        (result,) = recognize(model, [draw_seven()], many=many, keep_pixels=keep)
        assert (result.picture is not None) == (result.prediction.ink is not None) == keep
        assert result.prediction.frame.shape == (1, 28, 28)


@pytest.mark.parametrize(("many", "size"), [(False, BATCH), (True, 1)])
def test_at_most_one_batch_is_read_ahead(model, many, size):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield np.full((20, 20), 255, np.uint8)

    batches = pipeline.recognize(model, endless(), Options(many=many))
    for number in range(1, 4):
        assert len(next(batches)) == size
        assert taken <= (number + 1) * size
    batches.close()


def test_no_pictures_give_no_results(model):
    assert recognize(model, []) == []


def test_an_error_that_is_not_of_a_picture_is_raised(model):
    def broken():
        yield draw_seven()
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        recognize(model, broken())
