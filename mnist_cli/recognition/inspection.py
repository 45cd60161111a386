"""What a network computes for one frame, from the pixels to the probabilities, and what changes with units switched off."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_cli.arrays import FRAME, Frame, Frames, Logits
from mnist_cli.errors import ConfigError
from mnist_cli.models.networks import Layer, Network, Outputs, Unit
from mnist_cli.recognition.attribution import Evidence, centred, occlusion, rivals

INK = 255  # the level of full ink
DECIMALS = 4  # of the numbers in JSON


@dataclass(frozen=True)
class LayerOutput:
    """The output of a hidden layer for a frame."""

    name: str  # such as `conv 5x5`
    maps: Outputs  # (side, side, units): the feature maps of a convolution; of a fully connected layer the side is 1
    contributions: NDArray[np.float32]  # (units,): by how much the logit of the class falls without the unit


@dataclass(frozen=True)
class UnitView:
    """What a unit of a layer looks at."""

    unit: Unit
    # Of the first layer: what full ink at each pixel adds, (kernel, kernel), or (28, 28) if it is fully connected.
    weights: NDArray[np.float32] | None
    box: tuple[int, int, int, int]  # the part of the frame that excites it most: x, y, width, height, px
    map: NDArray[np.float32]  # (28, 28): by how much its maximum falls where the ink is covered


@dataclass(frozen=True)
class Inspection:
    """What a network computes for a frame."""

    frame: Frame
    layers: Sequence[LayerOutput]  # the hidden ones
    logits: Logits  # (classes,), divided by the temperature
    temperature: float
    evidence: Evidence
    unit: UnitView | None  # if one was chosen

    @property
    def score(self) -> float:
        """The energy score, logsumexp of the logits."""
        return float(np.logaddexp.reduce(self.logits.astype(np.float64)))

    @property
    def probabilities(self) -> list[float]:
        """The probabilities of the classes, which sum to 1."""
        probabilities: list[float] = np.exp(self.logits - self.score).tolist()
        return probabilities

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        pairs = zip(self.evidence.classes, self.evidence.maps, strict=True)
        return {
            "frame": self.frame[0].tolist(),
            "layers": [
                {
                    "name": layer.name,
                    "maps": _rounded(layer.maps.transpose(2, 0, 1)),
                    "contributions": _rounded(layer.contributions),
                }
                for layer in self.layers
            ],
            "logits": _rounded(self.logits),
            "temperature": self.temperature,
            "score": self.score,
            "probabilities": self.probabilities,
            "evidence": [{"label": label, "map": _rounded(values)} for label, values in pairs],
            "unit": self.unit and _unit_values(self.unit),
        }


def inspect(
    network: Network,
    classes: Sequence[str],
    frame: Frame,
    off: Collection[Unit] = (),
    chosen: int | None = None,
    unit: Unit | None = None,
) -> Inspection:
    """Return what a network with these classes computes for a frame when the units in `off` give zeros.

    The contributions and the evidence are for the class `chosen`, by default the likeliest one.

    Raises ConfigError for a class, layer or unit that there is not.
    """
    for one in [*off, *([unit] if unit else [])]:
        _check(network, one)
    if chosen is not None and chosen >= len(classes):
        raise ConfigError(f"there is no class {chosen}; the model has {len(classes)}, from 0 on")
    *hidden, last = [outputs[0] for outputs in network.trace(frame[np.newaxis], off)]
    logits = last.reshape(-1)
    first, second = rivals(logits, chosen)

    def values_of(frames: Frames) -> Logits:
        outputs = network.trace(frames, off)
        values = centred(outputs[-1].reshape(len(frames), -1))
        if unit is None:
            return values
        return np.concatenate([values, outputs[unit.layer][..., unit.index].max(axis=(1, 2))[:, np.newaxis]], axis=1)

    maps = occlusion(values_of, frame)
    layers = []
    for index, (layer, outputs) in enumerate(zip(network.layers, hidden, strict=False)):
        lost = logits[first] - network.without_each(index, outputs, off)[:, first]
        # Without a unit that gives zeros nothing is lost, not even by rounding.
        layers.append(LayerOutput(_name(layer), outputs, np.where(outputs.any(axis=(0, 1)), lost, np.float32(0))))
    evidence = Evidence((classes[first], classes[second]), maps[[first, second]])
    view = None if unit is None else _look_at(network, unit, [*hidden, last][unit.layer], maps[-1])
    return Inspection(frame, layers, logits, network.temperature, evidence, view)


def _check(network: Network, unit: Unit) -> None:
    """Raise ConfigError unless a network has a unit."""
    count = len(network.layers)
    if unit.layer >= count:
        raise ConfigError(f"there is no layer {unit.layer}; the network has {count}, from 0 on")
    units = len(network.layers[unit.layer].weight)
    if unit.index is not None and unit.index >= units:
        raise ConfigError(f"there is no unit {unit.index} in layer {unit.layer}; it has {units}, from 0 on")


def _look_at(network: Network, unit: Unit, outputs: Outputs, falls: NDArray[np.float32]) -> UnitView:
    """Return what a unit looks at, given the outputs (side, side, units) of its layer."""
    values = outputs[:, :, unit.index]
    row, column = divmod(int(values.argmax()), values.shape[1])
    weights = None
    if unit.layer == 0:
        first = network.layers[0]
        kernel = (INK * first.factor[unit.index] * first.weight[unit.index]).astype(np.float32)
        weights = kernel[0] if len(kernel) == 1 else kernel.reshape(FRAME, FRAME)
    return UnitView(unit, weights, network.field_of(unit.layer, row, column), falls)


def _name(layer: Layer) -> str:
    """Return the name of a layer, as `mnist info` has it."""
    kernel = layer.weight.shape[2]
    return "linear" if layer.side == 1 else f"conv {kernel}x{kernel}"


def _unit_values(view: UnitView) -> dict[str, Any]:
    return {
        "layer": view.unit.layer,
        "index": view.unit.index,
        "weights": None if view.weights is None else _rounded(view.weights),
        "box": list(view.box),
        "map": _rounded(view.map),
    }


def _rounded(values: NDArray[np.float32]) -> Any:
    return values.astype(np.float64).round(DECIMALS).tolist()
