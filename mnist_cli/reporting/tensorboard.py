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
from tensorboardX import SummaryWriter, summary
from tensorboardX.proto.summary_pb2 import Summary
from torch.nn import functional

from mnist_cli.arrays import CLASSES
from mnist_cli.errors import first_line
from mnist_cli.evaluation import metrics
from mnist_cli.models import architectures, layers
from mnist_cli.reporting import figures
from mnist_cli.results import EpochResult
from mnist_cli.training.loop import Trainer

BINS = 64  # of a histogram, all of one width: the default of 1,500 unequal ones takes ten times as long
SHEET = 8  # images along each side of the sheet of training images
EMBEDDED = 1_000  # val images in the projector
# Charts with several curves, on the page of custom scalars. The tags of the curves begin with numbers, since TensorBoard
# sorts by them: what one came for comes first.
CHARTS = {
    "training": {
        "loss": ["Multiline", ["1 loss/train", "1 loss/val", "1 loss/held-out"]],
        "accuracy": ["Multiline", ["2 accuracy/train", "2 accuracy/val"]],
    }
}


class Board:
    """The TensorBoard log of one run."""

    def __init__(self, log_dir: Path, trainer: Trainer) -> None:
        """Write below `log_dir` what `trainer` does."""
        self.trainer = trainer
        shapes = {name: tuple(tensor.shape) for name, tensor in trainer.model.state_dict().items()}
        self.layers = layers.describe(shapes)
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
        """Show some images as training sees them, side by side, and put the curves that belong together in one chart."""
        self.writer.add_custom_scalars(CHARTS)
        images = self.trainer.augmented(SHEET**2)
        rows = functional.pad(images, (0, 0, 0, 0, 0, 0, 0, SHEET**2 - len(images))).reshape(SHEET, SHEET, 28, 28)
        sheet = rows.permute(0, 2, 1, 3).reshape(1, SHEET * 28, SHEET * 28)
        self.writer.add_image("training_images", sheet.cpu().numpy(), self.trainer.epoch)

    def epoch(self, result: EpochResult) -> None:
        """Add a point to each curve."""
        values = {
            "1 loss/train": result.train_loss,
            "1 loss/val": result.val_loss,
            "1 loss/held-out": result.held_out_loss,
            "2 accuracy/train": result.train_accuracy,
            "2 accuracy/val": result.val_accuracy,
            "3 learning rate/learning rate": result.learning_rate,
        }
        for tag, value in values.items():
            if value is not None:
                self._scalar(tag, value, result.epoch)
        self._layers(result.epoch)
        self.writer.flush()

    def finish(self) -> str | None:
        """Add what the finished model makes of the val images, and the run to the table of hyperparameters.

        Returns why the drawing of the network is missing, where it is.
        """
        epoch = self.trainer.epoch
        predictions = metrics.predict(self.trainer.model, *self.trainer.val.arrays())
        pictures = {
            "confusion_matrix": figures.confusion_matrix(predictions),
            "mistakes": figures.gallery(predictions, self.trainer.val.images[:, 0].cpu().numpy()),
            "reliability": figures.reliability(predictions),
        }
        for name, figure in pictures.items():
            self.writer.add_image(f"val/{name}", _pixels(figure), epoch, dataformats="HWC")
        for digit in range(CLASSES):
            self.writer.add_pr_curve(
                f"digit/{digit}", predictions.labels == digit, predictions.probabilities[:, digit], epoch
            )
        self._embedding(epoch)
        self._hyperparameters(self.trainer.results)
        return self._graph()

    def _layers(self, epoch: int) -> None:
        """Record each layer's weights and the gradient of the last step: a vanishing gradient shows here."""
        for name, parameter in self.trainer.model.named_parameters():
            layer = layers.name_of(name, self.layers)
            values = {"gradient": parameter.grad, "weight": parameter.detach()}
            for number, (kind, tensor) in enumerate(values.items(), 4):
                if tensor is not None:
                    self._scalar(f"{number} {kind} norm/{layer}", tensor.norm().item(), epoch)
                    drawn = summary.histogram("values", tensor.cpu().numpy(), bins=BINS)
                    self._add(f"{number} {kind}s/{layer}", drawn, epoch)

    def _scalar(self, tag: str, value: float, epoch: int) -> None:
        self._add(tag, summary.scalar("value", value), epoch)

    def _add(self, tag: str, content: Summary, epoch: int) -> None:
        """Log what one step has to show, under a tag with spaces, which tensorboardX would replace."""
        content.value[0].tag = tag
        self.writer.file_writer.add_summary(content, epoch)

    def _embedding(self, epoch: int) -> None:
        """Add the activations of the last hidden layer for some val images to the projector, with the images as points."""
        some = self.trainer.val[:EMBEDDED]
        with torch.inference_mode():
            features = self.trainer.model.eval().features(some.images)
        sprites = 1 - some.images.float().cpu() / 255
        self.writer.add_embedding(
            features.float().cpu().numpy(), some.labels.tolist(), sprites, epoch, tag="last_hidden_layer"
        )

    def _graph(self) -> str | None:
        """Add the graph of the network; returns the reason when that is not possible.

        A copy of the network, since torch can trace neither a compiled one nor one with hooks.
        """
        if find_spec("tensorboard") is None:  # which tensorboardX needs for it
            return None
        model = self.trainer.model
        copied = architectures.build(model.name, **model.arguments)
        copied.load_state_dict(model.state_dict())
        try:  # it depends on insides of torch, some of them deprecated, and a run must not fail for a drawing
            with warnings.catch_warnings(action="ignore"):
                self.writer.add_graph(copied.eval(), self.trainer.val.images[:1].cpu())
        except Exception as error:  # noqa: BLE001  (torch raises a dozen kinds)
            return f"TensorBoard has no drawing of the network: {first_line(error)}"
        return None

    def _hyperparameters(self, results: Sequence[EpochResult]) -> None:
        """Add the run to the table of hyperparameters: within this run, where `add_hparams` would begin another one."""
        config = self.trainer.config
        values = {name: value for name, value in vars(config).items() if isinstance(value, int | float | str)}
        scores = {"final/val_loss": results[-1].val_loss, "final/val_accuracy": results[-1].val_accuracy}
        for content in summary.hparams({**values, "hidden": str(config.hidden)}, scores):
            self.writer.file_writer.add_summary(content)
        for tag, score in scores.items():
            self._scalar(tag, score, self.trainer.epoch)


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
