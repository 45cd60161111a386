"""The training loop and the evaluation: loops over tensors, no files and no output."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from mnist_cli.config import TrainConfig
from mnist_cli.datasets.dataset import Digits
from mnist_cli.errors import DivergenceError
from mnist_cli.labels import DIGITS
from mnist_cli.models import devices
from mnist_cli.models.architectures import Classifier
from mnist_cli.models.interface import BATCH
from mnist_cli.results import EpochResult, Evaluation
from mnist_cli.training import calibration, early_stopping, optimizers
from mnist_cli.training.batches import Batches
from mnist_cli.training.distributed import ALONE, Group
from mnist_cli.training.losses import loss_of
from mnist_cli.training.steps import TrainingStep


def ignore(images: int) -> None:
    """Ignore the progress."""


class Trainer:
    """The state of a training run: model, optimizer, batches, epoch and results.

    All random numbers are determined by the seed, the epoch and the position in the epoch, so a run that was stopped, even
    within an epoch, and resumed from `state_dict` ends with the same weights as an uninterrupted one.
    """

    def __init__(
        self,
        model: Classifier,
        train: Digits,
        val: Digits,
        config: TrainConfig,
        held_out: Digits | None = None,
        group: Group = ALONE,
        teacher: Classifier | None = None,
        keeps_threshold: bool = False,
    ) -> None:
        """Prepare to train `model` in place, taught by the `teacher` if there is one; models and digits are on the same device.

        Each process of a `group` has all the digits and processes its part of every batch. With `keeps_threshold` a model of
        digits keeps the rejection threshold that it has, perhaps from negative examples.
        """
        self.group = group
        self.model, self.train, self.val, self.config, self.held_out = model, train, val, config, held_out
        self.device = train.labels.device
        self.batches = Batches(train, config, group)
        self.step = TrainingStep(model, config, train[: config.batch_size], group, teacher)
        self.results: list[EpochResult] = []  # of the finished epochs
        self.epoch = 0  # finished epochs
        self.batch = 0  # finished batches of the current epoch
        self.stopping = False
        self.learning_rate = 0.0  # of the last step
        self.paused = 0.0  # seconds of this epoch that `progress` waited on purpose, which do not count as training
        self._random_state: Tensor | None = None  # of dropout, inside an epoch
        needs_threshold = model.classes == DIGITS and not keeps_threshold
        self._typical = calibration.moved(train, config.seed) if needs_threshold else None

    def epochs(self, progress: Callable[[int], object] = ignore) -> Iterator[EpochResult]:
        """Train the remaining epochs, pausing after each; `progress` is called with the number of images of every batch.

        While paused, the model holds that epoch's weights: save them before requesting the next result. After `stop`
        the iteration ends, perhaps inside an epoch. Raises DivergenceError when the loss becomes infinite or NaN.
        """
        while self.epoch < self.config.epochs and not self.is_stopped_early:
            start, self.paused = time.perf_counter(), 0.0
            self.train_epoch(progress)
            if self.stopping:
                return
            loss, correct = self._sums()
            seconds = time.perf_counter() - start - self.paused
            if not math.isfinite(loss):
                raise DivergenceError(
                    f"the loss became {loss} in epoch {self.epoch + 1}; try a smaller --learning-rate"
                )
            self.step.reset_sums()
            self.epoch, self.batch, self._random_state = self.epoch + 1, 0, None
            self.results.append(self._measure(loss / len(self.train), correct, seconds))
            yield self.results[-1]

    @devices.denormals_as_zero()
    def train_epoch(self, progress: Callable[[int], object] = ignore) -> None:
        """Train one epoch in a new random order, or the rest of an interrupted one."""
        self.model.train()
        self.model.temperature.fill_(1.0)  # so that the losses of all epochs are comparable
        done = self.batch
        # Seeds dropout, differently in each process: only in this does a group differ from a single process.
        torch.manual_seed((self.batches.seed(self.epoch) << 12) + self.group.rank)
        for number, (batch, images) in enumerate(self.batches.of_epoch(self.epoch)):
            if number < done:
                continue  # trained on before the run was stopped
            if number == done:
                self._restore_random_state()
            self.learning_rate = self._scheduled_rate(number)
            self.step(batch, images, self.learning_rate)
            self.batch += 1
            progress(images)
            self.stopping = self.group.any(self.stopping)
            if self.stopping:
                self._random_state = _dropout_generator(self.device).get_state()
                self._sums()
                break
        self.step.synchronize_statistics()

    def best(self) -> EpochResult | None:
        """Return the first epoch with the lowest held-out loss; without held-out images none is best."""
        return early_stopping.best_of(self.results)

    @property
    def is_stopped_early(self) -> bool:
        """Whether early stopping ends the run here."""
        return early_stopping.is_due(self.results, self.config.patience)

    def stop(self) -> None:
        """Stop the iteration of `epochs` after the current step."""
        self.stopping = True

    def scale_rate(self, factor: float) -> None:
        """Multiply the learning rate of the schedule by `factor` from the next step on.

        `config` records it, so that the run can be repeated; a factor replaces the one before it.

        Raises ConfigError when the factor is out of range, or there were too many changes.
        """
        changes = optimizers.with_change(self.config.rate_changes, self.finished_steps, factor)
        self.config = replace(self.config, rate_changes=changes)

    @property
    def finished_steps(self) -> int:
        """The number of finished steps of all epochs."""
        return self.epoch * self.steps_per_epoch + self.batch

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` was called before the last step; during the last evaluation it has no effect."""
        return self.stopping and self.epoch < self.config.epochs

    def augmented(self, count: int) -> Tensor:
        """Return `count` training images as the network sees them, uint8 (N, 1, 28, 28)."""
        generator = torch.Generator(self.device).manual_seed(self.config.seed)
        return self.batches.augment(self.train.images[:count], generator)

    def state_dict(self) -> dict[str, Any]:
        """Return the state needed to resume, apart from the weights of the model: plain values and tensors."""
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "loss_sum": self.step.loss_sum,
            "correct": self.step.correct,
            "random_state": self._random_state,
            "optimizer": optimizers.state_of(self.step.optimizer, self.step.parameters),
        }

    def load_state_dict(self, state: dict[str, Any], results: list[EpochResult]) -> None:
        """Restore the state of `state_dict`, taken after `results`; the model already has its weights.

        Raises ValueError, or what Python raises for a wrong type, when it is not the state of such a trainer.
        """
        if not isinstance(state, dict) or not isinstance(state["optimizer"], dict):
            raise TypeError("it has no training state")
        epoch, batch, loss_sum, random_state = (state[key] for key in ("epoch", "batch", "loss_sum", "random_state"))
        if not (type(epoch) is type(batch) is int and epoch == len(results) and 0 <= batch <= self.steps_per_epoch):
            raise ValueError(f"its state is not that after {len(results)} epochs")
        if random_state is not None and random_state.dtype != torch.uint8:
            raise ValueError("its random state is invalid")
        # Older versions did not count them: a negative sum stands for an epoch without train accuracy.
        correct = state.get("correct", torch.tensor(-len(self.train) - 1 if batch else 0))
        if correct > batch * self.config.batch_size:
            raise ValueError("its number of correctly classified images is too large")
        optimizers.load_state(self.step.optimizer, self.step.parameters, self.config.optimizer, state["optimizer"])
        self.results = list(results)
        self.epoch, self.batch = epoch, batch
        if self.group.rank == 0:  # the state is that of the first process, with the sums over all
            self.step.loss_sum.copy_(loss_sum)
            self.step.correct.copy_(correct)
            self._random_state = random_state

    @property
    def steps_per_epoch(self) -> int:
        """The number of steps of an epoch."""
        return math.ceil(len(self.train) / self.config.batch_size)

    def _scheduled_rate(self, batch: int) -> float:
        """Return the learning rate of a step of this epoch."""
        step = self.epoch * self.steps_per_epoch + batch
        scheduled = optimizers.learning_rate_at(step / (self.config.epochs * self.steps_per_epoch), self.config)
        return scheduled * optimizers.factor_at(step, self.config.rate_changes)

    def _sums(self) -> tuple[float, int]:
        """Return the loss and the number of correctly classified images, summed over all processes and the epoch so far."""
        return self.group.sum(self.step.loss_sum).item(), int(self.group.sum(self.step.correct).item())

    def _measure(self, train_loss: float, correct: int, seconds: float) -> EpochResult:
        """Return the result of the epoch, after evaluating the model and fitting its temperature and rejection threshold."""
        val, held_out_loss = evaluate(self.model, self.val, self.config.loss, self.group), None
        if self.held_out:
            held_out_loss = evaluate(self.model, self.held_out, self.config.loss, self.group).loss
            if math.isfinite(held_out_loss):
                calibration.fit_temperature(self.model, self.held_out)
        if self._typical and math.isfinite(val.loss):
            calibration.fit_rejection_threshold(self.model, self._typical, calibration.KEPT_OF_MOVED)
        return EpochResult(
            self.epoch,
            train_loss,
            val.loss,
            val.accuracy,
            seconds,
            self.learning_rate,
            held_out_loss,
            correct / len(self.train) if correct >= 0 else None,
        )

    def _restore_random_state(self) -> None:
        """Restore the random state of dropout."""
        generator, state = _dropout_generator(self.device), self._random_state
        self._random_state = None
        if state is not None and len(state) == len(generator.get_state()):  # else it is that of another type of device
            generator.set_state(state)


def _dropout_generator(device: torch.device) -> torch.Generator:
    """Return the random generator of dropout on a device."""
    return torch.cuda.default_generators[device.index or 0] if device.type == "cuda" else torch.default_generator


@torch.inference_mode()
def evaluate(model: nn.Module, digits: Digits, loss: str = "cross_entropy", group: Group = ALONE) -> Evaluation:
    """Evaluate `model` on `digits`, as means over the images; the mode of the model is restored.

    The digits are divided among the processes of a `group`; each returns the result over all of them.
    """
    was_training = model.training
    model.eval()
    device = digits.labels.device
    total, errors = torch.zeros((), device=device), torch.zeros((), dtype=torch.int64, device=device)
    for batch in digits[group.rank :: group.size].batches(BATCH):
        logits = model(batch.images)
        total += loss_of(logits, batch.labels, loss)
        errors += (logits.argmax(dim=1) != batch.labels).sum()
    model.train(was_training)
    return Evaluation(group.sum(total).item() / len(digits), int(group.sum(errors).item()), len(digits))
