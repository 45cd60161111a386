from dataclasses import replace

import numpy as np
import pytest
from PIL import ImageColor

from mnist_cli.recognition.attribution import Evidence
from mnist_cli.recognition.detection import Detection
from mnist_cli.recognition.predictions import NO_INK, Prediction
from mnist_cli.reporting import explanations

FRAME = np.arange(784, dtype=np.uint8).reshape(1, 28, 28)
INK = np.eye(50, 30, dtype=np.float32)
FOUR = Prediction([0.0, 0.0, 0.0, 0.0, 0.75, 0.25, 0.0, 0.0, 0.0, 0.0], 5.0, frame=FRAME, ink=INK)


def count(image, colour):
    return int((np.asarray(image) == ImageColor.getrgb(colour)).all(axis=2).sum())


@pytest.mark.parametrize("shape", [(200, 200, 3), (28, 28, 1), (1, 1, 1), (400, 1, 3), (3, 400, 1)])
def test_any_picture_has_an_explanation_of_the_same_size(shape):
    image = explanations.draw(np.full(shape, 128, np.float32), FOUR)
    assert (image.mode, image.size) == ("RGB", explanations.SIZE)


def test_the_file_and_the_model_are_named_in_the_corner_and_a_long_name_is_cut_to_fit():
    picture = np.full((28, 28, 1), 128, np.float32)
    corner = (explanations.SIZE[0] // 2, 0, explanations.SIZE[0], 60)
    assert count(explanations.draw(picture, FOUR).crop(corner), explanations.MUTED) == 0
    assert count(explanations.draw(picture, FOUR, "seven.png · pretrained").crop(corner), explanations.MUTED) > 100
    long = explanations.draw(picture, FOUR, "x" * 500 + ".png")
    assert count(long.crop((0, 0, explanations.SIZE[0] // 2 - 60, 60)), explanations.MUTED) == 0


def test_a_bar_is_as_long_as_its_digit_is_likely():
    image = explanations.draw(np.zeros((28, 28, 1), np.float32), FOUR).crop((1010, explanations.TOP, 1340, 410))
    assert count(image, explanations.WINNER) == pytest.approx(3 * count(image, explanations.BAR), rel=0.02)


def test_the_frame_is_enlarged_without_a_blur():
    image = np.asarray(explanations.draw(np.zeros((28, 28, 1), np.float32), FOUR))
    left, top = 3 * explanations.MARGIN + 2 * explanations.PANEL, explanations.TOP
    panel = image[top : top + 280, left : left + 280, 0]
    assert (panel == FRAME[0].repeat(10, axis=0).repeat(10, axis=1))[1:-1, 1:-1].all()


def test_without_ink_there_are_no_bars():
    image = explanations.draw(np.full((28, 28, 1), 255, np.float32), NO_INK)
    assert count(image, explanations.BAR) == count(image, explanations.WINNER) == 0
    assert count(image, explanations.DOUBT) > 0


def test_half_blocks_hold_two_pixels_a_character():
    lines = explanations.half_blocks(FRAME).split("\n")
    assert [len(line) for line in lines] == [28] * 14
    style = lines[3].spans[5].style
    assert (style.color.triplet.red, style.bgcolor.triplet.red) == (FRAME[0, 6, 5], FRAME[0, 7, 5])


def test_the_evidence_is_shown_beside_the_probabilities_in_two_colours():
    maps = np.zeros((2, 28, 28), np.float32)
    maps[0, 5:15, 5:15], maps[1, 5:15, 5:10] = 2, -2
    prediction = replace(FOUR, frame=np.zeros_like(FRAME), evidence=Evidence(("4", "5"), maps))
    image = explanations.draw(np.full((28, 28, 1), 128, np.float32), prediction)
    panels = 2 * (explanations.PANEL + explanations.MARGIN)
    assert image.size == (explanations.SIZE[0] + panels, explanations.SIZE[1])
    added = image.crop((explanations.SIZE[0], explanations.TOP, *image.size))
    assert count(added, explanations.WINNER) == 100 * 100  # a pixel of the frame is 10x10 px
    assert count(added, explanations.DOUBT) == 50 * 100


@pytest.mark.parametrize("channels", [1, 3])
def test_a_page_has_a_box_around_each_digit(channels):
    found = [Detection((10, 20, 30, 40), FOUR), Detection((60, 20, 30, 40), NO_INK)]
    image = explanations.draw_page(np.full((100, 200, channels), 255, np.float32), found)
    assert (image.mode, image.size) == ("RGB", (200, 100))
    assert image.getpixel((9, 30)) == image.getpixel((41, 30)) == ImageColor.getrgb(explanations.WINNER)
    assert image.getpixel((59, 30)) == ImageColor.getrgb(explanations.DOUBT)


def test_a_page_is_explained_by_its_boxes_and_the_input_of_the_model_for_each_digit():
    picture = np.full((100, 200, 1), 255, np.float32)
    found = [Detection((10, 20, 30, 40), FOUR), Detection((60, 20, 30, 40), NO_INK)]
    image = explanations.explain(picture, None, found, "page.png")
    assert np.array_equal(np.asarray(image)[:100, :200], np.asarray(explanations.draw_page(picture, found)))
    seen = np.asarray(image)[100 + explanations.MARGIN // 2 :, 8:][:56, :56, 0]
    assert (seen == FRAME[0].repeat(2, axis=0).repeat(2, axis=1)).all()
    assert count(explanations.explain(picture, None, found), explanations.MUTED) == 0 < count(image, explanations.MUTED)


def test_an_only_digit_and_a_page_without_any_are_explained():
    picture = np.full((100, 200, 1), 255, np.float32)
    assert explanations.explain(picture, FOUR, []).size == explanations.SIZE
    assert explanations.explain(picture, None, []).height > 100
