from pathlib import Path

import numpy as np
import pytest

from mnist_cli.config import TrainConfig
from mnist_cli.errors import DataError
from mnist_cli.labels import DIGITS
from mnist_cli.training import training_data


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def save(val, count=100, classes=None, only=None):
    """Write val images as a data set of one's own and return its name."""
    images, labels = val.images[:count].numpy(), val.labels[:count].numpy()
    if only is not None:
        images, labels = images[labels == only], labels[labels == only]
    np.savez("mine.npz", images=images, labels=labels, **({"classes": classes} if classes else {}))
    return ("mine.npz",)


def test_of_mnist_alone_a_run_gets_what_it_always_got(data_dir):
    data = training_data.load(TrainConfig(train_size=50, holdout=20), data_dir)
    assert (len(data.train), len(data.val), len(data.held_out), data.classes) == (50, 10_000, 20, DIGITS)


def test_an_epoch_of_a_small_set_goes_over_it_several_times(val):
    data = training_data.load(TrainConfig(data=save(val)), None)
    assert 6_000 <= len(data.train) < 6_100
    distinct = {image.numpy().tobytes() for image in data.train.images}
    assert len(distinct) + len(data.val) == 100


def test_early_stopping_holds_out_a_sixth_of_a_small_set(val):
    data = training_data.load(TrainConfig(data=save(val), patience=2), None)
    assert len(data.held_out) == (100 - len(data.val)) // 6


def test_several_sets_are_joined_with_their_validation_parts(val, data_dir):
    data = training_data.load(TrainConfig(data=("mnist", *save(val))), data_dir)
    assert len(data.train) == 60_000 + 100 - (len(data.val) - 10_000)


def test_fine_tuning_mixes_frames_of_the_original_data_in(val, data_dir):
    config = TrainConfig(data=save(val), from_="pretrained", mix=0.25)
    data = training_data.load(config, data_dir)
    own = round(0.75 * len(data.train))
    assert len({image.numpy().tobytes() for image in data.train.images[:own]}) == 100 - len(data.val)
    assert len({image.numpy().tobytes() for image in data.train.images[own:]}) > 100
    alone = training_data.load(TrainConfig(data=save(val), from_="pretrained", mix=0.0), None)
    assert len({image.numpy().tobytes() for image in alone.train.images}) <= 100


@pytest.mark.parametrize(("count", "own"), [(30, 300), (500, 3_000)])
def test_fine_tuning_repeats_a_picture_ten_times_in_an_epoch_at_most(count, own, val, data_dir):
    data = training_data.load(TrainConfig(data=save(val, count), from_="pretrained"), data_dir)
    kept = count - len(data.val)
    assert len(data.train) / 2 == pytest.approx(min(own, 10 * kept), abs=kept)


def test_fine_tuning_for_other_classes_mixes_nothing_in(val):
    names = [f"rune {digit}" for digit in range(10)]
    data = training_data.load(TrainConfig(data=save(val, classes=names), from_="pretrained"), None)
    assert data.classes == tuple(names)
    assert len(data.train) >= 6_000
    assert len({image.numpy().tobytes() for image in data.train.images}) <= 100


def test_pictures_of_one_class_alone_train_no_classifier_but_refine_one(val):
    data = save(val, 500, only=7)
    with pytest.raises(DataError, match=r"mine\.npz has images of one class only; a classifier needs two"):
        training_data.load(TrainConfig(data=data), None)
    assert training_data.load(TrainConfig(data=data, from_="pretrained", mix=0.0), None).classes == DIGITS
    assert Path("mine.npz").exists()
