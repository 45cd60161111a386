"""What there is to see inside a network while it is trained, measured between two steps, as plain values for JSON."""

from base64 import b64encode
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mnist_cli.arrays import FRAME, Frame
from mnist_cli.models import layers
from mnist_cli.training.loop import Trainer
from mnist_cli.training.losses import loss_of

IMAGES = 1_000  # val images at most, spread evenly over all of them
HARDEST = 10  # images
SHOWN_ANSWERS = 20  # of an image, spread evenly over the run
SHOWN_UNITS = 32  # of the first layer
MAX_CLASSES = 30  # of a confusion matrix that can be read


@dataclass(frozen=True)
class Measurement:
    """The model after a step, on the probe's images."""

    loss: float  # mean per image
    accuracy: float  # 0 to 1
    gradients: list[float | None]  # the norm for each layer in the last step; 0 or None before the first
    reading: list[float] | None  # the probabilities of the classes for the drawn frame, if there is one


class Probe:
    """Measures the model of a trainer on some val images, and keeps its answers since the beginning.

    It draws no random numbers and restores the mode of the model, so the training is the same with and without it.
    """

    def __init__(self, trainer: Trainer) -> None:
        """Prepare to measure the model of `trainer`."""
        self.trainer = trainer
        self.every = max(1, len(trainer.val) // IMAGES)
        self.digits = trainer.val[:: self.every][:IMAGES]
        self.pixels, self.labels = self.digits.arrays()
        named = [(name, tensor) for name, tensor in trainer.model.named_parameters() if tensor.ndim > 1]
        described = layers.describe({name: tuple(tensor.shape) for name, tensor in trainer.model.state_dict().items()})
        self.layers = [layers.name_of(name, described) for name, _ in named]
        self.weights = [tensor for _, tensor in named]
        self.answers: list[NDArray[np.uint16]] = []  # of each measurement, (N,)
        self.losses = np.zeros(len(self.labels))  # of the last one: cross-entropy of each image in nats

    @torch.inference_mode()
    def measure(self, drawn: Frame | None = None) -> Measurement:
        """Measure the model on the probe's images, and have it read the `drawn` frame (1, 28, 28)."""
        model, digits = self.trainer.model, self.digits
        extra = [] if drawn is None else [torch.from_numpy(drawn)[None].to(digits.images.device)]
        was_training = model.training
        model.eval()
        logits = model(torch.cat([digits.images, *extra])).float()
        model.train(was_training)
        of_images = logits[: len(digits)]
        loss = loss_of(of_images, digits.labels, self.trainer.config.loss).item() / len(digits)
        self.losses = torch.nn.functional.cross_entropy(of_images, digits.labels, reduction="none").cpu().numpy()
        self.answers.append(of_images.argmax(dim=1).cpu().numpy().astype(np.uint16))
        reading = logits[len(digits)].softmax(dim=0).tolist() if extra else None
        return Measurement(loss, float((self.answers[-1] == self.labels).mean()), self._gradients(), reading)

    def hardest(self) -> list[dict[str, Any]]:
        """Return the images with the largest loss, the hardest first: pixels, label, and the answers in the course of the run."""
        shown = np.unique(np.linspace(0, len(self.answers) - 1, SHOWN_ANSWERS).round().astype(int))
        return [
            {
                "number": int(index) * self.every,
                "label": int(self.labels[index]),
                "pixels": _encoded(self.pixels[index]),
                "answers": [int(self.answers[measurement][index]) for measurement in shown],
            }
            for index in np.argsort(-self.losses, kind="stable")[:HARDEST]
        ]

    def confusion(self) -> list[list[int]] | None:
        """Return the confusion matrix, true classes in rows and predicted ones in columns; None for too many classes."""
        classes = len(self.trainer.model.classes)
        if classes > MAX_CLASSES:
            return None
        matrix = np.zeros((classes, classes), int)
        np.add.at(matrix, (self.labels, self.answers[-1]), 1)
        return matrix.tolist()

    def first_weights(self) -> dict[str, Any]:
        """Return what some units of the first layer look for: squares of pixels, 0 = the largest negative weight, 255 = the largest positive one."""
        weights = self.weights[0].detach().cpu().float().numpy()
        side = weights.shape[-1] if weights.ndim > 2 else FRAME
        some = weights[:SHOWN_UNITS].reshape(-1, side, side)
        largest = float(np.abs(some).max())
        pixels = np.nan_to_num(127.5 + 127.5 * some / (largest or 1.0), nan=127.5).round().astype(np.uint8)
        return {"side": side, "shown": len(some), "of": len(weights), "largest": largest, "pixels": _encoded(pixels)}

    def _gradients(self) -> list[float | None]:
        return [None if tensor.grad is None else tensor.grad.norm().item() for tensor in self.weights]


def _encoded(pixels: NDArray[np.uint8]) -> str:
    return b64encode(pixels.tobytes()).decode()
