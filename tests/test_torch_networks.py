import pytest
import torch
from test_exporting_networks import NETWORKS, network, noise

from mnist_cli.exporting import networks
from mnist_cli.models import torch_networks
from mnist_cli.models.architectures import ACTIVATIONS


@pytest.mark.parametrize(("name", "hidden", "activation"), NETWORKS)
def test_the_layers_of_a_network_compute_its_logits(name, hidden, activation):
    model, images = network(name, hidden, activation), noise(20)
    values = torch.from_numpy(images).double()
    for layer in torch_networks.layers_of(model):
        factor, offset = (torch.from_numpy(array).view(1, -1, 1, 1) for array in (layer.factor, layer.offset))
        values = networks.sums(layer, values) * factor + offset
        assert values[0].numel() == layer.output_size
        if layer.activation:
            values = ACTIVATIONS[layer.activation]()(values)
    assert values.flatten(1).numpy() == pytest.approx(model.logits(images), abs=1e-4)
