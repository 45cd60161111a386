"""Learning and measuring: loops over tensors, no files and no output."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from mnist_cli.config import TrainConfig
from mnist_cli.data import Digits
from mnist_cli.models import Classifier

EVALUATION_BATCH = 1_000  # images; large enough to be fast, small enough for any cache


@dataclass(frozen=True)
class Evaluation:
    """How well a model does on a set of images."""

    loss: float  # mean cross-entropy per image, in nats
    errors: int
    images: int

    @property
    def accuracy(self) -> float:
        """The share of images that were classified right, 0 to 1."""
        return 1 - self.errors / self.images

    def interval(self, z: float = 1.96) -> tuple[float, float]:
        """Return the Wilson score interval of the accuracy; z = 1.96 makes it the 95 % one."""
        n, p = self.images, self.accuracy
        centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        reach = z / (1 + z**2 / n) * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        return centre - reach, centre + reach


@dataclass(frozen=True)
class EpochResult:
    """What one pass over the training images came to."""

    epoch: int  # counted from 1
    train_loss: float  # mean per image, while the weights were changing
    val_loss: float
    val_accuracy: float
    seconds: float  # of training, without the evaluation


def ignore(images: int) -> None:
    """Be told of progress and do nothing."""


class Trainer:
    """One training run: the model, its optimizer, and how far they have come.

    Everything random in an epoch follows from the seed and the epoch's number, so that a run can be taken up again
    after any epoch from `state_dict` alone.
    """

    def __init__(self, model: Classifier, train: Digits, val: Digits, config: TrainConfig) -> None:
        """Prepare to train `model` in place; model and digits are on the same device."""
        self.model, self.train, self.val, self.config = model, train, val, config
        self.epoch = 0  # finished epochs
        self.optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)

    def epochs(self, progress: Callable[[int], object] = ignore) -> Iterator[EpochResult]:
        """Train the remaining epochs, pausing after each, with `progress` called with the images of every batch.

        While paused, the model holds that epoch's weights: save them before asking for the next result.
        """
        while self.epoch < self.config.epochs:
            start = time.perf_counter()
            train_loss = self.train_epoch(progress)
            seconds = time.perf_counter() - start
            self.epoch += 1
            val = evaluate(self.model, self.val)
            yield EpochResult(self.epoch, train_loss, val.loss, val.accuracy, seconds)

    def train_epoch(self, progress: Callable[[int], object] = ignore) -> float:
        """Train once over all images in a new order and return the mean loss per image."""
        generator = torch.Generator().manual_seed((self.config.seed << 16) + self.epoch)
        self.model.train()
        # Summed on the device: asking for a number inside the loop would wait for the GPU at every step.
        total = torch.zeros((), device=self.train.labels.device)
        for batch in self.train.shuffled(generator).batches(self.config.batch_size):
            self.optimizer.zero_grad()
            loss = functional.cross_entropy(self.model(batch.images), batch.labels)
            loss.backward()
            self.optimizer.step()
            total += loss.detach() * len(batch)
            progress(len(batch))
        return total.item() / len(self.train)

    def state_dict(self) -> dict[str, Any]:
        """Return what taking the run up again needs beside the model's weights: plain values and tensors."""
        return {"epoch": self.epoch, "optimizer": self.optimizer.state_dict()}


@torch.inference_mode()
def evaluate(model: Classifier, digits: Digits) -> Evaluation:
    """Measure `model` on `digits`, image by image whatever the batches, and leave it in the mode it was in."""
    was_training = model.training
    model.eval()
    device = digits.labels.device
    loss, errors = torch.zeros((), device=device), torch.zeros((), dtype=torch.int64, device=device)
    for batch in digits.batches(EVALUATION_BATCH):
        logits = model(batch.images)
        loss += functional.cross_entropy(logits, batch.labels, reduction="sum")
        errors += (logits.argmax(dim=1) != batch.labels).sum()
    model.train(was_training)
    return Evaluation(loss.item() / len(digits), int(errors.item()), len(digits))
