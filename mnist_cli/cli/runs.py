"""`mnist runs`: list runs, compare them in a table or a chart, remove them."""

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from mnist_cli.cli import seeds, tables
from mnist_cli.cli.console import CHECKPOINT, print_result, print_status
from mnist_cli.cli.usage import Command
from mnist_cli.config import CHECKPOINTS_DIR, RUNS_DIR, TrainConfig
from mnist_cli.errors import CheckpointError, ConfigError
from mnist_cli.models import checkpoint_info
from mnist_cli.models.checkpoint_info import Header
from mnist_cli.names import one_line, printable
from mnist_cli.results import percent
from mnist_cli.training import runs as training_runs
from mnist_cli.training.runs import Run, find

HEADINGS = ("", "name", "model", "epochs", "val accuracy", "seconds", "saved", "size")
NAME, MODEL, EPOCHS, ACCURACY = 1, 2, 3, 4  # indices of columns
HIDDEN_FIRST = (7, 6, 5)  # indices of the columns that a narrow terminal hides first, in this order
STUDY_COLUMNS = {  # the headings of the table of studies, and the keys in study.json
    "name": "name",
    "model": "model",
    "trials": "trials",
    "pruned": "pruned",
    "failed": "failed",
    "best": "best_trial",
    "score": "held_out_accuracy",
    "fresh": "fresh_held_out_accuracy",
}
USED = "*"  # marks the run that `mnist predict` uses
ALWAYS_SHOWN = {"model", "epochs"}  # settings that have a column even where they do not differ

Sort = Literal["saved", "name", "accuracy", "epochs", "seconds", "size"]


@dataclass(frozen=True)
class Row:
    """A run with the metadata of its checkpoints, or the error of reading them."""

    run: Run
    is_used: bool
    last: Header | None = None  # of the last epoch
    result: Header | None = None  # of the checkpoint to use
    error: str | None = None

    @property
    def saved(self) -> datetime | None:
        """When the last epoch was saved, to the second; None when the time of the file is not a valid date, after the year 9999."""
        try:
            return datetime.fromtimestamp(int(self.run.last_path.stat().st_mtime)).astimezone()
        except (ValueError, OverflowError, OSError):
            return None

    @property
    def size(self) -> int:
        """The bytes of the checkpoint to use."""
        return self.run.result_path.stat().st_size


class ListByDefault(TyperGroup):
    """A group whose default command is `list`: `mnist runs first` is `mnist runs list first`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put `list` before arguments that begin with neither a command nor a help option."""
        if not args or args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["list", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(
    cls=ListByDefault,
    add_completion=False,
    rich_markup_mode=None,
    help="List the runs, compare them, or remove some; without a command it is `list`, with all its options.",
)


def _names() -> list[str]:
    return [run.name for run in find(CHECKPOINTS_DIR)]


# The sort keys; rows whose value is unknown come last.
ORDERS: dict[Sort, Callable[[Row], Any]] = {
    "saved": lambda row: -row.run.last_path.stat().st_mtime,
    "name": lambda row: row.run.name,
    "accuracy": lambda row: -((row.result and row.result.val_accuracy) or 0.0),
    "epochs": lambda row: -(row.last.epochs if row.last else 0),
    "seconds": lambda row: row.last.seconds if row.last else float("inf"),
    "size": lambda row: row.size,
}


Names = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME...]", help="Runs to show; all of them by default.", autocompletion=_names),
]
SortBy = Annotated[Sort, typer.Option(help="Order: the newest, the most accurate, the quickest and so on first.")]
Best = Annotated[
    bool, typer.Option("--best", help="Show only the run with the lowest held-out loss; needs runs with --holdout.")
]
Plot = Annotated[
    Path | None,
    typer.Option(metavar="FILE.png", readable=False, help="Draw the val loss and accuracy of the runs in one chart."),
]
BySeeds = Annotated[
    bool,
    typer.Option(
        "--seeds", help="Show runs that differ in their seed alone as one line, with the mean of their accuracies."
    ),
]
Compare = Annotated[
    bool,
    typer.Option(
        "--compare", help="Test whether two configurations, each with several seeds, differ (Welch's t-test)."
    ),
]


