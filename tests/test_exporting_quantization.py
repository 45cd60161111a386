import numpy as np
import pytest
from test_exporting_networks import NETWORKS, network, noise

from mnist_cli.errors import ExportError
from mnist_cli.exporting import quantization
from mnist_cli.models import checkpoints
from mnist_cli.models.networks import Layer


@pytest.mark.parametrize(("name", "hidden", "activation"), NETWORKS)
def test_logits_in_integers_are_close(name, hidden, activation):
    model, images = network(name, hidden, activation), noise(100)
    layers = quantization.quantize(model, images)
    logits = model.logits(images)
    distance = np.abs(quantization.logits_of(layers, images) - logits)
    assert distance.mean() < 0.03 * logits.std()
    assert all(np.abs(it.layer.weight).max() <= 127 and np.abs(it.multiplier).max() < 2**31 for it in layers)


def test_a_trained_network_in_integers_is_nearly_as_accurate(trained, train, val):
    model = checkpoints.load(trained).model
    layers = quantization.quantize(model, train.images[:500].numpy())
    images, labels = val.arrays()
    correct = quantization.logits_of(layers, images).argmax(axis=1) == labels
    assert correct.mean() == pytest.approx((model.logits(images).argmax(axis=1) == labels).mean(), abs=0.001)


def test_sums_that_may_not_fit_32_bits_are_refused():
    def wide(inputs):
        return Layer(np.full((1, inputs, 1, 1), -127.0), 1, 0, 1, np.ones(1), np.zeros(1), "relu", side=1)

    quantization.check_sums(wide(66_000))
    with pytest.raises(ExportError, match="a layer with 67,000 inputs is too wide for C"):
        quantization.check_sums(wide(67_000))
