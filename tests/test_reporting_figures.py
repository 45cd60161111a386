import io
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from test_metrics import made

from mnist_cli.config import TrainConfig
from mnist_cli.reporting import figures
from mnist_cli.results import EpochResult

RESULTS = [EpochResult(1, 0.5, 0.4, 0.9, 1.5, 1e-3), EpochResult(2, 0.3, 0.2, 0.95, 1.5, 1e-3)]
WITH_TRAIN_ACCURACY = [replace(result, train_accuracy=0.9) for result in RESULTS]
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


HELD_OUT = [EpochResult(1, 0.5, 0.4, 0.9, 1, 1e-3, 0.1), EpochResult(2, 0.3, 0.2, 0.95, 1, 1e-3, 0.3)]


def test_the_epoch_with_the_lowest_held_out_loss_is_marked():
    for draw in (figures.losses, figures.accuracies):
        assert "epoch 1: lowest held-out loss" in texts(draw(HELD_OUT))
    assert "Val accuracy 90.00 % after epoch 1" in texts(figures.accuracies(HELD_OUT))


def test_no_epoch_is_marked_by_the_val_images():
    for draw in (figures.losses, figures.accuracies):
        assert not [text for text in texts(draw(RESULTS)) if "lowest" in text or "highest" in text]


@pytest.mark.parametrize(("augment", "named"), [("elastic", True), ("none", False)])
def test_the_loss_says_whether_the_training_images_are_augmented(augment, named):
    for draw in (figures.losses, figures.accuracies):
        words = texts(draw(WITH_TRAIN_ACCURACY, TrainConfig(augment=augment)))
        assert ("train (augmented images)" in words, "train" in words) == (named, not named)


def test_the_settings_of_the_run_are_written_above_its_curves():
    config = TrainConfig(model="cnn", hidden=(8, 16), loss="mse", dropout=0.25, batch_size=32, seed=7)
    for draw in (figures.losses, figures.accuracies):
        words = " ".join(texts(draw(RESULTS, config)))
        assert "cnn 8,16 · relu · dropout 0.25 · batch size 32 · augment elastic · seed 7" in words
        assert "adamw, learning rate 0.002, one_cycle" in words
    assert "mean squared error, log scale" in texts(figures.losses(RESULTS, config))


def test_the_linear_axis_shows_how_the_val_loss_rises():
    val = [1.0, 0.3, 0.1, 0.05, 0.06, 0.08]
    results = [EpochResult(epoch, 2 / epoch, loss, 0.9, 1, 1e-3) for epoch, loss in enumerate(val, 1)]
    logarithmic, linear = figures.losses(results).axes
    low, high = linear.get_ylim()
    assert low == 0
    assert 0.08 < high < 0.2
    assert (logarithmic.get_yscale(), linear.get_yscale()) == ("log", "linear")


@pytest.mark.parametrize(("epochs", "ticks"), [(1, [1]), (4, [1, 2, 3, 4]), (100, [20, 40, 60, 80, 100])])
def test_the_ticks_are_round_numbers_of_epochs(epochs, ticks):
    results = [EpochResult(epoch, 1 / epoch, 0.5 / epoch, 0.9, 1, 1e-3) for epoch in range(1, epochs + 1)]
    axes = figures.accuracies(results).axes[0]
    low, high = axes.get_xlim()
    assert [tick for tick in axes.get_xticks() if max(low, 1) <= tick <= high] == ticks


def test_an_accuracy_of_the_training_images_is_drawn_where_it_is_known():
    older = EpochResult(1, 0.6, 0.5, 0.8, 1, 1e-3)
    train, val = figures.accuracies([older, WITH_TRAIN_ACCURACY[1]]).axes[0].get_lines()
    assert (list(train.get_xdata()), list(val.get_xdata())) == ([2], [1, 2])


def test_losses_of_different_loss_functions_have_a_chart_each_and_the_order_is_kept():
    runs = {"b": RESULTS, "a": RESULTS, "c": RESULTS}
    figure = figures.comparison(runs, loss_functions={"b": "mse", "a": "cross_entropy", "c": "mse"})
    names = [[line.get_label() for line in axes.get_lines()] for axes in figure.axes]
    assert names == [["b", "c"], ["a"], ["b", "a", "c"]]
    assert [axes.get_ylabel() for axes in figure.axes[:2]] == [
        "val squared error, log scale",
        "val cross-entropy, log scale",
    ]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["b", "a", "c"]
    assert len(figures.comparison(runs).axes) == 2


def test_the_gallery_shows_label_prediction_confidence_and_index():
    words = texts(figures.gallery(ANSWERS, IMAGES))
    assert "Mistakes, all 3: true digit, prediction, confidence, index" in words
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


def test_the_calibration_has_error_bars_that_are_wider_for_fewer_images():
    few, many = made([1] * 4, [1, 1, 1, 2], [0.81] * 4), made([1] * 400, [1, 1, 1, 2] * 100, [0.81] * 400)
    heights = []
    for predictions in (few, many):
        ((_, _, (bars,)),) = figures.reliability(predictions).axes[0].containers
        (segment,) = bars.get_segments()
        heights.append(segment[1, 1] - segment[0, 1])
    assert heights[0] == pytest.approx(0.6534, abs=1e-3)  # Wilson's interval of 3 of 4: 0.3006 to 0.9544
    assert heights[1] < heights[0] / 5


def test_a_short_logarithmic_axis_has_round_numbers():
    axes = figures.losses([EpochResult(1, 0.57, 0.31, 0.9, 1, 1e-3)]).axes[0]
    low, high = axes.get_ylim()
    assert [round(tick, 6) for tick in axes.get_yticks() if low < tick < high] in ([0.3, 0.4, 0.5], [0.4, 0.5])


def test_no_axis_goes_far_beyond_100_percent():
    assert figures.accuracies(RESULTS[:1]).axes[0].get_ylim()[1] < 1.01


def test_every_picture_of_a_figure_is_inside_the_svg():
    svg = figures.to_svg(DRAWINGS["gallery"]())
    assert "data:image/png;base64," in svg
    assert 'href="http' not in svg
    assert ElementTree.parse(io.StringIO(svg))
