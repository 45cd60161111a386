import pytest
import torch

from mnist_cli.arrays import ACCEPT_ALL
from mnist_cli.config import TrainConfig
from mnist_cli.labels import DIGITS
from mnist_cli.models import architectures
from mnist_cli.training import calibration
from mnist_cli.training.loop import Trainer

CONFIG = TrainConfig(model="linear", epochs=1)


@pytest.fixture(scope="module")
def trained(train, val):
    trainer = Trainer(architectures.build_from(CONFIG), train[:5_000], val[:100], CONFIG)
    list(trainer.epochs())
    return trainer.model.eval()


def test_a_trained_model_rejects_what_is_unlike_its_training_images(trained, val):
    with torch.inference_mode():
        digits = trained(val.images).logsumexp(dim=1) >= trained.rejection_threshold
    assert 0.985 < digits.float().mean() < 1


def test_the_rejection_threshold_changes_no_weight_and_follows_from_the_seed(train, val, trained):
    again = Trainer(architectures.build_from(CONFIG), train[:5_000], val[:100], CONFIG)
    list(again.epochs())
    assert again.model.rejection_threshold == trained.rejection_threshold > ACCEPT_ALL
    moved, others = calibration.moved(train[:3_000], 1), calibration.moved(train[:3_000], 2)
    assert len(moved) == calibration.MOVED
    assert not torch.equal(moved.images, others.images)


@pytest.mark.parametrize(
    ("classes", "keeps_threshold"), [("abcdefghij", False), (DIGITS, True)], ids=["letters", "digits that it knew"]
)
def test_a_model_of_other_classes_or_one_that_knew_the_digits_gets_no_new_threshold(
    train, val, classes, keeps_threshold
):
    model = architectures.build_from(CONFIG, [*classes])
    list(Trainer(model, train[:640], val[:10], CONFIG, keeps_threshold=keeps_threshold).epochs())
    assert model.rejection_threshold == ACCEPT_ALL
