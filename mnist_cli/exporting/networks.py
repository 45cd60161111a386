"""A trained network as a list of layers of one kind, which any language can compute with two loops and a sum.

A fully connected layer is a convolution of 1x1 over an image of 1x1 with a channel for each input. Everything between two
layers is part of the first: max pooling, batch norm as a factor and an offset for each channel, the activation function.
The standardization of the pixels is part of the first layer, and the temperature of the last.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from numpy.typing import NDArray
from torch import Tensor, nn

from mnist_cli.arrays import FRAME
from mnist_cli.models.architectures import ACTIVATIONS, Classifier

Floats = NDArray[np.float64]

NAMES = {type(make()): name for name, make in ACTIVATIONS.items()}


@dataclass(frozen=True)
class Layer:
    """Convolution, max pooling, `factor` times the result plus `offset`, activation function; in this order."""

    weight: Floats  # (outputs, inputs, kernel, kernel)
    stride: int
    padding: int
    pooling: int  # the side of the squares of which the maximum is taken; 1 takes none
    factor: Floats  # (outputs,)
    offset: Floats  # (outputs,)
    activation: str | None  # None after the last layer
    side: int  # px, of the input

    @property
    def output_side(self) -> int:
        """The side of the output, px."""
        kernel: int = self.weight.shape[2]
        return ((self.side + 2 * self.padding - kernel) // self.stride + 1) // self.pooling

    @property
    def output_size(self) -> int:
        """The number of values of the output."""
        return len(self.weight) * self.output_side**2


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
    layers[0] = _with_standardization(layers[0], float(model.pixel_mean), float(model.pixel_std))
    temperature = float(model.temperature)
    layers[-1] = replace(layers[-1], factor=layers[-1].factor / temperature, offset=layers[-1].offset / temperature)
    return layers


def with_weights(model: Classifier, change: Callable[[Floats], Floats]) -> Classifier:
    """Return a copy of a network in which the weights, but no biases and norms, are those that `change` returns."""
    changed = copy.deepcopy(model)
    for module in changed.layers:
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.weight.data.copy_(torch.from_numpy(change(_numpy(module.weight))))
    return changed


def as_int8(weight: Floats) -> tuple[NDArray[np.int8], Floats]:
    """Return weights as integers from -127 to 127, and the factor (outputs,) by which those of each output are multiplied."""
    largest = np.abs(weight).reshape(len(weight), -1).max(axis=1)
    factor = np.where(largest > 0, largest, 1) / 127
    return np.rint(weight / factor.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.int8), factor


def from_int8(integers: NDArray[np.int8], factor: Floats) -> Floats:
    """Return the weights that integers and the factors of their outputs stand for."""
    weight: Floats = integers * factor.reshape(-1, *[1] * (integers.ndim - 1))
    return weight


def sums(layer: Layer, values: Tensor) -> Tensor:
    """Return the convolution of values (N, inputs, side, side) with the weights of a layer, after max pooling."""
    weight = torch.from_numpy(layer.weight).to(values.dtype)
    values = F.conv2d(
        values.reshape(len(values), -1, layer.side, layer.side), weight, None, layer.stride, layer.padding
    )
    return F.max_pool2d(values, layer.pooling) if layer.pooling > 1 else values


def _layer(weighted: nn.Module, others: dict[type, Any], side: int) -> Layer:
    """Return the layer of a module with weights and of those that follow it."""
    weight = _numpy(weighted.weight)
    factor = np.ones(len(weight))
    norm = others.get(nn.BatchNorm2d)
    if norm is not None:
        factor = _numpy(norm.weight) / np.sqrt(_numpy(norm.running_var) + norm.eps)
        offset = _numpy(norm.bias) - _numpy(norm.running_mean) * factor
    else:
        offset = _numpy(weighted.bias)
    activation = next((NAMES[kind] for kind in others if kind in NAMES), None)
    pooling = others[nn.MaxPool2d].kernel_size if nn.MaxPool2d in others else 1
    if isinstance(weighted, nn.Conv2d):
        stride, padding = int(weighted.stride[0]), int(weighted.padding[0])
        return Layer(weight, stride, padding, pooling, factor, offset, activation, side)
    return Layer(weight[:, :, np.newaxis, np.newaxis], 1, 0, 1, factor, offset, activation, side=1)


def _with_standardization(layer: Layer, mean: float, std: float) -> Layer:
    """Return a layer that takes pixels instead of standardized pixels: without padding, that is another offset."""
    assert layer.padding == 0, "beyond the edge, a standardized pixel would not be 0"
    total = layer.weight.reshape(len(layer.weight), -1).sum(axis=1)
    return replace(layer, factor=layer.factor / std, offset=layer.offset - layer.factor * total * mean / std)


def _numpy(tensor: Any) -> Floats:
    values: Floats = tensor.detach().cpu().double().numpy()
    return values
