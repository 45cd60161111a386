"""A training step: the gradient of the loss of a batch, and the update of the weights."""

import inspect
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor, nn

from mnist_cli.config import TrainConfig
from mnist_cli.datasets.dataset import Digits
from mnist_cli.models.architectures import Classifier
from mnist_cli.training.backpropagation import Backpropagation
from mnist_cli.training.cuda_graph import GraphedStep
from mnist_cli.training.distributed import ALONE, Group
from mnist_cli.training.losses import loss_of, soft_targets
from mnist_cli.training.optimizers import make_optimizer, set_learning_rate
from mnist_cli.training.parameters import ParameterGroups

FULLY_CONNECTED = {"linear", "mlp"}
# The format of the operands of matrix products, by precision; None for that of the weights.
OPERANDS = {"fp32": None, "bf16": torch.bfloat16}


class TrainingStep:
    """Trains a model on one batch per call, and accumulates the loss and the number of correctly classified images.

    The sums stay on the device, since reading a number at every step would synchronize with the GPU. They are those of
    this process.
    """

    def __init__(
        self,
        model: Classifier,
        config: TrainConfig,
        example: Digits,
        group: Group = ALONE,
        teacher: Classifier | None = None,
    ) -> None:
        """Prepare to train `model` in place on batches like `example`, on its device, where the `teacher` is, too."""
        self.model, self.config, self.group, self.teacher = model, config, group, teacher
        self.device = example.labels.device
        # Autograd differentiates any network on any device; explicit backpropagation is faster where it applies.
        plain = not config.compile and self.device.type == "cpu"
        is_explicit = plain and model.name in FULLY_CONNECTED and isinstance(model.layers[-1], nn.Linear)
        self.parameters = ParameterGroups(model, flat=is_explicit)
        self.differentiate = (
            Backpropagation(model, config.loss, config.label_smoothing, OPERANDS[config.precision])
            if is_explicit
            else self._autograd
        )
        self.optimizer = make_optimizer(self.parameters, config)
        # `step` without torch's wrappers, which import the compiler and open a profiler range at every call.
        self._update = inspect.unwrap(type(self.optimizer).step)
        if config.compile:
            model.compile()
        self.loss_sum = torch.zeros((), device=self.device)
        self.correct = torch.zeros((), dtype=torch.int64, device=self.device)
        self._static_batch = Digits(
            example.images.clone(), example.labels.clone()
        )  # the static input of the captured graph
        self._captured = GraphedStep(lambda: self._learn(self._static_batch, config.batch_size))
        self.captures = self.device.type == "cuda" and group.size == 1 and not config.compile

    def __call__(self, batch: Digits, images: int, learning_rate: float) -> None:
        """Update the weights with the gradient of the mean loss over the `images` of all processes."""
        set_learning_rate(self.optimizer, learning_rate)
        if self.captures and len(batch) == len(self._static_batch) == self.config.batch_size:
            self._static_batch.images.copy_(batch.images)
            self._static_batch.labels.copy_(batch.labels)
            self._captured()
        else:
            self._learn(batch, images)

    def reset_sums(self) -> None:
        """Reset the sums."""
        self.loss_sum.zero_()
        self.correct.zero_()

    def synchronize_statistics(self) -> None:
        """Average the statistics of batch norm over the processes."""
        if self.group.size > 1:
            named = self.model.named_buffers()
            running = [tensor for name, tensor in named if name.endswith(("running_mean", "running_var"))]
            for statistics in running:
                statistics /= self.group.size
            self.group.sum_all(running)

    def _learn(self, batch: Digits, images: int) -> None:
        """Compute a step entirely on the device."""
        loss, logits = self.differentiate(batch.images, self._targets(batch), 1 / images)
        if self.group.size > 1:
            self.group.sum_all(self.parameters.gradients)
        if self.config.gradient_clip:
            nn.utils.clip_grad_norm_(self.parameters.tensors, self.config.gradient_clip)
        with torch.no_grad():
            self._update(self.optimizer)
        self.loss_sum += loss
        self.correct += (logits.argmax(dim=1) == batch.labels).sum()

    def _targets(self, batch: Digits) -> Tensor:
        """Return the labels of a batch, (N,), or the target probabilities, (N, classes), where there is a teacher."""
        if self.teacher is None:
            return batch.labels
        with torch.no_grad(), self._precision():
            logits = self.teacher(batch.images)
        return soft_targets(batch.labels, logits.float())

    def _autograd(self, images: Tensor, labels: Tensor, scale: float) -> tuple[Tensor, Tensor]:
        """Do what Backpropagation does, with autograd."""
        self.model.zero_grad()
        with self._precision():
            logits = self.model(images)
        loss = loss_of(logits.float(), labels, self.config.loss, self.config.label_smoothing)
        (loss * scale).backward()
        return loss.detach(), logits.detach()

    def _precision(self) -> AbstractContextManager[object]:
        """Return the autocast context of the forward pass."""
        if self.config.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()
