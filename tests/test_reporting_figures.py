import io
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from test_metrics import made

from mnist_cli.reporting import figures
from mnist_cli.results import EpochResult

RESULTS = [EpochResult(1, 0.5, 0.4, 0.9, 1.5, 1e-3), EpochResult(2, 0.3, 0.2, 0.95, 1.5, 1e-3)]
ANSWERS = made([4, 4, 4, 7, 7, 1], [9, 9, 4, 1, 7, 1], [0.9, 0.8, 0.7, 0.6, 0.5, 0.99])
IMAGES = np.arange(6 * 784, dtype=np.uint8).reshape(6, 28, 28)
DRAWINGS = {
    "losses": lambda: figures.losses(RESULTS),
    "accuracies": lambda: figures.accuracies(RESULTS),
    "one epoch": lambda: figures.losses(RESULTS[:1]),
    "comparison": lambda: figures.comparison({"one": RESULTS, "two": RESULTS[:1]}),
    "confusion": lambda: figures.confusion_matrix(ANSWERS),
    "gallery": lambda: figures.gallery(ANSWERS, IMAGES),
    "no mistakes": lambda: figures.gallery(made([1], [1]), IMAGES),
    "reliability": lambda: figures.reliability(ANSWERS),
    "coverage": lambda: figures.coverage(ANSWERS),
    "classes": lambda: figures.classes(ANSWERS),
}


def texts(figure):
    """All the text in a figure, as its SVG has it."""
    root = ElementTree.fromstring(figures.to_svg(figure))
    return [text for element in root.iter() if (text := (element.text or "").strip())]


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_figure_is_a_png_and_an_svg_of_the_pages_own_colours(tmp_path, name):
    figure = DRAWINGS[name]()
    figures.save(figure, tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as image:
        assert image.convert("L").getextrema()[0] < 128  # something is drawn
    svg = figures.to_svg(figure)
    assert "currentColor" in svg
    assert figures.TEXT not in svg


def test_the_same_figure_gives_the_same_file():
    assert figures.to_svg(DRAWINGS["confusion"]()) == figures.to_svg(DRAWINGS["confusion"]())


def test_the_best_epoch_is_marked():
    assert "epoch 2: lowest val loss" in texts(figures.losses(RESULTS))
    assert "epoch 2: 95.00 %, the highest" in texts(figures.accuracies(RESULTS))
    held_out = [EpochResult(1, 0.5, 0.4, 0.9, 1, 1e-3, 0.1), EpochResult(2, 0.3, 0.2, 0.9, 1, 1e-3, 0.3)]
    assert "epoch 1: lowest held-out loss" in texts(figures.losses(held_out))


def test_the_gallery_says_truth_answer_confidence_and_number():
    words = texts(figures.gallery(ANSWERS, IMAGES))
    assert "Mistakes, all 3: truth, answer, confidence, number of the image" in words
    assert words.count("4 as 9") == 2
    assert "90.0 %  #0" in words


def test_the_gallery_shows_the_very_pixels():
    axes = figures.gallery(ANSWERS, IMAGES).axes[0]
    mosaic = axes.images[0].get_array()
    top, left = 11, 4
    assert (255 - mosaic[top : top + 28, left : left + 28, 0] == IMAGES[0]).all()


def test_a_name_may_look_like_markup_or_mathematics():
    name = "<b>&$x^2$"
    assert name in texts(figures.comparison({name: RESULTS, "other": RESULTS}))


def test_a_name_in_letters_that_no_font_has_is_no_error(tmp_path):
    figures.save(figures.comparison({"\U0001f9ff 数字": RESULTS}), tmp_path / "figure.png")
    assert (tmp_path / "figure.png").exists()


def test_no_axis_goes_far_beyond_all():
    assert figures.accuracies(RESULTS[:1]).axes[0].get_ylim()[1] < 1.01


def test_every_picture_of_a_figure_is_inside_the_svg():
    svg = figures.to_svg(DRAWINGS["gallery"]())
    assert "data:image/png;base64," in svg
    assert 'href="http' not in svg
    assert ElementTree.parse(io.StringIO(svg))
