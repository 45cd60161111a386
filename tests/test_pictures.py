import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import draw_seven
from PIL import Image, ImageOps

from mnist_cli.errors import ImageError, TooLargeError
from mnist_cli.pictures import binarize, decode, normalize


def draw_bar(ink=0, paper=255, size=(300, 400)):
    """Draw an upright bar of 40x200 px, off the middle: (height, width) grey levels."""
    grey = np.full(size, paper, dtype=np.uint8)
    grey[50:250, 30:70] = ink
    return grey


def save(grey_or_picture, path, **options):
    picture = grey_or_picture if isinstance(grey_or_picture, Image.Image) else Image.fromarray(grey_or_picture)
    picture.save(path, **options)
    return path


def frame_of(path):
    """Return the first frame that a picture file gives."""
    return normalize.draw(next(binarize.candidates(decode.read(path))))


def frame_of_grey(grey):
    return normalize.draw(next(binarize.candidates(grey.astype(np.float32)[:, :, np.newaxis])))


def ink_size(frame):
    """Return the height and width of the ink, px; an edge that covers half a pixel counts half."""
    return frame[0].max(axis=1).sum() / 255, frame[0].max(axis=0).sum() / 255


def centre_of_mass(frame):
    """Return its row and column, px."""
    ink = frame[0].astype(float)
    rows, columns = np.indices(ink.shape)
    return (rows * ink).sum() / ink.sum(), (columns * ink).sum() / ink.sum()


@pytest.mark.parametrize(
    ("ink", "paper"), [(0, 255), (255, 0), (90, 140), (140, 90)], ids=["dark", "light", "dark on grey", "light on grey"]
)
def test_a_picture_is_redrawn_the_way_mnist_draws(tmp_path, ink, paper):
    frame = frame_of(save(draw_bar(ink, paper), tmp_path / "one.png"))
    assert frame.shape == (1, 28, 28)
    assert frame.dtype == np.uint8
    assert ink_size(frame) == pytest.approx((20, 4), abs=0.6)  # the shape of 200x40 kept
    assert centre_of_mass(frame) == pytest.approx((14, 14), abs=0.1)
    assert frame.max() == 255
    assert frame[0, 0, 0] == 0


def test_mnist_itself_comes_back_almost_as_it_was(val):
    frames = np.concatenate([frame_of_grey(image[0].numpy()) for image in val.images[:200]])
    difference = np.abs(frames.astype(float) - val.images[:200, 0].numpy())
    assert difference.mean() < 8  # of 255; moving it by a pixel alone would make it 25


EXPECTED = frame_of_grey(draw_bar())


@pytest.mark.parametrize("mode", ["1", "L", "LA", "RGB", "RGBA", "P", "CMYK", "I;16", "F"])
def test_every_mode_of_a_picture_reads_the_same(tmp_path, mode):
    path = tmp_path / ("one.tiff" if mode in {"CMYK", "F"} else "one.png")
    if mode == "I;16":
        save(Image.fromarray(draw_bar().astype(np.uint16) * 257), path)
    else:
        save(Image.fromarray(draw_bar()).convert(mode), path)
    assert np.abs(frame_of(path).astype(int) - EXPECTED).max() <= 2


@pytest.mark.parametrize("top", [1.0, 1_023.0, 65_535.0])
def test_numbers_of_any_range_are_grey_levels(tmp_path, top):
    grey = (draw_bar() / 255 * top).astype(np.float32)
    assert np.abs(frame_of(save(grey, tmp_path / "one.tiff")).astype(int) - EXPECTED).max() <= 2


def test_the_views_of_ink_are_wider_blurred_and_both():
    ink = np.zeros((300, 200), np.float32)
    ink[50:250, 80:120] = 1  # 200 px high and 40 wide, reduced to 100 and 20
    wider, blurred, both = normalize.views(ink)
    assert wider.shape == (100, 25)
    assert (wider == 1).all()
    for soft, height, width in ((blurred, 100, 20), (both, 100, 25)):
        assert soft.shape == (height + 30, width + 30)  # three standard deviations of a twentieth of the height
        assert soft.max() < 1
        assert soft.sum() == pytest.approx(height * width, rel=0.05)
        assert np.count_nonzero(soft) > 1.5 * height * width


def test_a_blank_page_of_16_bits_is_blank(tmp_path):
    grey = np.random.default_rng(0).integers(65_000, 65_200, size=(40, 40)).astype(np.uint16)
    with pytest.raises(ImageError, match="no ink"):
        frame_of(save(Image.fromarray(grey), tmp_path / "blank.png"))


