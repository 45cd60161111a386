import io

import numpy as np
import pytest
from conftest import draw_seven
from PIL import Image

from mnist_cli.datasets import picture_frames
from mnist_cli.pictures import binarize, decode, normalize


def save(folder, pictures):
    paths = [folder / f"{number}.png" for number in range(len(pictures))]
    for path, picture in zip(paths, pictures, strict=True):
        picture.save(path)
    return paths


def test_photos_are_redrawn_as_predict_draws_them(tmp_path):
    (path,) = save(tmp_path, [draw_seven()])
    expected = normalize.draw(next(binarize.candidates(decode.read(path))))
    for picture in (path, path.read_bytes()):
        assert np.array_equal(picture_frames.read([picture], of_digits=True).frames, [expected])


@pytest.mark.parametrize("turn", [lambda frame: frame, lambda frame: 255 - frame], ids=["dark paper", "light paper"])
def test_pictures_of_mnist_are_its_frames_again(tmp_path, val, turn):
    frames = val.images[:150].numpy()
    paths = save(tmp_path, [Image.fromarray(turn(frame[0])) for frame in frames])
    assert np.array_equal(picture_frames.read(paths, of_digits=True).frames, frames)


def test_small_greyscale_pictures_of_other_things_are_frames_as_they_are(tmp_path):
    frames = np.random.default_rng(0).integers(0, 90, (5, 1, 28, 28), np.uint8)
    paths = save(tmp_path, [Image.fromarray(frame[0]) for frame in frames])
    assert np.array_equal(picture_frames.read(paths, of_digits=False).frames, frames)
    assert not np.array_equal(picture_frames.read(paths, of_digits=True).frames, frames)


def test_among_photos_small_pictures_are_redrawn_too(tmp_path):
    small = draw_seven(28, mode="L")
    paths = save(tmp_path, [draw_seven(), small])
    expected = normalize.draw(next(binarize.candidates(decode.read(paths[1]))))
    assert np.array_equal(picture_frames.read(paths, of_digits=False).frames[1], expected)


def test_unreadable_pictures_are_left_out_with_their_reason(tmp_path):
    paths = save(tmp_path, [draw_seven(), draw_seven(), draw_seven()])
    paths[0].write_bytes(b"none")
    Image.new("L", (40, 40), 255).save(paths[2])
    read = picture_frames.read(paths, of_digits=True)
    assert read.indices.tolist() == [1]
    assert read.frames.shape == (1, 1, 28, 28)
    assert list(read.unreadable) == [0, 2]
    assert "no ink" in read.unreadable[2]


def test_progress_is_told_in_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_frames, "AT_ONCE", 2)
    file = io.BytesIO()
    draw_seven(32).save(file, "PNG")
    told = []
    picture_frames.read([file.getvalue()] * 5, of_digits=True, progress=lambda *numbers: told.append(numbers))
    assert told == [(2, 5), (4, 5), (5, 5)]
