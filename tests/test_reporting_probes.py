from base64 import b64decode

import numpy as np
import pytest
import torch

from mnist_cli.config import TrainConfig
from mnist_cli.models import architectures
from mnist_cli.reporting.probes import HARDEST, SHOWN_ANSWERS, Probe
from mnist_cli.training import loop
from mnist_cli.training.loop import Trainer


def trainer_of(train, val, **settings):
    config = TrainConfig(epochs=1, batch_size=50, augment="none", **settings)
    return Trainer(architectures.build_from(config), train[:100], val, config)


@pytest.fixture
def trainer(train, val):
    return trainer_of(train, val[:2_500], model="linear", hidden=())


def test_a_measurement_is_that_of_the_evaluation_and_leaves_no_trace(trainer, val):
    trainer.model.train()
    random = torch.get_rng_state()
    seen = Probe(trainer).measure()
    evaluation = loop.evaluate(trainer.model, val[:2_500:2][:1_000])
    assert (seen.loss, seen.accuracy) == (pytest.approx(evaluation.loss), evaluation.accuracy)
    assert trainer.model.training
    assert torch.equal(torch.get_rng_state(), random)
    assert seen.gradients == [0.0]
    list(trainer.epochs())
    (norm,) = Probe(trainer).measure().gradients
    assert norm == pytest.approx(trainer.model.layers[1].weight.grad.norm().item())


def test_a_drawn_frame_is_read_beside_the_images(trainer, val):
    frame = val.images[7].numpy()
    reading = Probe(trainer).measure(frame).reading
    logits = trainer.model.logits(frame[None])[0]
    assert reading == pytest.approx((np.exp(logits) / np.exp(logits).sum()).tolist(), rel=1e-4)


def test_the_hardest_images_have_the_largest_loss_and_all_answers_since_the_beginning(trainer):
    probe = Probe(trainer)
    for _ in range(SHOWN_ANSWERS + 5):
        probe.measure()
    first, *_ = hardest = probe.hardest()
    assert len(hardest) == HARDEST
    index = first["number"] // 2  # every second of the 2,500
    assert probe.losses[index] == probe.losses.max()
    assert first["label"] == trainer.val.labels[first["number"]]
    assert first["answers"] == [probe.answers[0][index]] * SHOWN_ANSWERS
    assert b64decode(first["pixels"]) == trainer.val.images[first["number"]].numpy().tobytes()


def test_the_confusion_matrix_counts_every_image_once(trainer):
    probe = Probe(trainer)
    seen = probe.measure()
    matrix = np.array(probe.confusion())
    assert (matrix.sum(axis=1) == np.bincount(probe.labels, minlength=10)).all()
    assert np.trace(matrix) == seen.accuracy * 1_000


@pytest.mark.parametrize(
    ("settings", "side", "shown", "units"),
    [
        ({"model": "linear", "hidden": ()}, 28, 10, 10),
        ({"hidden": (50,)}, 28, 32, 50),
        ({"model": "cnn", "hidden": (4, 6)}, 5, 4, 4),
    ],
)
def test_the_weights_of_the_first_layer_are_squares_of_pixels(train, val, settings, side, shown, units):
    trainer = trainer_of(train, val[:50], **settings)
    weights = Probe(trainer).first_weights()
    assert (weights["side"], weights["shown"], weights["of"]) == (side, shown, units)
    pixels = np.frombuffer(b64decode(weights["pixels"]), np.uint8).reshape(shown, side, side).astype(float)
    expected = next(trainer.model.parameters()).detach().numpy()[:shown].reshape(pixels.shape)
    assert np.abs(pixels - 127.5 - 127.5 * expected / weights["largest"]).max() < 0.501  # rounded, also in 32 bits
