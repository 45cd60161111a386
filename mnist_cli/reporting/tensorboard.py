"""What TensorBoard shows of a run: its curves, its layers, and at the end what the model makes of the val images."""

import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tensorboardX import SummaryWriter
from torch.nn import functional

from mnist_cli.arrays import CLASSES
from mnist_cli.evaluation import metrics
from mnist_cli.reporting import figures
from mnist_cli.results import EpochResult
from mnist_cli.training.loop import Trainer

BINS = 64  # of a histogram, all of one width: the default of 1,500 unequal ones takes ten times as long
SHEET = 8  # images along each side of the sheet of training images
EMBEDDED = 1_000  # val images in the projector


class Board:
    """The TensorBoard log of one run."""

    def __init__(self, log_dir: Path, trainer: Trainer) -> None:
        """Write below `log_dir` what `trainer` does."""
        self.trainer = trainer
        self.writer = SummaryWriter(str(log_dir))
        # An error in its thread would end that with a traceback, and whoever logs more would wait for it for ever. The
        # disk is as full for metrics.csv, where it is told.
        events = self.writer._get_file_writer().event_writer._ev_writer
        for name in ("write_event", "flush", "close"):
            setattr(events, name, _without_os_errors(getattr(events, name)))

    def close(self) -> None:
        """Write what is left."""
        self.writer.close()

    def begin(self) -> None:
        """Show some images as training sees them, side by side."""
        images = self.trainer.augmented(SHEET**2)
        rows = functional.pad(images, (0, 0, 0, 0, 0, 0, 0, SHEET**2 - len(images))).reshape(SHEET, SHEET, 28, 28)
        sheet = rows.permute(0, 2, 1, 3).reshape(1, SHEET * 28, SHEET * 28)
        self.writer.add_image("training_images", sheet.cpu().numpy(), self.trainer.epoch)

    def epoch(self, result: EpochResult) -> None:
        """Add a point to each curve."""
        add, epoch = self.writer.add_scalar, result.epoch
        add("train_loss", result.train_loss, epoch)
        add("val_loss", result.val_loss, epoch)
        add("val_accuracy", result.val_accuracy, epoch)
        add("learning_rate", result.learning_rate, epoch)
        if result.held_out_loss is not None:
            add("held_out_loss", result.held_out_loss, epoch)
        self.writer.add_scalars("loss", {"train": result.train_loss, "valid": result.val_loss}, epoch)
        self._layers(epoch)
        self.writer.flush()

    def finish(self) -> None:
        """Add what the finished model makes of the val images, and the run to the table of hyperparameters."""
        epoch = self.trainer.epoch
        answers = metrics.predict(self.trainer.model, *self.trainer.val.arrays())
        pictures = {
            "confusion_matrix": figures.confusion_matrix(answers),
            "mistakes": figures.gallery(answers, self.trainer.val.images[:, 0].cpu().numpy()),
            "reliability": figures.reliability(answers),
        }
        for name, figure in pictures.items():
            self.writer.add_image(f"val/{name}", _pixels(figure), epoch, dataformats="HWC")
        for digit in range(CLASSES):
            self.writer.add_pr_curve(f"digit/{digit}", answers.labels == digit, answers.probabilities[:, digit], epoch)
        self._embedding(epoch)
        self._graph()
        self._hyperparameters(self.trainer.results)

    def _layers(self, epoch: int) -> None:
        """Record each layer's weights and the gradient of the last step: a vanishing gradient shows here."""
        for name, parameter in self.trainer.model.named_parameters():
            values = {"weights": parameter.detach(), "gradients": parameter.grad}
            for kind, tensor in values.items():
                if tensor is not None:
                    self.writer.add_histogram(f"{kind}/{name}", tensor.cpu().numpy(), epoch, bins=BINS)
                    self.writer.add_scalar(f"{kind}_norm/{name}", tensor.norm().item(), epoch)

    def _embedding(self, epoch: int) -> None:
        """Give the projector what the last layer sees of some val images, with the images to show as points."""
        some = self.trainer.val[:EMBEDDED]
        with torch.inference_mode():
            features = self.trainer.model.eval().features(some.images)
        sprites = 1 - some.images.float().cpu() / 255
        self.writer.add_embedding(
            features.float().cpu().numpy(), some.labels.tolist(), sprites, epoch, tag="last_hidden_layer"
        )

    def _graph(self) -> None:
        """Draw the network, where TensorBoard is installed: tensorboardX needs it for that."""
        if find_spec("tensorboard") is None:
            return
        # It depends on insides of torch, some of them deprecated, and a run must not fail for a drawing.
        with suppress(Exception), warnings.catch_warnings(action="ignore"):
            self.writer.add_graph(self.trainer.model.eval(), self.trainer.val.images[:1])

    def _hyperparameters(self, results: Sequence[EpochResult]) -> None:
        config = self.trainer.config
        values = {name: value for name, value in vars(config).items() if isinstance(value, int | float | str)}
        scores = {"final/val_loss": results[-1].val_loss, "final/val_accuracy": results[-1].val_accuracy}
        self.writer.add_hparams({**values, "hidden": str(config.hidden)}, scores, name="hyperparameters")


def _without_os_errors(function: Callable[..., object]) -> Callable[..., None]:
    def tried(*arguments: object) -> None:
        with suppress(OSError):
            function(*arguments)

    return tried


def _pixels(figure: Figure) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return a figure as uint8 (height, width, 3)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3]
