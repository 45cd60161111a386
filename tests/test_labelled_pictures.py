import numpy as np
import pytest
from conftest import draw_seven
from PIL import Image

from mnist_cli.datasets import labelled_pictures
from mnist_cli.datasets.labelled_pictures import Corrections
from mnist_cli.errors import DataError
from mnist_cli.pictures import binarize, decode, normalize


def write(folder, rows):
    folder.mkdir(exist_ok=True)
    (folder / "labels.csv").write_text("path,digit\n" + rows)
    draw_seven().save(folder / "seven.png")
    return folder


def test_what_was_collected_is_loaded_as_a_model_sees_it(tmp_path):
    folder = Corrections(tmp_path / "kept")
    pictures = [decode.to_array(draw_seven()), decode.to_array(draw_seven(ink="yellow", paper="navy"))]
    for picture, digit in zip(pictures, (7, 1), strict=True):
        folder.add(picture, digit)
    frames, digits = labelled_pictures.load(tmp_path / "kept")
    assert frames.shape == (2, 1, 28, 28)
    assert frames.dtype == np.uint8
    assert digits.tolist() == [7, 1]
    assert np.array_equal(frames[0], normalize.draw(next(binarize.candidates(pictures[0]))))


def test_a_digit_of_mnist_is_loaded_as_it_is(tmp_path, val):
    digit = val.images[0, 0].numpy()
    write(tmp_path, "digit.png,7\n")
    Image.fromarray(digit).save(tmp_path / "digit.png")
    assert np.array_equal(labelled_pictures.load(tmp_path)[0][0, 0], digit)


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ("", "has no pictures"),
        ("seven.png,7\nseven.png,12\n", "line 3: a row is a file and a digit"),
        ("seven.png\n", "line 2: a row is a file and a digit"),
        ("seven.png,\n", "line 2: a row is a file and a digit"),
        ("gone.png,7\n", "line 2: .*gone.png: there is no such file"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, rows, complaint):
    with pytest.raises(DataError, match=complaint):
        labelled_pictures.load(write(tmp_path, rows))


def test_a_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(DataError, match=r"labels\.csv is missing"):
        labelled_pictures.load(tmp_path)
    (tmp_path / "labels.csv").write_text("file;label\n")
    with pytest.raises(DataError, match="must begin with the line `path,digit`"):
        labelled_pictures.load(tmp_path)