@pytest.mark.parametrize("top", [1e-40, 3e38])
def test_the_smallest_and_the_largest_numbers_are_levels(tmp_path, top):
    grey = (draw_bar() / 255 * top).astype(np.float32)
    assert frame_of(save(grey, tmp_path / "one.tiff")).any()


def test_an_invalid_exif_orientation_is_ignored(tmp_path):
    path = save(draw_seven(), tmp_path / "one.jpg", exif=b"Exif\0\0nonsense")
    assert frame_of(path).any()


def test_a_picture_with_nan_pixels_is_refused(tmp_path):
    grey = draw_bar().astype(np.float32)
    grey[0, 0] = np.nan
    with pytest.raises(ImageError, match="not numbers"):
        frame_of(save(grey, tmp_path / "one.tiff"))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".bmp", ".gif", ".tiff", ".pgm"])
def test_every_format_reads_the_same(tmp_path, suffix):
    frame = frame_of(save(draw_bar(), tmp_path / f"one{suffix}"))
    assert np.abs(frame.astype(int) - EXPECTED).mean() < 5  # of 255; JPEG and WebP are lossy


@pytest.mark.parametrize("ink", [0, 255], ids=["black ink", "white ink"])
def test_transparency_becomes_paper(tmp_path, ink):
    grey = np.full_like(draw_bar(), ink)
    alpha = draw_bar(ink=255, paper=0)
    picture = Image.fromarray(np.dstack([grey, grey, grey, alpha]))
    assert np.array_equal(frame_of(save(picture, tmp_path / "one.png")), EXPECTED)


@pytest.mark.parametrize(("ink", "paper"), [(0, 255), (255, 0)], ids=["white paper", "black paper"])
def test_paper_with_transparent_holes_is_still_paper(tmp_path, ink, paper):
    grey = draw_bar(ink, paper)
    alpha = np.full_like(grey, 255)
    alpha[200:280, 200:350] = alpha[:20] = 0  # beside the bar
    picture = Image.fromarray(np.dstack([grey, grey, grey, alpha]))
    assert np.array_equal(frame_of(save(picture, tmp_path / "one.png")), EXPECTED)


def test_a_turned_photo_is_set_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 90 degrees clockwise
    turned = Image.fromarray(draw_bar()).rotate(90, expand=True)
    assert ink_size(frame_of(save(turned, tmp_path / "one.jpg", exif=exif, quality=95))) == pytest.approx(
        (20, 4), abs=0.6
    )


@pytest.mark.parametrize("size", [60, 180, 229, 280, 1_000])
def test_large_ink_keeps_its_margin_when_it_is_reduced(size):
    grey = np.full((size + 40, size + 40, 1), 255, np.float32)
    grey[20:-20, 20:-20] = 0
    ink = next(binarize.candidates(grey))
    assert not np.concatenate([ink[0], ink[-1], ink[:, 0], ink[:, -1]]).any()


def test_paper_texture_is_not_ink(tmp_path):
    noise = np.random.default_rng(0).normal(0, 8, size=(300, 400))
    grey = (draw_bar(ink=60, paper=200) + noise).clip(0, 255).astype(np.uint8)
    frame = frame_of(save(grey, tmp_path / "one.png"))
    assert ink_size(frame) == pytest.approx((20, 4), abs=0.6)
    assert centre_of_mass(frame) == pytest.approx((14, 14), abs=0.1)


def test_a_large_picture_with_a_thin_line_keeps_the_line(tmp_path):
    picture = draw_seven(size=3000, ink="black")
    assert ink_size(frame_of(save(picture, tmp_path / "large.png")))[0] == pytest.approx(20, abs=0.6)


@pytest.mark.parametrize("size", [(1, 50), (50, 1), (2, 2)])
def test_the_smallest_pictures_give_a_frame_or_a_reason(tmp_path, size):
    grey = np.zeros(size, dtype=np.uint8)
    grey[0, 0] = 255
    frame = frame_of(save(grey, tmp_path / "tiny.png"))
    assert frame.any()


