"""The TensorBoard log of a run: its curves, its layers, and at the end the predictions for the val images."""

import math
import socket
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from tensorboardX import embedding, summary
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.record_writer import RecordWriter
from torch.nn import functional

from mnist_cli.errors import first_line
from mnist_cli.evaluation import metrics
from mnist_cli.labels import digit_in
from mnist_cli.models import architectures, layers
from mnist_cli.reporting import figures
from mnist_cli.results import EpochResult
from mnist_cli.training.loop import Trainer

BINS = 64  # of a histogram, of equal width: the default of 1,500 unequal ones takes ten times as long
SHEET = 8  # images along each side of the sheet of training images
EMBEDDED = 1_000  # val images in the projector
# Charts with several curves, on the page of custom scalars. The tags of the curves begin with numbers, by which TensorBoard
# sorts them: the most important ones come first.
CHARTS = {
    "training": {
        "loss": ["Multiline", ["1 loss/train", "1 loss/val", "1 loss/held-out"]],
        "accuracy": ["Multiline", ["2 accuracy/train", "2 accuracy/val"]],
    }
}


class EventFile:
    """The file that TensorBoard reads.

    Errors of the disk, such as a full one, are ignored here: metrics.csv is on the same disk, and its error is reported.
    The thread of tensorboardX's own writer would end with a traceback.
    """

    def __init__(self, folder: Path) -> None:
        """Begin a file in `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        # TensorBoard finds and sorts the file by this name.
        name = f"events.out.tfevents.{time.time():.0f}.{socket.gethostname()}"
        self.records = RecordWriter(str(folder / name))
        self.add(Event(file_version="brain.Event:2", wall_time=time.time()))

    def add(self, event: Event) -> None:
        """Write an event."""
        with suppress(OSError):
            self.records.write(event.SerializeToString())

    def flush(self) -> None:
        """Make what was written visible to readers."""
        with suppress(OSError):
            self.records.flush()

    def close(self) -> None:
        """Write what is left."""
        with suppress(OSError):
            self.records.close()


class Board:
    """The TensorBoard log of one run."""

    def __init__(self, log_dir: Path, trainer: Trainer) -> None:
        """Begin the log of `trainer` in `log_dir`."""
        self.log_dir, self.trainer = log_dir, trainer
        shapes = {name: tuple(tensor.shape) for name, tensor in trainer.model.state_dict().items()}
        self.layers = layers.describe(shapes)
        self.file = EventFile(log_dir)

    def close(self) -> None:
        """Write what is left."""
        self.file.close()

    def begin(self) -> None:
        """Log some augmented training images, and the layout of the charts with several curves."""
        self._add(summary.custom_scalars(CHARTS))
        images = self.trainer.augmented(SHEET**2)
        rows = functional.pad(images, (0, 0, 0, 0, 0, 0, 0, SHEET**2 - len(images))).reshape(SHEET, SHEET, 28, 28)
        sheet = rows.permute(0, 2, 1, 3).reshape(1, SHEET * 28, SHEET * 28)
        self._add(summary.image("training_images", sheet.cpu().numpy()), self.trainer.epoch)

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
        self.file.flush()

    def finish(self) -> str | None:
        """Log the predictions of the finished model for the val images, the hyperparameters and the graph of the network.

        Returns None, or the reason why there is no graph.
        """
        epoch = self.trainer.epoch
        predictions = metrics.predict(self.trainer.model, *self.trainer.val.arrays())
        pictures = {
            "confusion_matrix": figures.confusion_matrix(predictions),
            "mistakes": figures.gallery(predictions, self.trainer.val.images[:, 0].cpu().numpy()),
            "reliability": figures.reliability(predictions),
        }
        for name, figure in pictures.items():
            self._add(summary.image(f"val/{name}", _pixels(figure), dataformats="HWC"), epoch)
        for index, name in enumerate(predictions.names):
            tag = f"{'class' if digit_in(name) is None else 'digit'}/{name}"
            curve = summary.pr_curve(tag, predictions.labels == index, predictions.probabilities[:, index])
            self._add(curve, epoch)
        self._embedding(epoch)
        self._hyperparameters(self.trainer.results)
        return self._graph()

    def _layers(self, epoch: int) -> None:
        """Log each layer's weights and the gradient of the last step, in which a vanishing gradient is visible."""
        for name, parameter in self.trainer.model.named_parameters():
            layer = layers.name_of(name, self.layers)
            values = {"gradient": parameter.grad, "weight": parameter.detach()}
            for number, (kind, tensor) in enumerate(values.items(), 4):
                if tensor is not None:
                    self._scalar(f"{number} {kind} norm/{layer}", tensor.norm().item(), epoch)
                    drawn = summary.histogram("values", tensor.cpu().numpy(), bins=BINS)
                    self._add_tagged(f"{number} {kind}s/{layer}", drawn, epoch)

    def _scalar(self, tag: str, value: float, epoch: int) -> None:
        self._add_tagged(tag, summary.scalar("value", value), epoch)

    def _add_tagged(self, tag: str, content: Summary, epoch: int) -> None:
        """Log a summary under a tag with spaces, which tensorboardX would replace."""
        content.value[0].tag = tag
        self._add(content, epoch)

    def _add(self, content: Summary, epoch: int = 0) -> None:
        self.file.add(Event(summary=content, step=epoch, wall_time=time.time()))

    def _embedding(self, epoch: int) -> None:
        """Add the activations of the last hidden layer for some val images to the projector, with the images as sprites."""
        some = self.trainer.val[:EMBEDDED]
        with torch.inference_mode():
            features = self.trainer.model.eval().features(some.images)
        sprites = 1 - some.images.float().cpu() / 255
        subfolder = f"{epoch:05}/last_hidden_layer"
        folder = self.log_dir / subfolder
        folder.mkdir(parents=True, exist_ok=True)
        embedding.make_tsv(some.labels.tolist(), str(folder))
        # Without the images that complete a square, tensorboardX leaves what is in the memory there.
        missing = math.ceil(math.sqrt(len(sprites))) ** 2 - len(sprites)
        embedding.make_sprite(
            torch.cat([sprites, torch.ones_like(sprites[:1]).expand(missing, -1, -1, -1)]), str(folder)
        )
        # Four digits are enough for a projection, and take a fifth of the time of `embedding.make_mat`.
        np.savetxt(folder / "tensors.tsv", features.float().cpu().numpy(), "%.4g", "\t")
        embedding.append_pbtxt(some.labels, sprites, str(self.log_dir), subfolder, epoch, "last_hidden_layer")

    def _graph(self) -> str | None:
        """Add the graph of the network; returns the reason when that is not possible.

        A copy of the network, since torch can trace neither a compiled one nor one with hooks.
        """
        if find_spec("tensorboard") is None:  # torch needs it
            return None
        model = self.trainer.model
        copied = architectures.build(model.name, **model.arguments, classes=model.classes)
        copied.load_state_dict(model.state_dict())
        try:  # this uses internals of torch, some of them deprecated, and a run must not fail because of them
            from torch.utils.tensorboard._pytorch_graph import graph

            image = self.trainer.val.images[:1].cpu()
            with warnings.catch_warnings(action="ignore"):
                # Traced here, since `graph` would check the trace, for which torch imports its distributed tensors.
                traced = torch.jit.trace(copied.eval(), image, check_trace=False)
                drawn, _ = graph(traced, image)
        except Exception as error:  # noqa: BLE001  (torch raises a dozen kinds)
            return f"TensorBoard has no graph of the network: {first_line(error)}"
        self.file.add(Event(graph_def=drawn.SerializeToString(), wall_time=time.time()))
        return None

    def _hyperparameters(self, results: Sequence[EpochResult]) -> None:
        """Add the run to the table of hyperparameters, in its own folder (`add_hparams` would create another one)."""
        config = self.trainer.config
        values = {name: value for name, value in vars(config).items() if isinstance(value, int | float | str)}
        scores = {"final/val_loss": results[-1].val_loss, "final/val_accuracy": results[-1].val_accuracy}
        for content in summary.hparams({**values, "hidden": str(config.hidden)}, scores):
            self._add(content)
        for tag, score in scores.items():
            self._scalar(tag, score, self.trainer.epoch)


def _pixels(figure: Figure) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return a figure as uint8 (height, width, 3)."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3]
