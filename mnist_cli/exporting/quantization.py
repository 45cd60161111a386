"""A network in integers: weights of 8 bits, activations of 8 bits, sums of 32 bits.

The sum of each output becomes an activation by a multiplication and a shift (Jacob et al., "Quantization and training of
neural networks for efficient integer-arithmetic-only inference", 2018); activation functions other than relu are tables.
`logits_of` computes exactly what the C code computes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnist_cli.arrays import Frames, Logits
from mnist_cli.errors import ExportError
from mnist_cli.exporting import networks
from mnist_cli.models import torch_networks
from mnist_cli.models.architectures import ACTIVATIONS, Classifier
from mnist_cli.models.networks import Floats, Layer

BATCH = 500  # images
LOGIT = 65_536  # the integer that is a logit of 1
MAX_SHIFT = 40  # bits; with a multiplier of 31 bits and a sum of 32, products fit 64 bits

# The part of the input of an activation function in which its 256 values lie, beside what the images show: outside, it is
# a constant or, where infinite, a straight line.
RANGES = {
    "relu": (0.0, math.inf),
    "leaky_relu": (-math.inf, math.inf),
    "gelu": (-4.0, math.inf),
    "sigmoid": (-8.0, 8.0),
    "tanh": (-4.0, 4.0),
}


@dataclass(frozen=True)
class IntegerLayer:
    """A layer from integers to integers.

    An output is (sum * multiplier + offset) / 2**shift: of the last layer a logit times LOGIT, of any other the index in
    `table`, from 0 to 255, which is the output where there is no table.
    """

    layer: Layer  # with the weights as integers from -127 to 127
    multiplier: NDArray[np.int64]  # (outputs,)
    offset: NDArray[np.int64]  # (outputs,)
    shift: int  # bits
    zero: int  # the input that stands for 0, and is subtracted from all
    table: NDArray[np.uint8] | None

    @property
    def is_last(self) -> bool:
        """Whether the outputs are logits."""
        return self.layer.activation is None


def quantize(model: Classifier, images: Frames) -> list[IntegerLayer]:
    """Return the layers of a network as integers; the ranges of the activations are those of some training images.

    Raises ExportError when a sum might not fit 32 bits.
    """
    rounded = networks.with_weights(model, lambda weight: networks.from_int8(*networks.as_int8(weight)))
    layers = torch_networks.layers_of(rounded)
    ranges = _ranges(layers, images)
    quantized: list[IntegerLayer] = []
    unit, zero = 1.0, 0  # what an input of 1 more means, and which input means 0
    for layer in layers:
        weight, factor = networks.as_int8(layer.weight)
        integers = replace(layer, weight=weight.astype(np.float64))
        check_sums(integers)
        factor = layer.factor * factor * unit
        if layer.activation is None:
            return [*quantized, _requantized(integers, factor * LOGIT, layer.offset * LOGIT, zero, None)]
        low, high = ranges[len(quantized)]
        step = (high - low) / 255
        table, unit, next_zero = _table(layer.activation, low, step)
        offset = (layer.offset - low) / step + 0.5  # rounds to the nearest index
        quantized.append(_requantized(integers, factor / step, offset, zero, table))
        zero = next_zero
    raise AssertionError("the last layer has no activation function")


def logits_of(layers: list[IntegerLayer], images: Frames) -> Logits:
    """Return the logits (N, 10) of images (N, 1, 28, 28)."""
    batches = torch.from_numpy(images).split(BATCH)
    return (np.concatenate([_run(layers, batch) for batch in batches]) / LOGIT).astype(np.float32)


@torch.inference_mode()
def _run(layers: list[IntegerLayer], images: Tensor) -> NDArray[np.int64]:
    """Return the logits of a batch of images as integers."""
    values = images.double()  # in which sums of 32 bits are exact, and multiplied by libraries that are fast
    for it in layers:
        found = networks.sums(it.layer, values - it.zero).long()
        column = (1, -1, 1, 1)
        found = found * torch.from_numpy(it.multiplier).view(column) + torch.from_numpy(it.offset).view(column)
        if it.is_last:
            return np.asarray(torch.div(found, 1 << it.shift, rounding_mode="trunc").flatten(1))
        index = (found.clamp(min=0) >> it.shift).clamp(max=255)
        values = (index if it.table is None else torch.from_numpy(it.table)[index]).double()
    raise AssertionError("the last layer gives logits")


@torch.inference_mode()
def _ranges(layers: list[Layer], images: Frames) -> list[tuple[float, float]]:
    """Return the least and the largest input of each activation function, over some images."""
    found = [(math.inf, -math.inf)] * len(layers)
    for batch in torch.from_numpy(images).split(BATCH):
        values = batch.float()
        for index, layer in enumerate(layers[:-1]):
            column = (1, -1, 1, 1)
            values = networks.sums(layer, values)
            values = values * torch.from_numpy(layer.factor).float().view(column)
            values = values + torch.from_numpy(layer.offset).float().view(column)
            found[index] = min(found[index][0], float(values.min())), max(found[index][1], float(values.max()))
            values = _activation(layer)(values)
    return [
        (max(low, RANGES[layer.activation][0]), max(min(high, RANGES[layer.activation][1]), low + 1e-6, 1e-6))
        for (low, high), layer in zip(found[:-1], layers[:-1], strict=True)
        if layer.activation
    ]


def _activation(layer: Layer) -> Callable[[Tensor], Tensor]:
    assert layer.activation is not None
    return ACTIVATIONS[layer.activation]()


def _table(activation: str, low: float, step: float) -> tuple[NDArray[np.uint8] | None, float, int]:
    """Return the outputs for the 256 inputs low, low + step, ..., what an output of 1 more means, and which one means 0."""
    if activation == "relu":
        return None, step, 0
    values = ACTIVATIONS[activation]()(torch.arange(256).double() * step + low).numpy()
    least = min(float(values.min()), 0.0)
    unit = max(float(values.max()) - least, 1e-9) / 255
    zero = round(-least / unit)
    return (np.rint(values / unit) + zero).clip(0, 255).astype(np.uint8), unit, zero


def _requantized(
    layer: Layer, factor: Floats, offset: Floats, zero: int, table: NDArray[np.uint8] | None
) -> IntegerLayer:
    """Return a layer whose outputs are sum * factor + offset, in fixed-point numbers."""
    largest = float(np.abs(factor).max()) or 1.0
    shift = max(0, min(MAX_SHIFT, 30 - math.ceil(math.log2(largest))))
    multiplier, added = (np.rint(values * 2.0**shift).astype(np.int64) for values in (factor, offset))
    return IntegerLayer(layer, multiplier, added, shift, zero, table)


def check_sums(layer: Layer) -> None:
    """Raise ExportError when the sums of products of a layer might not fit 32 bits."""
    most = 255 * np.abs(layer.weight).reshape(len(layer.weight), -1).sum(axis=1).max()
    if most >= 2**31:
        inputs = math.prod(layer.weight.shape[1:])
        raise ExportError(f"a layer with {inputs:,} inputs is too wide for C: its sums may not fit 32 bits")
