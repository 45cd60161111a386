import io

import numpy as np
import pytest
from conftest import draw_seven
from PIL import Image

import mnist_cli as mnist
from mnist_cli.errors import CheckpointError, ConfigError, FormatError, ImageError
from mnist_cli.evaluation import corruptions
from mnist_cli.models import checkpoints
from mnist_cli.reporting import explanations


@pytest.fixture(scope="module")
def model():
    return mnist.load("pretrained")


def shown(result):
    """Return the picture that a notebook would show."""
    image = Image.open(io.BytesIO(result._repr_png_()))
    assert image.format == "PNG"
    return image


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
        assert model.predict(picture).digit == 7


def test_the_default_of_the_commands_is_not_that_of_python(monkeypatch):
    monkeypatch.setenv("MNIST_CHECKPOINT", "nowhere")
    assert mnist.load().predict(np.full((28, 28), 255, np.uint8)).digit is None


def test_a_digit_below_min_confidence_is_unclear(model):
    assert model.predict(draw_seven(), min_confidence=1.0).reason == "unclear"


def test_a_result_is_displayed_as_a_picture(model):
    assert shown(model.predict(draw_seven())).size == explanations.SIZE
    assert shown(model.predict(np.zeros((9, 9)))).size == explanations.SIZE


def test_the_evidence_of_a_result_is_an_array_and_is_displayed(model):
    result = model.predict(draw_seven(), evidence=True)
    assert result.evidence.classes[0] == "7"
    assert result.evidence.maps.shape == (2, 28, 28)
    assert np.abs(result.evidence.maps[0]).argmax() in np.flatnonzero(result.prediction.frame)
    assert Image.open(io.BytesIO(result._repr_png_())).width > 1_900
    assert model.predict(draw_seven()).evidence is None
    blank, seven = model.predict([Image.new("L", (50, 50), "white"), draw_seven()], evidence=True)
    assert (blank.evidence, seven.evidence.classes[0]) == (None, "7")


def test_several_digits_are_found_and_shown_in_their_picture(model):
    row = np.hstack([np.asarray(draw_seven(100)), np.asarray(draw_seven(100))])
    page = model.find_digits(np.kron(row, np.ones((10, 10, 1), np.uint8)))  # larger than is looked at
    assert [one.prediction.digit for one in page.digits] == [7, 7]
    assert page.digits[1].box[0] == pytest.approx(page.digits[0].box[0] + 1_000, abs=20)
    assert (page.text, repr(page)) == ("77", "PictureResult(text='77')")
    assert shown(page).size == (2_000, 1_000)


def test_many_pictures_are_a_list_of_results_in_order_unreadable_ones_among_them(model, tmp_path):
    draw_seven().save(tmp_path / "seven.png")
    (tmp_path / "notes.png").write_text("milk, eggs")
    pictures = [tmp_path / "notes.png", tmp_path / "seven.png", draw_seven(), np.full((9, 9), 255), "none.png"]
    for given in (pictures, tuple(pictures), iter(pictures)):
        results = model.predict(given)
        assert [result.digit for result in results] == [None, 7, 7, None, None]
        assert [type(result.error) for result in results] == [FormatError, *[type(None)] * 3, ImageError]
        assert results[4].reason == "there is no such file"
    assert [result.text for result in model.find_digits(pictures)] == ["", "7", "7", "", ""]


def test_a_folder_is_many_pictures(model, tmp_path):
    for name in ("b.png", "a.png"):
        draw_seven().save(tmp_path / name)
    results = model.predict(tmp_path)
    assert [(result.path, result.digit) for result in results] == [(tmp_path / "a.png", 7), (tmp_path / "b.png", 7)]


@pytest.mark.parametrize("axes", ["array", "tensor"])
def test_images_as_mnist_has_them_are_pictures(model, val, axes):
    images = val.images[:100] if axes == "tensor" else val.images[:100].numpy()
    results = model.predict(images)
    assert sum(result.digit == label for result, label in zip(results, val.labels[:100].tolist(), strict=True)) >= 97
    assert images[0].shape == (1, 28, 28)
    one = model.predict(images[0])
    assert (one.digit, one.confidence) == (results[0].digit, pytest.approx(results[0].confidence, abs=1e-5))


def test_results_of_many_pictures_keep_no_pixels_and_are_displayed_as_text(model):
    (result,) = model.predict([draw_seven()])
    assert result._repr_png_() is result.picture is None
    assert repr(result).startswith("PictureResult(digit=7, confidence=")


