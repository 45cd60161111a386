import io

import numpy as np
import pytest
import torch
from conftest import draw_seven
from PIL import Image

from mnist_cli.errors import ImageError, TooLargeError
from mnist_cli.recognition import sources


def png(picture):
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def test_a_path_bytes_an_image_an_array_and_a_tensor_are_read_alike(tmp_path):
    seven = draw_seven(mode="L", ink=30, paper=200)
    seven.save(tmp_path / "seven.png")
    expected = np.asarray(seven, np.float32)[:, :, np.newaxis]
    for source in (
        tmp_path / "seven.png",
        str(tmp_path / "seven.png"),
        png(seven),
        seven,
        np.asarray(seven),
        np.asarray(seven)[np.newaxis],
        torch.tensor(np.asarray(seven)),
        torch.tensor(np.asarray(seven))[None].to(torch.int64),
    ):
        assert np.array_equal(sources.read(source), expected)


def test_channels_may_come_first_or_last():
    colours = np.random.default_rng(0).integers(2, 256, (20, 30, 3)).astype(np.uint8)
    first = colours.transpose(2, 0, 1)
    assert np.array_equal(sources.read(first), sources.read(colours))
    assert np.array_equal(sources.read(torch.tensor(first)), sources.read(colours))


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_tensor_of_numbers_from_0_to_1_is_read_whatever_its_type(kind):
    tensor = (torch.arange(784).reshape(1, 28, 28) % 2).to(kind).requires_grad_()
    assert np.array_equal(sources.read(tensor)[:, :, 0], 255 * tensor[0].detach().float().numpy())


@pytest.mark.parametrize("wrong", [np.array(["7"] * 9).reshape(3, 3), np.array(7), None, np.zeros((3, 3), complex)])
def test_an_array_without_numbers_or_pixels_is_not_a_picture(wrong):
    with pytest.raises(ImageError, match=r"an array of shape .* is not a picture"):
        sources.read(wrong)


def test_the_pixels_of_bytes_can_be_limited():
    with pytest.raises(TooLargeError, match="at most 1,000 are read"):
        sources.read(png(draw_seven()), max_pixels=1_000)


def test_a_corrupted_image_that_is_not_decoded_yet_is_an_image_error():
    image = Image.open(io.BytesIO(png(draw_seven())[:400]))
    with pytest.raises(ImageError, match="cannot be decoded"):
        sources.read(image)


def test_an_error_does_not_name_the_file(tmp_path):
    with pytest.raises(ImageError, match=r"^there is no such file$"):
        sources.read(tmp_path / "none.png")
    with pytest.raises(ImageError, match=r"^there is no picture in this folder$"):
        sources.read(tmp_path)


def test_a_folder_stands_for_the_pictures_below_it_in_the_place_of_the_folder(tmp_path):
    names = ["photos/a.png", "photos/b.JPG", "photos/deep/er/c.webp"]
    for name in [*names, "photos/.hidden.png", "photos/.git/d.png", "photos/notes.txt"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "empty").mkdir()
    expanded = list(sources.expand(["-", tmp_path / "photos", b"", tmp_path / "empty"]))
    assert expanded == ["-", *(str(tmp_path / name) for name in names), b"", tmp_path / "empty"]


@pytest.mark.parametrize(
    ("source", "is_one"),
    [
        ("seven.png", True),
        (b"", True),
        (Image.new("L", (1, 1)), True),
        (np.zeros((28, 28)), True),
        (np.zeros((1, 28, 28)), True),
        (np.zeros((2, 2, 2, 2)), True),  # which is no picture
        (torch.zeros(1, 28, 28), True),
        (np.zeros((5, 1, 28, 28)), False),
        (torch.zeros(5, 3, 28, 28), False),
        (["seven.png"], False),
        (iter([]), False),
        (".", False),
    ],
    ids=[
        "name",
        "bytes",
        "Pillow",
        "2-d",
        "3-d",
        "4-d",
        "tensor",
        "array of five",
        "tensor of five",
        "list",
        "iterator",
        "folder",
    ],
)
def test_one_picture_is_distinguished_from_many(source, is_one):
    assert sources.is_one(source) == is_one