@app.command("list", cls=Command)
def list_runs(
    names: Names = None,
    sort: SortBy = "saved",
    best: Best = False,
    plot: Plot = None,
    by_seeds: BySeeds = False,
    compare: Compare = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """List the runs, the newest first, or compare some in one chart.

    Each setting that differs has a column. The star marks the run that `mnist predict` uses by default. The
    accuracy is that of the checkpoint to use: the best epoch's if the run held out images, else the last epoch's.

    \b
      mnist runs
      mnist runs --sort accuracy
      mnist runs first second --plot compared.png
      mnist runs first second --compare
    """  # noqa: D301  (a backspace, which keeps the lines below it as they are)
    found = find(CHECKPOINTS_DIR)
    if not found:
        print_status(f"There are no runs in the folder {CHECKPOINTS_DIR} yet; `mnist train` makes one.")
    names = [run for name in names or () for run in seeds.members_of(name, _names()) or [name]]
    _check_names(names)
    used = training_runs.find_default().path
    rows = [_read_row(run, is_used=run.result_path == used) for run in found if not names or run.name in names]
    rows.sort(key=ORDERS[sort])
    if best:
        rows = [_best(rows)]
    if by_seeds or compare:
        groups = seeds.groups_of({row.run.name: row.result for row in rows if row.result and _is_finished(row)})
        (seeds.compare if compare else seeds.show)(groups)
    elif as_json:
        for row in rows:
            print_result(json.dumps(_values(row)))
    elif rows:
        _print_table(rows)
    for row in rows:
        if row.error:
            print_status(row.error)
    if plot:
        _plot(sorted(rows, key=lambda row: names.index(row.run.name)) if names else rows, plot)


@app.command("studies", cls=Command)
def list_studies(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")] = False,
) -> None:
    """List the searches of `mnist tune`, the newest first.

    The score is the accuracy of the best trial on held-out images; "fresh" is that of the best configuration with fresh
    seeds, which is not chosen by luck.
    """
    files = sorted(RUNS_DIR.glob("*/study.json"), key=lambda path: path.stat().st_mtime, reverse=True)
    studies = [json.loads(path.read_bytes()) for path in files]
    if not studies:
        print_status(f"There are no studies in the folder {RUNS_DIR} yet; `mnist tune` makes one.")
    elif as_json:
        for study in studies:
            print_result(json.dumps(study))
    else:
        rows = [tuple(_study_cell(study[name]) for name in STUDY_COLUMNS.values()) for study in studies]
        tables.show([tuple(STUDY_COLUMNS), *rows], left={0, 1})


@app.command("rm", cls=Command)
def remove(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", help="Runs to remove.", autocompletion=_names)],
    yes: Annotated[bool, typer.Option("--yes", help="Remove without confirmation.")] = False,
) -> None:
    """Remove runs: their checkpoints and their folders below runs/.

    You are asked to confirm first. A run in progress is not removed.
    """
    _check_names(names)
    wanted = [run for run in find(CHECKPOINTS_DIR) if run.name in names]
    folders = [str(folder) for run in wanted for folder in training_runs.folders(run)]
    if not yes:
        typer.confirm(printable(f"Remove {', '.join(folders)}?"), abort=True, err=True)
    for run in wanted:
        training_runs.remove(run)
        print_status(f"Removed the run {run.name}.")


@app.command("diff", cls=Command)
def differences(
    one: Annotated[str, typer.Argument(metavar=CHECKPOINT, help="A run.", autocompletion=_names)],
    other: Annotated[str, typer.Argument(metavar=CHECKPOINT, help="Another run.", autocompletion=_names)],
) -> None:
    """Show how two runs differ: their settings, their results, and the versions of the programs that trained them."""
    facts = [_facts(checkpoint_info.read(training_runs.find_checkpoint(name))) for name in (one, other)]
    names = list(dict.fromkeys([*facts[0], *facts[1]]))
    rows = [(name, facts[0].get(name, ""), facts[1].get(name, "")) for name in names]
    rows = [row for row in rows if row[1] != row[2]]
    if rows:
        tables.show([("", one, other), *rows], left={0, 1, 2})
    else:
        print_status(f"{one} and {other} have the same settings and results.")


def _check_names(names: Sequence[str]) -> None:
    """Raise ConfigError for the name of a run that does not exist."""
    unknown = set(names) - set(_names())
    if unknown:
        raise ConfigError(f"there is no run {min(unknown)!r} in the folder {CHECKPOINTS_DIR}; `mnist runs` lists them")


def _is_finished(row: Row) -> bool:
    """Whether a run was trained to its end."""
    return row.last is not None and (row.last.epochs == row.last.config.epochs or row.last.config.patience > 0)


def _study_cell(value: object) -> str:
    if isinstance(value, float):
        return percent(value)
    return "" if value is None else str(value)


def _read_row(run: Run, is_used: bool) -> Row:
    try:
        return Row(run, is_used, checkpoint_info.read(run.last_path), checkpoint_info.read(run.result_path))
    except (CheckpointError, OSError) as error:
        return Row(run, is_used, error=str(error))


def _best(rows: Sequence[Row]) -> Row:
    """Return the run with the lowest held-out loss; raises ConfigError when there is none or the losses are not comparable.

    Nothing is selected by the val images, so that the val accuracy stays an unbiased estimate.
    """
    losses = {
        row.run.name: result.held_out_loss
        for row in rows
        if row.result and row.result.metrics and (result := row.result.metrics[-1]).held_out_loss is not None
    }
    candidates = [row for row in rows if row.run.name in losses]
    if not candidates:
        raise ConfigError("--best needs runs that held out images, as `mnist train --holdout 5000` does")
    if len({row.result.config.loss for row in candidates if row.result}) > 1:
        raise ConfigError("--best cannot compare mse with cross_entropy; name runs of one loss function")
    return min(candidates, key=lambda row: losses[row.run.name] or 0.0)


def _values(row: Row) -> dict[str, Any]:
    """Return the values of a run, for JSON."""
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
        "held_out_loss": result.metrics[-1].held_out_loss if result and result.metrics else None,
        "seconds": last.seconds if last else None,
        "saved": row.saved.isoformat() if row.saved else None,
        "size": row.size,
        "config": asdict(last.config) if last else None,
        "error": row.error,
    }