def test_a_single_picture_that_cannot_be_read_raises_an_error_that_names_it(model, tmp_path):
    (tmp_path / "notes.png").write_text("milk, eggs")
    for read in (model.predict, model.find_digits):
        with pytest.raises(FormatError, match=r"notes\.png: this is not a picture"):
            read(tmp_path / "notes.png")
        with pytest.raises(FormatError, match=r"^this is not a picture"):
            read(b"milk, eggs")


@pytest.mark.parametrize("shape", [(0, 5), (5,), (4, 4, 7), (2, 2, 2, 2)])
def test_an_array_that_is_not_a_picture_is_refused(model, shape):
    with pytest.raises(ImageError, match="is not a picture"):
        model.predict(np.zeros(shape))


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
def test_an_array_with_negative_infinite_or_nan_values_is_refused(model, value):
    with pytest.raises(ImageError, match="negative, infinite or NaN"):
        model.predict(np.full((3, 3), value))


def test_a_checkpoint_can_be_named(trained, tmp_path):
    model = mnist.load(trained)
    assert model.val_accuracy > 0.85
    assert model.predict(Image.new("L", (9, 9))).reason == "no ink"
    with pytest.raises(CheckpointError, match="not found"):
        mnist.load(tmp_path / "none.pt")


@pytest.mark.slow
def test_training_ends_with_a_checkpoint_and_its_results(tmp_path, monkeypatch, data_dir):
    monkeypatch.chdir(tmp_path)
    options = {"model": "linear", "epochs": 2, "train_size": 500, "name": "mine", "data_dir": data_dir}
    trained = mnist.train(**options)
    assert str(trained.path) == "checkpoints/mine/last.pt"
    assert [result.epoch for result in trained.results] == [1, 2]
    loaded = checkpoints.load(trained.path)
    assert loaded.config.train_size == 500
    assert loaded.val_accuracy == trained.val_accuracy > 0.5
    assert shown(trained).width > 100
    with pytest.raises(ConfigError, match="there is a run 'mine' already"):
        mnist.train(**options)
    assert mnist.train(**options, overwrite=True).results[0].val_loss == trained.results[0].val_loss


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"epochs": 0}, "--epochs must be from 1"),
        ({"learning_rat": 1.0}, "^there is no hyperparameter learning_rat;"),
        ({"preset": "worst"}, "no preset 'worst'"),
        ({"name": "a/b"}, "'a/b' cannot name a run"),
    ],
)
def test_an_invalid_option_is_refused(tmp_path, monkeypatch, wrong, why):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=why):
        mnist.train(**wrong)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_models_are_measured_alone_and_together(trained, data_dir, monkeypatch):
    alone = mnist.evaluate(trained, data_dir=data_dir)
    assert alone.name == str(trained)
    assert alone.accuracy == pytest.approx(mnist.load(trained).val_accuracy)
    twice = mnist.evaluate([trained, trained], data_dir=data_dir)
    assert twice.accuracy == alone.accuracy
    assert shown(alone).width > 100
    monkeypatch.setattr("mnist_cli.evaluation.corruptions.CORRUPTIONS", {"stripe": corruptions.stripe})
    assert mnist.evaluate(trained, corruptions=True, data_dir=data_dir).corrupted["stripe"] > alone.clean_error


def test_the_data_is_found_where_the_commands_find_it(tmp_path, monkeypatch, trained):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert mnist.evaluate(trained).accuracy == mnist.load(trained).val_accuracy
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]


def test_a_loaded_model_is_measured_and_its_predictions_are_arrays(trained, data_dir, val):
    loaded = mnist.load(trained)
    measured = mnist.evaluate(loaded, data_dir=data_dir)
    assert measured.answers is measured.val_predictions  # the name in older notebooks
    assert (measured.name, measured.accuracy) == (str(trained), loaded.val_accuracy)
    assert (measured.labels == val.labels.numpy()).all()
    assert measured.predictions.shape == (10_000,)
    assert measured.probabilities.shape == (10_000, 10)
    assert (measured.probabilities.argmax(axis=1) == measured.predictions).all()
    assert (measured.predictions == measured.labels).mean() == measured.accuracy
    matrix = measured.confusion_matrix
    assert matrix.shape == (10, 10)
    assert matrix[7, 9] == ((measured.labels == 7) & (measured.predictions == 9)).sum()
    assert mnist.evaluate([loaded, "pretrained"], data_dir=data_dir).name == f"{trained}, pretrained"


def test_an_evaluation_without_a_checkpoint_is_refused():
    with pytest.raises(ConfigError, match="name a checkpoint"):
        mnist.evaluate([])


def test_the_package_exports_only_its_public_names():
    assert set(mnist.__all__) == {"__version__", "evaluate", "load", "predict_batches", "train", "watched"}
    assert callable(mnist.load)
    with pytest.raises(AttributeError, match="no attribute 'fly'"):
        _ = mnist.fly
