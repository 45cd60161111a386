import pytest

from mnist_cli import runtimes
from mnist_cli.config import PRETRAINED
from mnist_cli.errors import CheckpointError, ConfigError


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
