"""The report of a training run: rows and a progress bar on the terminal; a table, figures and a log in its folder."""

import csv
import io
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, fields
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from mnist_cli.files import replacing
from mnist_cli.reporting.tensorboard import Board
from mnist_cli.results import EpochResult, percent
from mnist_cli.training.loop import Trainer

HEADINGS = ("epoch", "train loss", "train acc.", "val loss", "val accuracy", "seconds")
HELD_OUT_HEADING = "held-out loss"  # the last column of a run that holds images out


class ImagesPerSecond(ProgressColumn):
    """The speed of training."""

    def render(self, task: Task) -> Text:
        """Return for example `57,000 images/s`."""
        return Text(f"{task.speed or 0:,.0f} images/s", style="cyan")


class RunReport:
    """Shows a run in progress and writes its folder: metrics.csv, figures, TensorBoard; use it in a `with` block."""

    def __init__(self, log_dir: Path, trainer: Trainer, quiet: bool = False) -> None:
        """Report on the remaining epochs of `trainer`; `quiet` writes the folder and prints nothing."""
        self.log_dir, self.trainer = log_dir, trainer
        self.epochs, images = trainer.config.epochs, len(trainer.train)
        self.console = Console(stderr=True, quiet=quiet)
        self.bar = Progress(
            TextColumn("[bold]epoch {task.fields[epoch]}/{task.fields[epochs]}"),
            BarColumn(bar_width=None),
            ImagesPerSecond(),
            TimeRemainingColumn(),
            console=self.console,
            refresh_per_second=5,
            transient=True,
            disable=quiet or not self.console.is_terminal,  # a pipe gets only the rows
        )
        self.task = self.bar.add_task(
            "train",
            total=self.epochs * images,
            completed=trainer.epoch * images,
            epoch=trainer.epoch + 1,
            epochs=self.epochs,
        )

    def __enter__(self) -> Self:
        self.board = Board(self.log_dir, self.trainer)
        self.bar.start()
        self.headings = (*HEADINGS, HELD_OUT_HEADING) if self.trainer.held_out else HEADINGS
        self.console.print("  ".join(self.headings), style="bold", highlight=False, soft_wrap=True)
        self.board.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.bar.stop()
        try:
            if self.trainer.results:
                with self._status("Drawing the curves"):
                    self._draw_curves()
        finally:
            self.board.close()

    def advance(self, images: int) -> None:
        """Note that `images` more images have been trained on."""
        self.bar.advance(self.task, images)

    def epoch(self, result: EpochResult) -> None:
        """Add a row to the tables and a point to each curve."""
        self._row(result)
        write_metrics(self.log_dir / "metrics.csv", self.trainer.results)
        self.board.epoch(result)

    def finish(self) -> None:
        """Log the predictions of the finished model for the val images."""
        self.bar.stop()
        with self._status("Measuring the model for TensorBoard"):
            missing = self.board.finish()
        if missing:
            self.console.print(missing, highlight=False, markup=False, soft_wrap=True)

    def _status(self, what: str) -> AbstractContextManager[object]:
        """Show the current work, on a terminal only."""
        return self.console.status(f"{what} …") if self.console.is_terminal else nullcontext()

    def _draw_curves(self) -> None:
        from mnist_cli.reporting import figures

        figures.save(figures.losses(self.trainer.results, self.trainer.config), self.log_dir / "loss.png")
        figures.save(figures.accuracies(self.trainer.results, self.trainer.config), self.log_dir / "accuracy.png")

    def _row(self, result: EpochResult) -> None:
        cells = (
            f"{result.epoch}/{self.epochs}",
            f"{result.train_loss:.4f}",
            "" if result.train_accuracy is None else percent(result.train_accuracy),
            f"{result.val_loss:.4f}",
            percent(result.val_accuracy),
            f"{result.seconds:.1f}",
            "" if result.held_out_loss is None else f"{result.held_out_loss:.4f}",
        )
        row = "  ".join(cell.rjust(len(heading)) for cell, heading in zip(cells, self.headings, strict=False))
        self.console.print(row, highlight=False, soft_wrap=True)
        self.bar.update(self.task, epoch=min(result.epoch + 1, self.epochs))


def write_metrics(path: Path, results: list[EpochResult]) -> None:
    """Write a table with a row for each epoch; its columns are the fields of EpochResult."""
    text = io.StringIO()
    table = csv.DictWriter(text, [field.name for field in fields(EpochResult)], lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(result) for result in results)
    with replacing(path) as file:
        file.write(text.getvalue().encode())
