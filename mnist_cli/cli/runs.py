"""`mnist runs`: which runs there are, and a chart that compares some."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from mnist_cli.cli.console import any_name, columns, printable, say
from mnist_cli.config import CHECKPOINTS_DIR
from mnist_cli.errors import CheckpointError, ConfigError
from mnist_cli.models import checkpoint_info
from mnist_cli.models.checkpoint_info import Header
from mnist_cli.results import percent
from mnist_cli.training.runs import Run, find

HEADINGS = ("", "name", "model", "epochs", "val accuracy", "seconds", "saved", "size")
NAME = 1
NAMES = {NAME, 2}  # the columns that stand on the left
SPARED = (7, 6, 5, 2, 3)  # the columns that a narrow terminal does without, the first one first
NAME_WIDTH = 12  # characters of a name in a line at least, where names have to be folded
USED = "*"  # marks the run that `mnist predict` takes


@dataclass(frozen=True)
class Row:
    """A run, and what its checkpoints say of themselves, or why they do not."""

    run: Run
    is_used: bool
    last: Header | None = None  # of the last epoch
    result: Header | None = None  # of the epoch that the run ends with
    error: str | None = None

    @property
    def saved(self) -> datetime:
        """When the last epoch was saved, to the second."""
        return datetime.fromtimestamp(int(self.run.last_path.stat().st_mtime)).astimezone()

    @property
    def size(self) -> int:
        """The bytes of the checkpoint to use."""
        return self.run.result_path.stat().st_size


def runs(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME...]",
            help="Runs to show; all of them by default.",
            autocompletion=lambda: [run.name for run in find(CHECKPOINTS_DIR)],
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png", readable=False, help="Draw the val loss and accuracy of the runs in one chart."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """List the runs, the newest first, or compare some in one chart.

    The star marks the run that `mnist predict` uses unless told otherwise. The accuracy is that of the checkpoint to use:
    the best epoch's where the run held images out, else the last's.

    \b
      mnist runs
      mnist runs first second --plot compared.png
    """  # noqa: D301  (a backspace, which keeps the lines below it as they are)
    found = find(CHECKPOINTS_DIR)
    if not found:
        say(f"There are no runs in the folder {CHECKPOINTS_DIR} yet; `mnist train` makes one.")
    unknown = set(names or ()) - {run.name for run in found}
    if unknown:
        raise ConfigError(f"there is no run {min(unknown)!r} in the folder {CHECKPOINTS_DIR}; `mnist runs` lists them")
    rows = [_look_at(run, is_used=run is found[0]) for run in found if not names or run.name in names]
    any_name()
    if as_json:
        for row in rows:
            typer.echo(json.dumps(_values(row)))
    elif sys.stdout.isatty():
        _print_table(rows)
    elif rows:
        typer.echo(columns([HEADINGS, *map(_cells, rows)], left=NAMES))
    for row in rows:
        if row.error:
            say(row.error)
    if plot:
        _plot(rows, plot)


def _look_at(run: Run, is_used: bool) -> Row:
    try:
        return Row(run, is_used, checkpoint_info.read(run.last_path), checkpoint_info.read(run.result_path))
    except (CheckpointError, OSError) as error:
        return Row(run, is_used, error=str(error))


def _values(row: Row) -> dict[str, Any]:
    """Return what is known of a run, for JSON."""
    last, result = row.last, row.result
    return {
        "name": row.run.name,
        "checkpoint": str(row.run.result_path),
        "used": row.is_used,
        "model": result.model if result else None,
        "parameters": result.parameters if result else None,
        "epochs": last.epochs if last else None,
        "planned_epochs": last.config.epochs if last else None,
        "val_accuracy": result.val_accuracy if result else None,
        "seconds": last.seconds if last else None,
        "saved": row.saved.isoformat(),
        "size": row.size,
        "error": row.error,
    }


def _cells(row: Row) -> tuple[str, ...]:
    """Return what the columns of HEADINGS show of a run."""
    return (
        USED if row.is_used else "",
        printable(row.run.name),
        *_scores(row.last, row.result),
        f"{row.saved:%Y-%m-%d %H:%M}",
        f"{row.size / 1e6:.1f} MB",
    )


def _scores(last: Header | None, result: Header | None) -> tuple[str, str, str, str]:
    if last is None or result is None:
        return "unreadable", "", "", ""
    done, planned = last.epochs, last.config.epochs
    epochs = str(done) if done == planned else f"{done} of {planned}"
    accuracy = "" if result.val_accuracy is None else percent(result.val_accuracy)
    return result.model, epochs, accuracy, f"{last.seconds:,.0f}"


def _print_table(rows: list[Row]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    cells = [_cells(row) for row in rows]
    table = Table(box=SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0), pad_edge=False)
    places = _fitting(cells, console.width)
    for place in places:
        table.add_column(
            HEADINGS[place],
            justify="left" if place in NAMES else "right",
            overflow="fold",
            no_wrap=place != NAME,
        )
    for row, texts in zip(rows, cells, strict=True):
        style = "yellow" if row.error else "bold green" if row.is_used else ""
        table.add_row(*(Text(texts[place]) for place in places), style=style)
    if rows:
        console.print(table)
        say(f"{USED} is what `mnist predict` uses.")


def _fitting(cells: Sequence[Sequence[str]], width: int) -> list[int]:
    """Return which columns of HEADINGS a terminal of so many characters has room for."""
    widths = [max(map(len, column)) for column in zip(HEADINGS, *cells, strict=True)]
    widths[NAME] = min(widths[NAME], NAME_WIDTH)
    places = list(range(len(HEADINGS)))
    for place in SPARED:
        if sum(widths[kept] + 2 for kept in places) - 2 > width:
            places.remove(place)
    return places


def _plot(rows: list[Row], path: Path) -> None:
    """Draw the runs into one chart."""
    if path.suffix.lower() != ".png":
        raise ConfigError(f"the chart is a PNG file, so its name ends in .png, not {path.suffix!r}")

    from mnist_cli.reporting import figures

    curves = {row.run.name: row.last.metrics for row in rows if row.last and row.last.metrics}
    if not 1 <= len(curves) <= len(figures.COLOURS):
        raise ConfigError(
            f"a chart shows 1 to {len(figures.COLOURS)} runs that finished an epoch, and here are {len(curves)}; "
            f"name them as in `mnist runs first second --plot {path}`"
        )
    figures.save(figures.comparison(curves), path)
    say(f"{path} compares {len(curves)} runs." if len(curves) > 1 else f"{path} shows the run.")
