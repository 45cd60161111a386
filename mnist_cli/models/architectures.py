"""The networks. Each takes uint8 images (N, 1, 28, 28) and returns logits (N, classes), ten for digits."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from mnist_cli.arrays import ACCEPT_ALL, FRAME, Frames, Logits
from mnist_cli.config import TrainConfig
from mnist_cli.errors import ConfigError
from mnist_cli.labels import DIGITS
from mnist_cli.models import devices
from mnist_cli.models.interface import checked

PIXELS = FRAME**2
# Mean and standard deviation of the pixels of the 60,000 training images, in units of 0 = paper .. 255 = ink.
PIXEL_MEAN = 33.3184
PIXEL_STD = 78.5675
SMALL = 256  # images, below which a batch is computed by one thread
UNCALIBRATED = 1.0  # a temperature without an effect

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "leaky_relu": lambda: nn.LeakyReLU(inplace=True),
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}


class Classifier(nn.Module):
    """A network with its preprocessing: the mean and the standard deviation of the pixels are stored with its weights."""

    pixel_mean: Tensor
    pixel_std: Tensor
    temperature: Tensor
    least_score: Tensor

    def __init__(self, name: str, arguments: dict[str, Any], classes: Sequence[str], layers: nn.Sequential) -> None:
        """Wrap `layers`, which `name`, `arguments` and the number of `classes` rebuild."""
        super().__init__()
        self.name = name
        self.arguments = arguments
        self.classes = tuple(classes)
        self.layers = layers
        self.register_buffer("pixel_mean", torch.tensor(PIXEL_MEAN))
        self.register_buffer("pixel_std", torch.tensor(PIXEL_STD))
        # Both are fitted after training, by `training.calibration`. Their names are keys of checkpoint files.
        self.register_buffer("temperature", torch.tensor(UNCALIBRATED))
        self.register_buffer("least_score", torch.tensor(ACCEPT_ALL))

    @property
    def rejection_threshold(self) -> Tensor:
        """The energy score, logsumexp of the logits, below which a frame is not a digit; checkpoints call it `least_score`."""
        return self.least_score

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, classes) for uint8 images (N, 1, 28, 28)."""
        logits: Tensor = self.layers(self._standardized(images))
        return logits if self.training else logits / self.temperature

    @torch.inference_mode()
    def logits(self, frames: Frames) -> Logits:
        """Return logits (N, classes) for frames (N, 1, 28, 28), both numpy arrays, in evaluation mode.

        Raises CheckpointError when they are not finite.
        """
        was_training = self.training
        self.eval()
        images = torch.from_numpy(frames).to(self.pixel_mean.device)
        # In a small batch a second thread gains nothing, and where another program is on its core, each product waits for it.
        with devices.computing_threads(1) if len(images) < SMALL else nullcontext():
            logits: Logits = self(images).cpu().numpy()
        self.train(was_training)
        return checked(logits)

    def features(self, images: Tensor) -> Tensor:
        """Return the activations of the last hidden layer, (N, width), for uint8 images (N, 1, 28, 28)."""
        values: Tensor = self.layers[:-1](self._standardized(images))
        return values

    def _standardized(self, images: Tensor) -> Tensor:
        return images.float().sub_(self.pixel_mean).div_(self.pixel_std)


def linear(hidden: Sequence[int], activation: str, dropout: float, outputs: int) -> list[nn.Module]:
    """Return softmax regression: one layer, so `hidden`, `activation` and `dropout` have no effect."""
    return [nn.Flatten(), nn.Linear(PIXELS, outputs)]


def mlp(hidden: Sequence[int], activation: str, dropout: float, outputs: int) -> list[nn.Module]:
    """Return fully connected layers; by default the network is 784-256-256-10 with ReLU."""
    widths = [PIXELS, *hidden]
    layers: list[nn.Module] = [nn.Flatten()]
    for inputs, units in pairwise(widths):
        layers += [nn.Linear(inputs, units), ACTIVATIONS[activation](), *_dropout(dropout)]
    return [*layers, nn.Linear(widths[-1], outputs)]


