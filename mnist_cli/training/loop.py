"""Learning and measuring: loops over tensors, no files and no output."""

import inspect
import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from mnist_cli.config import TrainConfig
from mnist_cli.datasets.dataset import Digits
from mnist_cli.errors import DivergenceError
from mnist_cli.models.architectures import Classifier
from mnist_cli.models.checkpoints import is_whole
from mnist_cli.models.interface import BATCH
from mnist_cli.results import EpochResult, Evaluation
from mnist_cli.training.augmentation import Augmenter
from mnist_cli.training.calibration import fit_temperature
from mnist_cli.training.cuda_graph import GraphedStep
from mnist_cli.training.distributed import Group
from mnist_cli.training.losses import loss_of
from mnist_cli.training.optimizers import KEPT, make_optimizer, step_size

AUGMENTED_AT_ONCE = 2_048  # images, at least; so many share the cost of starting each operation
ALONE = Group()


def ignore(images: int) -> None:
    """Be told of progress and do nothing."""


class Trainer:
    """One training run: the model, its optimizer, and how far they have come.

    Everything random follows from the seed, the epoch's number and the place in the epoch, so a run that was stopped,
    even inside an epoch, goes on from `state_dict` to the very weights that it would have reached.
    """

    def __init__(
        self,
        model: Classifier,
        train: Digits,
        val: Digits,
        config: TrainConfig,
        held_out: Digits | None = None,
        group: Group = ALONE,
    ) -> None:
        """Prepare to train `model` in place; model and digits are on the same device.

        Each process of a `group` has all the digits and works on its share of every batch.
        """
        self.group = group
        self.model, self.train, self.val, self.config, self.held_out = model, train, val, config, held_out
        self.device = train.labels.device
        self.optimizer = make_optimizer(model, config)
        # `step` without torch's wrappers, which import the compiler and open a range for the profiler at every call.
        self._update = inspect.unwrap(type(self.optimizer).step)
        self.augment: Callable[[Tensor, torch.Generator], Tensor] = Augmenter(config.augment, self.device)
        self.network = group.wrap(model)
        if config.compile:
            self.network.compile()
        self.results: list[EpochResult] = []  # of the finished epochs
        self.epoch = 0  # finished epochs
        self.batch = 0  # finished batches of the epoch that was begun
        self.stopping = False
        self.learning_rate = 0.0  # of the last step
        # Summed on the device: asking for a number at every step would wait for the GPU each time.
        self.loss_sum = torch.zeros((), device=self.device)
        self.correct = torch.zeros((), dtype=torch.int64, device=self.device)  # images of the epoch classified right
        self._random_state: Tensor | None = None
        first = train[: config.batch_size]
        self._slot = Digits(first.images.clone(), first.labels.clone())  # the batch that a captured step reads
        self._captured_step = GraphedStep(lambda: self._learn(self._slot, config.batch_size))
        self._capturing = self.device.type == "cuda" and group.size == 1 and not config.compile

    def epochs(self, progress: Callable[[int], object] = ignore) -> Iterator[EpochResult]:
        """Train the remaining epochs, pausing after each, with `progress` called with the images of every batch.

        While paused, the model holds that epoch's weights: save them before asking for the next result. After `stop`
        the iteration ends, perhaps inside an epoch. Raises DivergenceError when the loss is no longer a number.
        """
        while self.epoch < self.config.epochs and not self.has_lost_patience():
            start = time.perf_counter()
            self.train_epoch(progress)
            if self.stopping:
                return
            train_loss = self.group.sum(self.loss_sum).item() / len(self.train)
            train_accuracy = self.group.sum(self.correct).item() / len(self.train)
            seconds = time.perf_counter() - start
            if not math.isfinite(train_loss):
                raise DivergenceError(
                    f"the loss became {train_loss} in epoch {self.epoch + 1}; try a smaller --learning-rate"
                )
            self.epoch, self.batch, self._random_state = self.epoch + 1, 0, None
            self.loss_sum.zero_()
            self.correct.zero_()
            val = evaluate(self.model, self.val, self.config.loss, self.group)
            held_out = None
            if self.held_out:
                held_out = evaluate(self.model, self.held_out, self.config.loss, self.group).loss
                fit_temperature(self.model, self.held_out)
            self.results.append(
                EpochResult(
                    self.epoch,
                    train_loss,
                    val.loss,
                    val.accuracy,
                    seconds,
                    self.learning_rate,
                    held_out,
                    train_accuracy if train_accuracy >= 0 else None,
                )
            )
            yield self.results[-1]

    def best(self) -> EpochResult | None:
        """Return the first epoch with the lowest held-out loss; without held-out images none is best."""
        losses = [result.held_out_loss for result in self.results if result.held_out_loss is not None]
        return self.results[losses.index(min(losses))] if losses else None

    def has_lost_patience(self) -> bool:
        """Say whether the held-out loss was last improved `patience` epochs ago or earlier."""
        best = self.best()
        return bool(self.config.patience and best and self.epoch - best.epoch >= self.config.patience)

    def stop(self) -> None:
        """Let the iteration of `epochs` end after the step that is under way."""
        self.stopping = True

    @property
    def is_stopped(self) -> bool:
        """Whether `stop` came before the end: while the last epoch is being measured it stops nothing any more."""
        return self.stopping and self.epoch < self.config.epochs

    def train_epoch(self, progress: Callable[[int], object] = ignore) -> None:
        """Train once over all images in a new order, or over the rest of an epoch that was begun."""
        self.model.train()
        self.model.temperature.fill_(1.0)  # so that the losses of all epochs can be compared
        size, done = self.config.batch_size, self.batch
        steps = math.ceil(len(self.train) / size)
        for number, (batch, images) in enumerate(self._batches()):
            if number < done:
                continue  # trained on before the run was stopped
            if number == done:
                self._restore_random_state()
            self.learning_rate = step_size(self.config, (self.epoch * steps + number) / (self.config.epochs * steps))
            self._step(batch, images)
            self.batch += 1
            progress(images)
            self.stopping = self.group.any(self.stopping)
            if self.stopping:
                self._random_state = self._random_numbers().get_state()
                self.group.sum(self.loss_sum)
                self.group.sum(self.correct)
                return

    def augmented(self, count: int) -> Tensor:
        """Return `count` training images as the network sees them, uint8 (N, 1, 28, 28)."""
        return self.augment(self.train.images[:count], torch.Generator(self.device).manual_seed(self.config.seed))

    def _batches(self) -> Iterator[tuple[Digits, int]]:
        """Yield the batches of this epoch, shuffled and augmented, and how many images each has in the whole group.

        The batches are the same ones each time they are asked for.
        """
        seed = (self.config.seed << 20) + self.epoch
        mine = (seed << 12) + self.group.rank  # no two processes augment or silence alike
        torch.manual_seed(mine)  # what dropout draws from
        order = torch.Generator().manual_seed(seed)
        amounts = torch.Generator(self.device).manual_seed(mine)
        size = self.config.batch_size
        for some in self.train.shuffled(order).batches(size * max(1, AUGMENTED_AT_ONCE // size)):
            shares = [
                torch.arange(start + self.group.rank, min(start + size, len(some)), self.group.size)
                for start in range(0, len(some), size)
            ]
            share = some if self.group.size == 1 else some[torch.cat(shares).to(self.device)]
            images = self.augment(share.images, amounts)
            start = 0
            for number, indices in enumerate(shares):
                part = slice(start, start + len(indices))
                start += len(indices)
                yield Digits(images[part], share.labels[part]), min(size, len(some) - number * size)

    def _step(self, batch: Digits, images: int) -> None:
        """Move the weights once along the gradient of the mean loss over the `images` that the group has together."""
        for group in self.optimizer.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(self.learning_rate)
            else:
                group["lr"] = self.learning_rate
        if self._capturing and len(batch) == len(self._slot) == self.config.batch_size:
            self._slot.images.copy_(batch.images)
            self._slot.labels.copy_(batch.labels)
            self._captured_step()
        else:
            self._learn(batch, images)

    def _learn(self, batch: Digits, images: int) -> None:
        """Do the arithmetic of a step, all of it on the device."""
        self.model.zero_grad()
        with self._precision():
            logits = self.network(batch.images)
        loss = loss_of(logits.float(), batch.labels, self.config.loss, self.config.label_smoothing)
        (loss * (self.group.size / images)).backward()  # the group takes the mean of its gradients
        if self.config.gradient_clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.gradient_clip)
        with torch.no_grad():
            self._update(self.optimizer)
        self.loss_sum += loss.detach()
        self.correct += (logits.argmax(dim=1) == batch.labels).sum()

    def _precision(self) -> AbstractContextManager[object]:
        if self.config.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()

    def _random_numbers(self) -> torch.Generator:
        """Return what dropout draws from on this device."""
        if self.device.type == "cuda":
            return torch.cuda.default_generators[self.device.index or 0]
        return torch.default_generator

    def _restore_random_state(self) -> None:
        generator, state = self._random_numbers(), self._random_state
        self._random_state = None
        if state is not None and len(state) == len(generator.get_state()):  # else it is that of another kind of device
            generator.set_state(state)

    def state_dict(self) -> dict[str, Any]:
        """Return what going on needs beside the model's weights: plain values and tensors."""
        return {
            "epoch": self.epoch,
            "batch": self.batch,
            "loss_sum": self.loss_sum,
            "correct": self.correct,
            "random_state": self._random_state,
            "optimizer": self.optimizer.state_dict(),
        }

    def _check_optimizer_state(self, state: dict[int, dict[str, Tensor | None]]) -> None:
        """Raise an error unless `state` is what the optimizer remembers of each parameter, by its number."""
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        for number, values in dict(state).items():
            if not values.keys() >= KEPT[self.config.optimizer]:
                raise ValueError(f"the state of its {self.config.optimizer} lacks something")
            for name, value in values.items():
                if value is None and name not in KEPT[self.config.optimizer]:
                    continue
                shape = torch.Size() if name == "step" else parameters[number].shape
                if value is None or value.shape != shape or not value.is_floating_point() or not is_whole(value):
                    raise ValueError(f"the {name} of its {self.config.optimizer} is not that of its parameters")

    def load_state_dict(self, state: dict[str, Any], results: list[EpochResult]) -> None:
        """Go on from where `state_dict` was taken after `results`; the model has its weights already.

        Raises ValueError or what Python does when it was not taken from such a trainer.
        """
        if not isinstance(state, dict) or not isinstance(state["optimizer"], dict):
            raise TypeError("it says nothing of its training")
        epoch, batch, loss_sum, random_state = (state[key] for key in ("epoch", "batch", "loss_sum", "random_state"))
        steps = math.ceil(len(self.train) / self.config.batch_size)
        if not (type(epoch) is type(batch) is int and epoch == len(results) and 0 <= batch <= steps):
            raise ValueError(f"it does not stand after {len(results)} epochs")
        if random_state is not None and random_state.dtype != torch.uint8:
            raise ValueError("its random numbers are none")
        self._check_optimizer_state(state["optimizer"]["state"])
        self.results = list(results)
        self.epoch, self.batch = epoch, batch
        self.loss_sum.copy_(loss_sum)
        # Below zero for the whole of an epoch that a version began which did not count them.
        self.correct.copy_(state.get("correct", torch.tensor(-len(self.train) - 1 if batch else 0)))
        self._random_state = random_state
        # The state alone: the settings beside it are those of the device that it was saved on.
        settings = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state["optimizer"]["state"], "param_groups": settings})
        if self.group.rank > 0:  # the state is that of the first process, which counts for all
            self._random_state = None
            self.loss_sum.zero_()
            self.correct.zero_()


@torch.inference_mode()
def evaluate(model: nn.Module, digits: Digits, loss: str = "cross_entropy", group: Group = ALONE) -> Evaluation:
    """Measure `model` on `digits`, image by image whatever the batches, and leave it in the mode it was in.

    The processes of a `group` share the digits out; each gets the result of all.
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