def _facts(header: Header) -> dict[str, str]:
    """Return the facts by which two checkpoints are compared, as text."""
    facts = {"parameters": f"{header.parameters:,}", "epochs trained": str(header.epochs)}
    if header.metrics:
        last = header.metrics[-1]
        facts |= {"val accuracy": percent(last.val_accuracy), "val loss": f"{last.val_loss:.4f}"}
        if last.train_accuracy is not None:
            facts["train accuracy"] = percent(last.train_accuracy)
        if last.held_out_loss is not None:
            facts["held-out loss"] = f"{last.held_out_loss:.4f}"
        facts["seconds"] = f"{header.seconds:,.0f}"
    return facts | _settings(header.config) | header.versions


def _settings(config: TrainConfig) -> dict[str, str]:
    """Return the hyperparameters of a run as text, with spaces in their names."""
    return {name.replace("_", " "): _setting(value) for name, value in asdict(config).items()}


def _setting(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "-"
    return f"{value:g}" if isinstance(value, float) else str(value) or "-"


def _cells(row: Row, settings: Sequence[str]) -> tuple[str, ...]:
    """Return the cells of a run, for the columns of HEADINGS and then for `settings`."""
    values = _settings(row.last.config) if row.last else {}
    return (
        USED if row.is_used else "",
        one_line(row.run.name),
        *_scores(row.last, row.result),
        f"{row.saved:%Y-%m-%d %H:%M}" if row.saved else "",
        f"{row.size / 1e6:.1f} MB",
        *(values.get(name, "") for name in settings),
    )


def _scores(last: Header | None, result: Header | None) -> tuple[str, str, str, str]:
    if last is None or result is None:
        return "unreadable", "", "", ""
    done, planned = last.epochs, last.config.epochs
    epochs = str(done) if done == planned else f"{done} of {planned}"
    accuracy = "" if result.val_accuracy is None else percent(result.val_accuracy)
    return result.model, epochs, accuracy, f"{last.seconds:,.0f}"


def _print_table(rows: Sequence[Row]) -> None:
    """Print the runs; on a terminal, only as many columns as fit without shortening the names."""
    known = [_settings(row.last.config) for row in rows if row.last]
    differing = [
        name
        for name in (known[0] if known else {})
        if name not in ALWAYS_SHOWN and len({settings[name] for settings in known}) > 1
    ]
    whole = [(*HEADINGS, *differing), *(_cells(row, differing) for row in rows)]
    is_terminal = sys.stdout.isatty()
    shown = _fitting(whole, shutil.get_terminal_size().columns if is_terminal else None)
    left = {position for position, number in enumerate(shown) if number in {NAME, MODEL} or number >= len(HEADINGS)}
    styles = ["yellow" if row.error else "bold green" if row.is_used else "" for row in rows]
    tables.show([[cells[number] for number in shown] for cells in whole], left, styles)
    if is_terminal:
        if any(row.is_used for row in rows):
            print_status(f"{USED} is what `mnist predict` uses.")
        if omitted := [whole[0][number] for number in range(len(whole[0])) if number not in shown]:
            print_status(f"A wider terminal or --json also shows: {', '.join(omitted)}.")


def _fitting(rows: Sequence[Sequence[str]], width: int | None) -> list[int]:
    """Return the indices of the columns that fit a terminal of `width` characters, or of all if it is None."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    kept = list(range(len(widths)))
    settings = range(len(widths) - 1, len(HEADINGS) - 1, -1)
    for number in (*HIDDEN_FIRST, *settings, MODEL, EPOCHS):
        if width is not None and sum(widths[column] + tables.GAP for column in kept) - tables.GAP > width:
            kept.remove(number)
    return kept


def _plot(rows: Sequence[Row], path: Path) -> None:
    """Draw the curves of the runs in one chart, in this order."""
    if path.suffix.lower() != ".png":
        raise ConfigError(f"the chart is a PNG file, so its name ends in .png, not {path.suffix!r}")

    from mnist_cli.reporting import figures

    headers = {row.run.name: row.last for row in rows if row.last and row.last.metrics}
    curves = {name: header.metrics for name, header in headers.items()}
    if not 1 <= len(curves) <= len(figures.COLOURS):
        raise ConfigError(
            f"a chart shows 1 to {len(figures.COLOURS)} runs that finished an epoch, not {len(curves)}; "
            f"name them as in `mnist runs first second --plot {path}`"
        )
    loss_functions = {name: header.config.loss for name, header in headers.items()}
    figures.save(figures.comparison(curves, loss_functions=loss_functions), path)
    print_status(f"{path} compares {len(curves)} runs." if len(curves) > 1 else f"{path} shows the run.")
