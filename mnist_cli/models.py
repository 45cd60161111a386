"""The networks. Each takes uint8 images (N, 1, 28, 28) and returns logits (N, 10)."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from mnist_cli.errors import ConfigError

PIXELS = 28 * 28
CLASSES = 10
# Mean and standard deviation of the pixels of the 60,000 training images, in units of 0 = paper .. 255 = ink.
PIXEL_MEAN = 33.3184
PIXEL_STD = 78.5675


class Classifier(nn.Module):
    """A network with its preprocessing: what it needs to know about pixels travels with its weights."""

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, name: str, arguments: dict[str, Any], layers: nn.Sequential) -> None:
        """Wrap `layers`, which `name` and `arguments` rebuild."""
        super().__init__()
        self.name = name
        self.arguments = arguments
        self.layers = layers
        self.register_buffer("pixel_mean", torch.tensor(PIXEL_MEAN))
        self.register_buffer("pixel_std", torch.tensor(PIXEL_STD))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, 10) for uint8 images (N, 1, 28, 28)."""
        logits: Tensor = self.layers(images.float().sub_(self.pixel_mean).div_(self.pixel_std))
        return logits


def mlp(hidden: Sequence[int] = (256, 256)) -> nn.Sequential:
    """Return the notes' network: fully connected layers with ReLU between them, 784-256-256-10 by default."""
    widths = [PIXELS, *hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], CLASSES))


ARCHITECTURES: dict[str, Callable[..., nn.Sequential]] = {"mlp": mlp}


def build(name: str, seed: int | None = None, **arguments: Any) -> Classifier:
    """Return a new network; the same seed gives the same weights.

    Raises ConfigError when there is no architecture of that name.
    """
    if name not in ARCHITECTURES:
        raise ConfigError(f"there is no model {name!r}; choose from {', '.join(ARCHITECTURES)}")
    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        return Classifier(name, arguments, ARCHITECTURES[name](**arguments))
