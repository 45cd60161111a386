"""The layers of a network of torch, as `networks` has them."""

from typing import Any

import numpy as np
from torch import nn

from mnist_cli.arrays import FRAME
from mnist_cli.models.architectures import ACTIVATIONS, Classifier
from mnist_cli.models.networks import Floats, Layer, Network, from_pixels

NAMES = {type(make()): name for name, make in ACTIVATIONS.items()}


def layers_of(model: Classifier) -> list[Layer]:
    """Return the layers of a network: from pixels, 0 = paper to 255 = ink, to logits."""
    groups: list[list[nn.Module]] = []
    for module in model.layers:
        if isinstance(module, nn.Linear | nn.Conv2d):
            groups.append([])
        if groups:  # what precedes the first layer only flattens the image
            groups[-1].append(module)
    layers: list[Layer] = []
    for weighted, *others in groups:
        side = layers[-1].output_side if layers else FRAME
        layers.append(_layer(weighted, {type(module): module for module in others}, side))
    return from_pixels(layers, float(model.pixel_mean), float(model.pixel_std), float(model.temperature))


def network_of(model: Classifier) -> Network:
    """Return a network as numpy computes it."""
    return Network(layers_of(model), float(model.temperature))


def to_numpy(tensor: Any) -> Floats:
    """Return a tensor as an array of float64."""
    values: Floats = tensor.detach().cpu().double().numpy()
    return values


def _layer(weighted: nn.Module, others: dict[type, Any], side: int) -> Layer:
    """Return the layer of a module with weights and of those that follow it."""
    weight = to_numpy(weighted.weight)
    factor = np.ones(len(weight))
    norm = others.get(nn.BatchNorm2d)
    if norm is not None:
        factor = to_numpy(norm.weight) / np.sqrt(to_numpy(norm.running_var) + norm.eps)
        offset = to_numpy(norm.bias) - to_numpy(norm.running_mean) * factor
    else:
        offset = to_numpy(weighted.bias)
    activation = next((NAMES[kind] for kind in others if kind in NAMES), None)
    pooling = others[nn.MaxPool2d].kernel_size if nn.MaxPool2d in others else 1
    if isinstance(weighted, nn.Conv2d):
        stride, padding = int(weighted.stride[0]), int(weighted.padding[0])
        return Layer(weight, stride, padding, pooling, factor, offset, activation, side)
    return Layer(weight[:, :, np.newaxis, np.newaxis], 1, 0, 1, factor, offset, activation, side=1)
