"""A summary of the layers of a network: kind, output shape, parameters. Without torch, from the shapes of its weights."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """A layer that has weights."""

    name: str  # such as `2 conv 3x3, 32`; a batch norm has the number of the layer before it
    output: Shape  # of one image: (channels, height, width) or (units,), after the pooling that may follow
    parameters: int  # the number of learned parameters
    prefix: str  # of the names of its weights, such as `layers.3`


def describe(shapes: Mapping[str, Shape]) -> list[Layer]:
    """Return the layers of a network of `architectures`, whose weights have these names and shapes."""
    layers: list[Layer] = []
    number, side = 0, 0
    for prefix, tensors in _weighted(shapes):
        weight = tensors["weight"]
        units = weight[0]
        if len(weight) == 1:
            kind, output = "batch norm", layers[-1].output if layers else (units,)
        elif len(weight) == 2:
            number, kind, output = number + 1, "linear", (units,)
        else:
            number, side = number + 1, _side_after_convolution(number, side)
            kind, output = f"conv {'x'.join(map(str, weight[2:]))}", (units, side, side)
        learned = sum(math.prod(shape) for name, shape in tensors.items() if name in {"weight", "bias"})
        layers.append(Layer(f"{number} {kind}, {units}", output, learned, prefix))
    return layers


def name_of(parameter: str, layers: list[Layer]) -> str:
    """Return a readable name for a parameter such as `layers.3.bias`: that of its layer, and `bias` for a bias."""
    prefix, _, kind = parameter.rpartition(".")
    names = {layer.prefix: layer.name for layer in layers}
    return f"{names.get(prefix, prefix)}{'' if kind == 'weight' else f', {kind}'}"


def _weighted(shapes: Mapping[str, Shape]) -> Iterator[tuple[str, dict[str, Shape]]]:
    """Yield the prefix and the tensors of each layer that has a weight, in their order in the network."""
    found: dict[str, dict[str, Shape]] = {}
    for name, shape in shapes.items():
        prefix, _, kind = name.rpartition(".")
        found.setdefault(prefix, {})[kind] = shape
    yield from ((prefix, tensors) for prefix, tensors in found.items() if tensors.get("weight"))


def _side_after_convolution(earlier: int, side: int) -> int:
    """Return how many pixels high and wide the output is, given the convolutions before and their output.

    As in `architectures.cnn` the first one reduces 28 to 12, and pooling halves the output of the next ones down to 3.
    """
    if earlier == 0:
        return 12
    return side // 2 if side > 3 else side
