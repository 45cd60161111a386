import numpy as np
import pytest
from conftest import draw_seven
from PIL import Image

import mnist_cli
from mnist_cli.errors import CheckpointError, ImageError


@pytest.fixture(scope="module")
def model():
    return mnist_cli.load_model()


def test_a_path_an_image_and_an_array_are_read_alike(model, tmp_path):
    seven = draw_seven()
    seven.save(tmp_path / "seven.png")
    levels = np.asarray(seven)
    grey = np.asarray(seven.convert("L"))
    for picture in (
        tmp_path / "seven.png",
        str(tmp_path / "seven.png"),
        seven,
        levels,
        grey,
        grey / 255,
        grey < 128,
        (grey < 128).astype(np.uint8),
        grey / 254.9,
        grey.astype(np.uint16) * 257,
    ):
        assert mnist_cli.classify(model, picture).digit == 7


def test_several_digits_are_found(model):
    row = np.hstack([np.asarray(draw_seven(100)), np.asarray(draw_seven(100))])
    found = mnist_cli.find_digits(model, np.kron(row, np.ones((10, 10, 1), np.uint8)))  # larger than is looked at
    assert [one.prediction.digit for one in found] == [7, 7]
    assert found[1].box[0] == pytest.approx(found[0].box[0] + 1_000, abs=20)


@pytest.mark.parametrize("shape", [(0, 5), (5,), (4, 4, 7), (2, 2, 2, 2)])
def test_an_array_that_is_no_picture_is_refused(model, shape):
    with pytest.raises(ImageError, match="is no picture"):
        mnist_cli.classify(model, np.zeros(shape))


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_an_array_of_what_are_no_levels_is_refused(model, value):
    with pytest.raises(ImageError, match="negative or none at all"):
        mnist_cli.classify(model, np.full((3, 3), value))


def test_a_checkpoint_can_be_named(trained, tmp_path):
    assert mnist_cli.classify(mnist_cli.load_model(trained), Image.new("L", (9, 9))).reason == "no ink"
    with pytest.raises(CheckpointError, match="no file"):
        mnist_cli.load_model(tmp_path / "none.pt")


def test_the_package_has_what_it_says_and_nothing_else():
    assert callable(mnist_cli.load_model)
    with pytest.raises(AttributeError, match="no attribute 'fly'"):
        _ = mnist_cli.fly
