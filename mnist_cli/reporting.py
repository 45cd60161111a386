"""What one sees of a training run: rows and a bar on the terminal, curves in TensorBoard."""

from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text
from tensorboardX import SummaryWriter
from torch.nn import functional

from mnist_cli.training import EpochResult, Trainer

HEADINGS = ("epoch", "train loss", "val loss", "val accuracy", "seconds")
HELD_OUT_HEADING = "held-out loss"  # the last column of a run that holds images out
BINS = 64  # of a histogram, all of one width: the default of 1,500 unequal ones takes ten times as long
SHEET = 8  # images along each side of the sheet of training images


class ImagesPerSecond(ProgressColumn):
    """The speed of training."""

    def render(self, task: Task) -> Text:
        """Return for example `57,000 images/s`."""
        return Text(f"{task.speed or 0:,.0f} images/s", style="cyan")


class RunReport:
    """Shows a run while it goes on and keeps its TensorBoard log; use it in a `with` block."""

    def __init__(self, log_dir: Path, trainer: Trainer) -> None:
        """Report on the epochs that `trainer` has before it."""
        self.log_dir, self.trainer = log_dir, trainer
        self.epochs, images = trainer.config.epochs, len(trainer.train)
        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("[bold]epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(bar_width=None),
            ImagesPerSecond(),
            TimeRemainingColumn(),
            console=self.console,
            refresh_per_second=5,
            transient=True,
            disable=not self.console.is_terminal,  # a pipe gets the rows alone
        )
        self.task = self.bar.add_task(
            "train",
            total=self.epochs * images,
            completed=trainer.epoch * images,
            epoch=trainer.epoch + 1,
            epochs=self.epochs,
        )

    def __enter__(self) -> Self:
        self.board = SummaryWriter(str(self.log_dir))
        self.bar.start()
        self.headings = (*HEADINGS, HELD_OUT_HEADING) if self.trainer.held_out else HEADINGS
        self.console.print("  ".join(self.headings), style="bold", highlight=False, soft_wrap=True)
        self._training_images()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.bar.stop()
        self.board.close()

    def advance(self, images: int) -> None:
        """Note that `images` more images have been trained on."""
        self.bar.advance(self.task, images)

    def epoch(self, result: EpochResult) -> None:
        """Add a row to the table and a point to each curve."""
        self._row(result)
        add, epoch = self.board.add_scalar, result.epoch
        add("train_loss", result.train_loss, epoch)
        add("val_loss", result.val_loss, epoch)
        add("val_accuracy", result.val_accuracy, epoch)
        add("learning_rate", result.learning_rate, epoch)
        if result.held_out_loss is not None:
            add("held_out_loss", result.held_out_loss, epoch)
        self.board.add_scalars("loss", {"train": result.train_loss, "valid": result.val_loss}, epoch)
        self._layers(epoch)
        self.board.flush()

    def finish(self) -> None:
        """Put the run into the table of hyperparameters, with what it came to."""
        config, result = self.trainer.config, self.trainer.results[-1]
        values = {name: value for name, value in vars(config).items() if isinstance(value, int | float | str)}
        scores = {"final/val_loss": result.val_loss, "final/val_accuracy": result.val_accuracy}
        self.board.add_hparams({**values, "hidden": str(config.hidden)}, scores, name="hyperparameters")

    def _training_images(self) -> None:
        """Show some images as training sees them, side by side."""
        images = self.trainer.augmented(SHEET**2)
        rows = functional.pad(images, (0, 0, 0, 0, 0, 0, 0, SHEET**2 - len(images))).reshape(SHEET, SHEET, 28, 28)
        sheet = rows.permute(0, 2, 1, 3).reshape(1, SHEET * 28, SHEET * 28)
        self.board.add_image("training_images", sheet.cpu().numpy(), self.trainer.epoch)

    def _row(self, result: EpochResult) -> None:
        cells = (
            f"{result.epoch}/{self.epochs}",
            f"{result.train_loss:.4f}",
            f"{result.val_loss:.4f}",
            f"{100 * result.val_accuracy:.2f} %",
            f"{result.seconds:.1f}",
            "" if result.held_out_loss is None else f"{result.held_out_loss:.4f}",
        )
        row = "  ".join(cell.rjust(len(heading)) for cell, heading in zip(cells, self.headings, strict=False))
        self.console.print(row, highlight=False, soft_wrap=True)
        self.bar.update(self.task, epoch=min(result.epoch + 1, self.epochs))

    def _layers(self, epoch: int) -> None:
        """Record each layer's weights and the gradient of the last step: a vanishing gradient shows here."""
        for name, parameter in self.trainer.model.named_parameters():
            values = {"weights": parameter.detach(), "gradients": parameter.grad}
            for kind, tensor in values.items():
                if tensor is not None:
                    self.board.add_histogram(f"{kind}/{name}", tensor.cpu().numpy(), epoch, bins=BINS)
                    self.board.add_scalar(f"{kind}_norm/{name}", tensor.norm().item(), epoch)
