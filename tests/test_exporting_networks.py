import numpy as np
import torch
from torch import nn

from mnist_cli.exporting import networks
from mnist_cli.models import architectures

NETWORKS = [
    ("linear", (), "relu"),
    ("mlp", (16, 8), "sigmoid"),
    ("mlp", (16,), "tanh"),
    ("cnn", (4,), "relu"),
    ("cnn", (4, 6, 8), "gelu"),
    ("cnn", (3, 4, 5, 6), "leaky_relu"),
]


def network(name, hidden, activation, seed=0):
    """A network whose norms, temperature and rejection threshold are not those of a new one."""
    model = architectures.build(name, seed, hidden=hidden, activation=activation, dropout=0.1).eval()
    for module in model.layers:
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean):
                nn.init.normal_(tensor)  # also negative: a maximum becomes a minimum
            nn.init.uniform_(module.running_var, 0.5, 2)
    model.temperature.fill_(1.3)
    return model


def noise(count):
    return np.random.default_rng(0).integers(0, 256, (count, 1, 28, 28)).astype(np.uint8)


def test_int8_weights_are_within_half_a_step_and_an_output_without_weights_stays_so():
    weight = np.random.default_rng(0).normal(size=(4, 3, 2, 2))
    weight[2] = 0
    integers, factor = networks.as_int8(weight)
    assert (integers.min(), integers.max()) >= (-127, 126)
    assert (np.abs(networks.from_int8(integers, factor) - weight) <= 0.5001 * factor[:, None, None, None]).all()
    assert not integers[2].any()


def test_only_weights_are_changed_and_only_in_the_copy():
    model = network("cnn", (4, 6), "relu")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    changed = networks.with_weights(model, np.zeros_like).state_dict()
    differing = {name for name in before if not torch.equal(changed[name], before[name])}
    assert differing == {name for name in before if before[name].ndim > 1}
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in before.items())
