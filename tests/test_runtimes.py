import numpy as np
import pytest
import torch

from mnist_cli import models, runtimes
from mnist_cli.config import PRETRAINED
from mnist_cli.errors import CheckpointError, ConfigError
from mnist_cli.runtimes import Ensemble

IMAGES = torch.randint(0, 256, (5, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_a_checkpoint_is_loaded_with_its_score(trained, val):
    loaded = runtimes.load(trained, "cpu")
    assert loaded.path == trained
    assert loaded.val_accuracy > 0.85
    answers = loaded.model.logits(val.images[:1_000].numpy()).argmax(axis=1)
    assert (answers == val.labels[:1_000].numpy()).mean() > 0.85


def test_what_cannot_be_loaded_is_told(tmp_path):
    with pytest.raises(CheckpointError, match="no file"):
        runtimes.load(tmp_path / "none.pt")
    with pytest.raises(ConfigError, match="no device 'abacus'"):
        runtimes.load(PRETRAINED, "abacus")


def test_an_ensemble_is_the_mean_of_its_members_probabilities():
    members = [models.build("linear", seed).eval() for seed in (1, 2)]
    expected = sum(member(IMAGES).softmax(1) for member in members) / 2
    assert np.allclose(np.exp(Ensemble(members).logits(IMAGES.numpy())), expected.detach(), atol=1e-6)


def test_test_time_augmentation_is_the_mean_over_five_places():
    model = models.build("linear", 1).eval()
    places = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)]
    expected = sum(model(IMAGES.roll(place, dims=(2, 3))).softmax(1) for place in places) / 5
    assert np.allclose(np.exp(Ensemble([model], True).logits(IMAGES.numpy())), expected.detach(), atol=1e-6)
