import numpy as np
import pytest
import torch
from PIL import Image

from mnist_cli.config import TrainConfig
from mnist_cli.datasets import dataset
from mnist_cli.models import checkpoints
from mnist_cli.pictures import binarize, decode, normalize
from mnist_cli.training import calibration, loop
from pretraining import __main__ as pretraining
from pretraining import corruption, examples, pages, strokes
from pretraining.examples import NOT_A_DIGIT, Mixture


@pytest.mark.parametrize("value", range(10))
def test_every_form_of_a_digit_is_one_drawing_inside_the_canvas(value):
    rng = np.random.default_rng(0)
    for _, form in strokes.DIGITS[value]:
        mask = strokes.draw(form, rng)
        assert mask.shape == (strokes.CANVAS, strokes.CANVAS)
        assert 0.01 < mask.mean() < 0.5
        assert mask.max() == 1
        assert not mask[0].any()
        assert not mask[:, -1].any()


def test_the_same_seed_draws_the_same_and_another_does_not():
    first, again, other = (strokes.digit(4, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("condition", pages.CONDITIONS)
def test_the_symbol_can_be_found_in_every_kind_of_picture(condition, val):
    rng = np.random.default_rng(0)
    correlations = []
    for image in val.images[:6, 0].numpy():
        mask = image.astype(np.float32) / 255
        picture = pages.CONDITIONS[condition](mask, rng)
        assert isinstance(picture, Image.Image)
        frames = [normalize.draw(ink) for ink in binarize.candidates(decode.to_array(picture))]
        correlations.append(max(examples.correlation_of(frame, normalize.draw(mask)) for frame in frames))
    assert np.median(correlations) > 0.9 if condition != "broken strokes" else np.median(correlations) > 0.8


@pytest.mark.slow
def test_examples_are_frames_labelled_with_what_they_show(train):
    made = examples.make(
        train[:50], Mixture(mnist=40, drawn=30, small=10, writing=20, non_writing=10), seed=3, processes=1
    )
    assert made.images.dtype == torch.uint8
    assert made.images.shape[1:] == (1, 28, 28)
    assert set(made.labels.tolist()) == set(range(11))
    assert (made.labels == NOT_A_DIGIT).sum() >= 28
    assert made.images.flatten(1).any(dim=1).all()


@pytest.mark.slow
def test_examples_follow_from_their_seed(train):
    few = Mixture(mnist=2, drawn=0, small=0, writing=2, non_writing=0)
    first, again, other = (examples.make(train[:2], few, seed, processes=1) for seed in (1, 1, 2))
    assert torch.equal(first.images, again.images)
    assert torch.equal(first.labels, again.labels)
    assert not torch.equal(first.images, other.images)


def test_every_typeface_sets_letters_inside_the_canvas(monkeypatch):
    rng = np.random.default_rng(0)
    for face in strokes.FACES:
        monkeypatch.setattr(strokes, "FACES", (face,))
        mask = strokes.printed("A", rng)
        assert 0.02 < mask.mean() < 0.5
        assert not mask[0].any()


def test_thumbnails_have_few_pixels(train):
    rng = np.random.default_rng(0)
    sizes = [pages.thumbnail(image.astype(np.float32) / 255, rng).size for image in train.images[:30, 0].numpy()]
    assert {width for width, _ in sizes} == {height for _, height in sizes} == {8, 9, 10, 12, 16}


@pytest.mark.parametrize("way", corruption.CORRUPTIONS)
def test_a_corrupted_image_differs_and_has_finite_values(way, train):
    rng = np.random.default_rng(0)
    for image in train.images[:20, 0].numpy().astype(np.float32) / 255:
        corrupted = way(image, rng)
        assert corrupted.shape == image.shape
        assert np.isfinite(corrupted).all()
        assert not np.array_equal(corrupted, image)


def test_a_fraction_of_the_images_is_corrupted_and_the_seed_decides_how(train):
    corrupting = corruption.CorruptingAugmenter(lambda images, _: images, fraction=0.3)
    images = train.images[:1_000]
    first, again = (corrupting(images, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, again)
    assert 0.25 < (first != images).flatten(1).any(dim=1).float().mean() < 0.35


def test_cached_frames_are_not_made_again(tmp_path, train, monkeypatch):
    calls = []
    monkeypatch.setattr(examples, "make", lambda digits, *_, **__: calls.append(digits) or digits)
    made = pretraining.frames(train[:5], train[5:8], tmp_path / "frames.pt")
    again = pretraining.frames(train[:5], train[5:8], tmp_path / "frames.pt")
    assert len(calls) == 2
    for one, other in zip(made, again, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)


@pytest.mark.slow
def test_pretraining_makes_a_small_checkpoint_whose_score_separates_noise_from_digits(tmp_path, train, val):
    noise = torch.randint(0, 256, (1_000, 1, 28, 28), dtype=torch.uint8)
    mixed = dataset.joined(train[:3_000], type(train)(noise, torch.full((1_000,), NOT_A_DIGIT)))
    config = TrainConfig(model="cnn", hidden=(8, 16), epochs=1, batch_size=64)
    model = pretraining.fit(mixed, mixed[:100], config, torch.device("cpu"))
    calibration.fit_temperature(model, val[:1_000])
    calibration.fit_rejection_threshold(model, val[:1_000], kept=0.99)
    pretraining.save(model, config, loop.evaluate(model, val[:1_000]), tmp_path / "model.pt")
    loaded = checkpoints.load(tmp_path / "model.pt")
    assert loaded.val_accuracy > 0.8
    assert (tmp_path / "model.pt").stat().st_size < 40_000
    with torch.inference_mode():
        real, false = (loaded.model(some).logsumexp(dim=1) for some in (val.images[:1_000], noise))
    assert (real < loaded.model.least_score).float().mean() == pytest.approx(0.01, abs=0.002)
    assert (false < loaded.model.least_score).float().mean() > 0.99
