"""What one sees of a training run: rows and a bar on the terminal, curves in TensorBoard."""

from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text
from tensorboardX import SummaryWriter

from mnist_cli.training import EpochResult

HEADINGS = ("epoch", "train loss", "val loss", "val accuracy", "seconds")


class ImagesPerSecond(ProgressColumn):
    """The speed of training."""

    def render(self, task: Task) -> Text:
        """Return for example `57,000 images/s`."""
        return Text(f"{task.speed or 0:,.0f} images/s", style="cyan")


class RunReport:
    """Shows a run while it goes on and keeps its TensorBoard log; use it in a `with` block."""

    def __init__(self, run_dir: Path, epochs: int, images: int) -> None:
        """Report on `epochs` passes over `images` images."""
        self.epochs = epochs
        self.console = Console(stderr=True)
        self.board = SummaryWriter(str(run_dir))
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
        self.task = self.bar.add_task("train", total=epochs * images, epoch=1, epochs=epochs)

    def __enter__(self) -> Self:
        self.bar.start()
        self.console.print("  ".join(HEADINGS), style="bold", highlight=False, soft_wrap=True)
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
        cells = (
            f"{result.epoch}/{self.epochs}",
            f"{result.train_loss:.4f}",
            f"{result.val_loss:.4f}",
            f"{result.val_accuracy:.2%}".replace("%", " %"),
            f"{result.seconds:.1f}",
        )
        row = "  ".join(cell.rjust(len(heading)) for cell, heading in zip(cells, HEADINGS, strict=True))
        self.console.print(row, highlight=False, soft_wrap=True)
        self.bar.update(self.task, epoch=min(result.epoch + 1, self.epochs))
        self.board.add_scalar("train_loss", result.train_loss, result.epoch)
        self.board.add_scalar("val_loss", result.val_loss, result.epoch)
        self.board.add_scalar("val_accuracy", result.val_accuracy, result.epoch)
        self.board.add_scalars("loss", {"train": result.train_loss, "valid": result.val_loss}, result.epoch)
        self.board.flush()
