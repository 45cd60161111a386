"""A trained network as a list of layers of one kind, which any language can compute with two loops and a sum.

A fully connected layer is a convolution of 1x1 over an image of 1x1 with a channel for each input. Everything between two
layers is part of the first: max pooling, batch norm as a factor and an offset for each channel, the activation function.
The standardization of the pixels is part of the first layer, and the temperature of the last.

`Network` computes them in numpy and returns the output of every layer, also with some units switched off.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from mnist_cli.arrays import FRAME, Frames, Logits

Floats = NDArray[np.float64]
Outputs = NDArray[np.float32]  # (N, side, side, units): channels last, so that a convolution is one product of matrices

BATCH = 64  # units that are left out at a time, which bounds the memory


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


@dataclass(frozen=True)
class Unit:
    """A unit of a fully connected layer, or a channel of a convolution; all of its layer where `index` is None."""

    layer: int  # from 0
    index: int | None = None  # from 0


@dataclass(frozen=True)
class Network:
    """Layers from pixels, 0 = paper to 255 = ink, to logits."""

    layers: Sequence[Layer]
    temperature: float = 1.0  # by which the logits have been divided already
    _weights: list[Outputs] = field(
        init=False, repr=False
    )  # (values under the kernel, units), in the order of _columns

    def __post_init__(self) -> None:
        """Arrange the weights for a product of matrices."""
        sides = [layer.output_side for layer in self.layers]
        weights = [_as_matrix(layer, inputs) for layer, inputs in zip(self.layers, [FRAME, *sides[:-1]], strict=True)]
        object.__setattr__(self, "_weights", weights)

    def trace(self, frames: Frames, off: Collection[Unit] = ()) -> list[Outputs]:
        """Return the output of each layer for frames (N, 1, 28, 28), last the logits; the units in `off` give zeros."""
        values = frames.reshape(len(frames), FRAME, FRAME, 1).astype(np.float32)
        outputs: list[Outputs] = []
        for index in range(len(self.layers)):
            values = self._run(index, values, off)
            outputs.append(values)
        return outputs

    def logits(self, frames: Frames, off: Collection[Unit] = ()) -> Logits:
        """Return the logits (N, classes) of frames (N, 1, 28, 28); the units in `off` give zeros."""
        return self.trace(frames, off)[-1].reshape(len(frames), -1)

    def without_each(self, index: int, outputs: Outputs, off: Collection[Unit] = ()) -> Logits:
        """Return the logits (units, classes) without each unit of a layer but the last in turn, given its outputs for a frame.

        `outputs` are (side, side, units), and those in `off` stay off.
        """
        units, later = outputs.shape[2], index + 1
        columns = _columns(self.layers[later], outputs[np.newaxis])[0]
        side, sums = columns.shape[0], _product(columns, self._weights[later])
        # What each unit adds to the sums of the next layer, so that these need not be computed again without it.
        given = columns.reshape(side * side, -1, units).transpose(2, 0, 1)
        weights = self._weights[later].reshape(-1, units, sums.shape[2]).transpose(1, 0, 2)
        logits = []
        for start in range(0, units, BATCH):
            some = slice(start, start + BATCH)
            parts = (given[some] @ weights[some]).reshape(-1, *sums.shape)
            values = self._finished(later, sums - parts, off)
            logits.append(self._logits_after(later, values, off))
        return np.concatenate(logits)

    def field_of(self, index: int, row: int, column: int) -> tuple[int, int, int, int]:
        """Return which part of a frame an output of a layer depends on (its receptive field): x, y, width, height, px."""
        spans = [(row, row), (column, column)]
        for layer in reversed(self.layers[: index + 1]):
            if layer.side == 1:  # fully connected
                return 0, 0, FRAME, FRAME
            reach = layer.stride * layer.pooling
            more = layer.stride * (layer.pooling - 1) + layer.weight.shape[2] - 1
            spans = [(first * reach - layer.padding, last * reach - layer.padding + more) for first, last in spans]
        (top, bottom), (left, right) = [(max(first, 0), min(last, FRAME - 1)) for first, last in spans]
        return left, top, right - left + 1, bottom - top + 1

    def _logits_after(self, index: int, values: Outputs, off: Collection[Unit]) -> Logits:
        """Return the logits for the outputs of a layer."""
        for later in range(index + 1, len(self.layers)):
            values = self._run(later, values, off)
        return values.reshape(len(values), -1)

    def _run(self, index: int, values: Outputs, off: Collection[Unit]) -> Outputs:
        return self._finished(index, _product(_columns(self.layers[index], values), self._weights[index]), off)

    def _finished(self, index: int, sums: Outputs, off: Collection[Unit]) -> Outputs:
        """Return the output of a layer from the convolution with its weights."""
        layer = self.layers[index]
        values = _pooled(sums, layer.pooling) * layer.factor.astype(np.float32) + layer.offset.astype(np.float32)
        values = _activate(values, layer.activation)
        for unit in off:
            if unit.layer == index:
                values[..., slice(None) if unit.index is None else unit.index] = 0
        return values


def from_pixels(layers: Sequence[Layer], mean: float, std: float, temperature: float) -> list[Layer]:
    """Return layers that take pixels, given those of standardized pixels, and whose logits are divided by the temperature."""
    first = layers[0]
    assert first.padding == 0, "beyond the edge, a standardized pixel would not be 0"
    total = first.weight.reshape(len(first.weight), -1).sum(axis=1)
    offset = first.offset - first.factor * total * mean / std
    changed = [replace(first, factor=first.factor / std, offset=offset), *layers[1:]]
    last = changed[-1]
    return [*changed[:-1], replace(last, factor=last.factor / temperature, offset=last.offset / temperature)]


def _as_matrix(layer: Layer, side: int) -> Outputs:
    """Return the weights as (values under the kernel, units); the inputs of a fully connected layer have this side."""
    outputs = len(layer.weight)
    weight = layer.weight.reshape(outputs, -1, side, side) if layer.side == 1 else layer.weight
    return np.ascontiguousarray(weight.transpose(2, 3, 1, 0).reshape(-1, outputs), np.float32)


def _columns(layer: Layer, values: Outputs) -> Outputs:
    """Return the values under the kernel at each of its positions, (N, side, side, values)."""
    if layer.side == 1:
        return values.reshape(len(values), 1, 1, -1)
    edge, kernel, stride = layer.padding, layer.weight.shape[2], layer.stride
    if edge:
        values = np.pad(values, ((0, 0), (edge, edge), (edge, edge), (0, 0)))
    reach = values.shape[1] - kernel + 1
    parts = [
        values[:, row : row + reach : stride, column : column + reach : stride]
        for row in range(kernel)
        for column in range(kernel)
    ]
    return np.concatenate(parts, axis=3)


def _product(columns: Outputs, weights: Outputs) -> Outputs:
    """Return columns (..., values) times weights (values, units), in one product of matrices, which is the fastest."""
    product: Outputs = columns.reshape(-1, len(weights)) @ weights
    return product.reshape(*columns.shape[:-1], -1)


def _pooled(values: Outputs, pooling: int) -> Outputs:
    if pooling == 1:
        return values
    count, side, _, units = values.shape
    squares = side // pooling
    values = values[:, : squares * pooling, : squares * pooling]
    pooled: Outputs = values.reshape(count, squares, pooling, squares, pooling, units).max(axis=(2, 4))
    return pooled


def _activate(values: Outputs, activation: str | None) -> Outputs:
    """Return the activation function of values, as torch computes it."""
    if activation is None:
        return values
    if activation == "relu":
        return np.maximum(values, 0)
    if activation == "leaky_relu":
        return np.where(values < 0, np.float32(0.01) * values, values)
    if activation == "tanh":
        return np.tanh(values)
    from scipy import special  # slow to import, and the default activation function needs none of it

    if activation == "sigmoid":
        sigmoid: Outputs = special.expit(values)
        return sigmoid
    gelu: Outputs = special.ndtr(values) * values
    return gelu