@pytest.mark.parametrize(
    "picture",
    [
        Image.new("L", (28, 28), 255),
        Image.new("L", (28, 28), 0),
        Image.new("RGBA", (28, 28), (0, 0, 0, 0)),
        Image.new("L", (1, 1), 7),
    ],
    ids=["white", "black", "transparent", "one pixel"],
)
def test_a_picture_without_ink_is_refused(tmp_path, picture):
    with pytest.raises(ImageError, match="there is no ink in the picture"):
        frame_of(save(picture, tmp_path / "blank.png"))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"hello", "this is not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "this is not a picture"),
    ],
    ids=["empty", "text", "another format"],
)
def test_a_file_that_is_not_a_picture_is_refused_by_name(tmp_path, content, reason):
    (tmp_path / "file.png").write_bytes(content)
    with pytest.raises(ImageError, match=rf"file\.png: {reason}"):
        decode.read(tmp_path / "file.png")


def test_a_truncated_picture_is_an_error(tmp_path):
    path = save(draw_seven(), tmp_path / "half.png")
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(ImageError, match="cannot be decoded"):
        decode.read(path)


def test_a_missing_file_a_folder_and_a_pipe_have_different_errors(tmp_path):
    with pytest.raises(ImageError, match=r"none\.png: there is no such file"):
        decode.read(tmp_path / "none.png")
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match="this is a folder"):
        decode.read(tmp_path)
    with pytest.raises(ImageError, match="not a file but a pipe"):
        decode.read(tmp_path / "pipe.png")
    with pytest.raises(ImageError, match=r"xxx\.png: "):
        decode.read(tmp_path / ("x" * 300 + ".png"))


def test_an_absurd_size_is_refused_before_it_is_decoded(tmp_path):
    path = save(draw_seven(), tmp_path / "large.png")
    with path.open("rb") as file, pytest.raises(TooLargeError, match="too many pixels, at most 1,000 are read"):
        decode.decode(file, max_pixels=1_000)
    with path.open("ab") as file:
        file.truncate(decode.MAX_FILE_BYTES + 1)
    with pytest.raises(ImageError, match="more than 400,000,000 bytes"):
        decode.read(path)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"])
def test_a_large_picture_is_prepared_a_strip_at_a_time_with_the_same_result(tmp_path, monkeypatch, mode):
    drawing = draw_seven(1_003)
    if mode in {"I;16", "F"}:
        drawing = Image.fromarray(np.asarray(drawing.convert("L")).astype(np.uint16 if mode == "I;16" else np.float32))
    else:
        drawing = drawing.convert(mode)
    drawing.save(tmp_path / "seven.tiff")
    whole, reduced = decode.read(tmp_path / "seven.tiff", None), decode.read(tmp_path / "seven.tiff")
    monkeypatch.setattr(decode, "STRIP_PIXELS", 5_000)
    assert np.array_equal(decode.read(tmp_path / "seven.tiff", None), whole)
    assert np.array_equal(decode.read(tmp_path / "seven.tiff"), reduced)
    assert max(reduced.shape) == 335


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_pillow_turns_it(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(draw_seven().crop((0, 0, 200, 120)), tmp_path / "seven.png", exif=exif)
    with Image.open(path) as image:
        assert np.array_equal(decode.read(path)[:, :, 0], ImageOps.exif_transpose(image).convert("L"))


def test_a_corrupted_tiff_is_reported_only_by_this_program(tmp_path, capfd):
    path = save(draw_seven(), tmp_path / "seven.tiff", compression="tiff_lzw")
    path.write_bytes(path.read_bytes()[:-900])
    decode.silence_libraries()
    with pytest.raises(ImageError):
        decode.read(path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_greys_in_colour_are_read_as_greys(tmp_path, mode):
    grey, colour = draw_seven(mode="L", ink=30, paper=200), draw_seven(ink=(30, 30, 30), paper=(200, 200, 200))
    expected = decode.read(save(grey, tmp_path / "grey.png"))
    assert np.array_equal(decode.read(save(colour.convert(mode), tmp_path / "colour.png")), expected)


def test_colours_stay(tmp_path):
    picture = decode.read(save(draw_seven(ink="red").convert("RGBA"), tmp_path / "red.png"))
    assert picture.shape == (200, 200, 3)


def test_messages_of_pillow_are_not_logged_as_well(tmp_path):
    content = bytearray(save(draw_seven(20), tmp_path / "seven.tiff").read_bytes())
    tag = content.index((277).to_bytes(2, "little") + (3).to_bytes(2, "little"))  # samples per pixel
    content[tag + 8 : tag + 10] = (42).to_bytes(2, "little")
    (tmp_path / "odd.tiff").write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-m", "mnist_cli", "predict", tmp_path / "odd.tiff"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr.splitlines()[-1].startswith(f"Error: {tmp_path / 'odd.tiff'}: this is not a picture")
    assert "More samples per pixel" not in done.stderr
