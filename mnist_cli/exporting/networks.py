"""Trained networks with their weights rounded to what an exported file can hold."""

import copy
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (its usual name)
from numpy.typing import NDArray
from torch import Tensor, nn

from mnist_cli.models.architectures import Classifier
from mnist_cli.models.networks import Floats, Layer
from mnist_cli.models.torch_networks import to_numpy


def with_weights(model: Classifier, change: Callable[[Floats], Floats]) -> Classifier:
    """Return a copy of a network in which the weights, but no biases and norms, are those that `change` returns."""
    changed = copy.deepcopy(model)
    for module in changed.layers:
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.weight.data.copy_(torch.from_numpy(change(to_numpy(module.weight))))
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
