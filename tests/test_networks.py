import numpy as np
import pytest
from test_exporting_networks import NETWORKS, network, noise

from mnist_cli.models import torch_networks
from mnist_cli.models.networks import Unit

MODELS = pytest.mark.parametrize(("name", "hidden", "activation"), NETWORKS)


@MODELS
def test_numpy_computes_the_logits_of_torch(name, hidden, activation):
    model, images = network(name, hidden, activation), noise(20)
    assert torch_networks.network_of(model).logits(images) == pytest.approx(model.logits(images), abs=1e-4)
    assert torch_networks.network_of(model).temperature == pytest.approx(1.3)


def test_every_layer_gives_an_output_for_each_unit_and_position():
    outputs = torch_networks.network_of(network("cnn", (4, 6, 8), "relu")).trace(noise(3))
    assert [values.shape for values in outputs] == [(3, 12, 12, 4), (3, 6, 6, 6), (3, 3, 3, 8), (3, 1, 1, 10)]


def test_a_unit_that_is_switched_off_gives_zeros_and_so_does_every_unit_of_a_layer():
    computed = torch_networks.network_of(network("mlp", (16, 8), "sigmoid"))
    first, second, _ = computed.trace(noise(1), [Unit(0, 3), Unit(1)])
    assert np.flatnonzero(first[0, 0, 0] == 0).tolist() == [3]
    assert not second.any()
    biases = computed.layers[-1].offset
    assert computed.logits(noise(1), [Unit(1)])[0] == pytest.approx(biases, abs=1e-5)


@MODELS
def test_the_logits_without_each_unit_are_those_with_that_unit_off(name, hidden, activation):
    computed, frames, off = torch_networks.network_of(network(name, hidden, activation)), noise(1), [Unit(0, 1)]
    for index, outputs in enumerate(computed.trace(frames, off)[:-1]):
        found = computed.without_each(index, outputs[0], off)
        expected = [computed.logits(frames, [*off, Unit(index, unit)])[0] for unit in range(outputs.shape[3])]
        assert found == pytest.approx(np.array(expected), abs=1e-4)


@pytest.mark.parametrize(("index", "row", "column"), [(0, 0, 0), (0, 11, 4), (1, 2, 3), (1, 5, 0), (2, 0, 0)])
def test_an_output_depends_on_the_pixels_of_its_field_and_on_no_others(index, row, column):
    computed = torch_networks.network_of(network("cnn", (4, 6, 8), "tanh"))
    left, top, width, height = computed.field_of(index, row, column)
    frames = np.repeat(noise(1), 1 + 28 * 28, axis=0)
    for pixel in range(28 * 28):
        y, x = divmod(pixel, 28)
        frames[1 + pixel, 0, y, x] ^= 255
    values = computed.trace(frames)[index][:, row, column]
    changed = (values[1:] != values[0]).any(axis=1).reshape(28, 28)
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    assert top <= rows[0] <= rows[-1] < top + height
    assert left <= columns[0] <= columns[-1] < left + width
    assert changed.sum() > width * height / 2


def test_a_unit_of_a_fully_connected_layer_depends_on_the_whole_frame():
    assert torch_networks.network_of(network("cnn", (4,), "relu")).field_of(1, 0, 0) == (0, 0, 28, 28)