def cnn(hidden: Sequence[int], activation: str, dropout: float, outputs: int) -> list[nn.Module]:
    """Return convolutions with batch norm: the first reduces 28x28 to 12x12, the next two halve that to 6x6 and 3x3.

    Early downsampling, and pooling before the norm, make it fast on a CPU: most of the work is then done on few pixels and
    many channels.
    """
    layers: list[nn.Module] = []
    side = 12  # px, after the first layer
    for layer, (inputs, channels) in enumerate(pairwise([1, *hidden])):
        if layer == 0:
            layers.append(nn.Conv2d(inputs, channels, kernel_size=5, stride=2, bias=False))
        else:
            layers.append(nn.Conv2d(inputs, channels, kernel_size=3, padding=1, bias=False))
            if side > 3:
                layers.append(nn.MaxPool2d(2))
                side //= 2
        layers += [nn.BatchNorm2d(channels), ACTIVATIONS[activation]()]
    return [*layers, nn.Flatten(), *_dropout(dropout), nn.Linear(hidden[-1] * side**2, outputs)]


def _dropout(probability: float) -> list[nn.Module]:
    return [nn.Dropout(probability)] if probability else []


ARCHITECTURES: dict[str, Callable[[Sequence[int], str, float, int], list[nn.Module]]] = {
    "linear": linear,
    "mlp": mlp,
    "cnn": cnn,
}


def build(
    name: str,
    seed: int | None = None,
    *,
    hidden: Sequence[int] = (256, 256),
    activation: str = "relu",
    dropout: float = 0.0,
    classes: Sequence[str] = DIGITS,
) -> Classifier:
    """Return a new network with an output for each of `classes`; the same seed gives the same weights.

    Raises ConfigError when there is no such architecture or activation, or a cnn has no layers.
    """
    if name not in ARCHITECTURES:
        raise ConfigError(f"there is no model {name!r}; choose from {', '.join(ARCHITECTURES)}")
    if activation not in ACTIVATIONS:
        raise ConfigError(f"there is no activation {activation!r}; choose from {', '.join(ACTIVATIONS)}")
    if name == "cnn" and not hidden:
        raise ConfigError("a cnn needs at least one hidden layer, such as --hidden 16,32,64")
    with torch.random.fork_rng(devices=[]):
        if seed is not None:
            torch.manual_seed(seed)
        layers = nn.Sequential(*ARCHITECTURES[name](hidden, activation, dropout, len(classes)))
    arguments = {"hidden": list(hidden), "activation": activation, "dropout": dropout}
    # The memory layout in which convolutions run fastest; other layers are not affected.
    return Classifier(name, arguments, classes, layers).to(memory_format=torch.channels_last)


def build_from(config: TrainConfig, classes: Sequence[str] = DIGITS) -> Classifier:
    """Return the new network that `config` describes, for these classes."""
    hidden, activation, dropout = config.hidden, config.activation, config.dropout
    return build(config.model, config.seed, hidden=hidden, activation=activation, dropout=dropout, classes=classes)


@torch.no_grad()
def adapted(model: Classifier, classes: Sequence[str], seed: int = 0) -> Classifier:
    """Return a trained model for `classes`, to be trained further, with the rows of its last layer for those that it knows.

    The rows for other classes are new. Its temperature becomes a part of its last layer, so that it begins with the
    same probabilities.
    """
    known, last = model.classes, _last_layer(model)
    last.weight.div_(model.temperature)
    last.bias.div_(model.temperature)
    model.temperature.fill_(UNCALIBRATED)
    if tuple(classes) == known:
        return model
    started = build(model.name, seed, **model.arguments, classes=classes)
    # The rejection threshold was fitted to its classes, and the last layer has other shapes.
    dropped = {"least_score", f"layers.{len(model.layers) - 1}.weight", f"layers.{len(model.layers) - 1}.bias"}
    started.load_state_dict({name: it for name, it in model.state_dict().items() if name not in dropped}, strict=False)
    for index, name in enumerate(classes):
        if name in known:
            _last_layer(started).weight[index] = last.weight[known.index(name)]
            _last_layer(started).bias[index] = last.bias[known.index(name)]
    return started


def _last_layer(model: Classifier) -> nn.Linear:
    layer = model.layers[-1]
    assert isinstance(layer, nn.Linear)
    return layer
