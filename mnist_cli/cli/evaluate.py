"""`mnist evaluate`: evaluate checkpoints on the val images."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnist_cli import files
from mnist_cli.cli import tables
from mnist_cli.cli.console import (
    CHECKPOINT,
    DEFAULT_CHECKPOINT,
    MNIST,
    Data,
    DataDir,
    Device,
    MaxUnreadable,
    load_data,
    prepare_data,
    print_result,
    print_status,
)
from mnist_cli.errors import ConfigError
from mnist_cli.results import p_value, percent
from mnist_cli.training import runs

if TYPE_CHECKING:
    from mnist_cli.api import EvaluationResult
    from mnist_cli.evaluation.metrics import Predictions

ENSEMBLE = "ensemble"  # the name of several models that are evaluated as one


Checkpoints = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar=f"[{CHECKPOINT}...]",
        readable=False,
        help="Files that `mnist train` or `mnist export` wrote, names of runs, `latest` or `pretrained`.",
        show_default=DEFAULT_CHECKPOINT,
    ),
]
Ensemble = Annotated[
    bool, typer.Option("--ensemble", help="Evaluate the models as an ensemble: the mean of their probabilities.")
]
Tta = Annotated[
    bool,
    typer.Option("--tta", help="Test-time augmentation: the mean over each image and its shifts by one pixel."),
]
Corruptions = Annotated[
    bool,
    typer.Option("--corruptions", help="Evaluate also on the 15 kinds of corrupted images of MNIST-C."),
]
ReportFolder = Annotated[
    Path | None,
    typer.Option(
        metavar="FOLDER",
        readable=False,
        help="Write report.html, its figures, and predictions.csv with every prediction to this folder.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object per line, with all metrics.")]


def evaluate(
    checkpoint: Checkpoints = None,
    ensemble: Ensemble = False,
    tta: Tta = False,
    corruptions: Corruptions = False,
    report: ReportFolder = None,
    as_json: AsJson = False,
    data: Data = None,
    max_unreadable: MaxUnreadable = 0.0,
    device: Device = None,
    data_dir: DataDir = None,
) -> None:
    """Evaluate models on the 10,000 val images, MNIST's test set, or on --data.

    Reports loss and accuracy, precision and recall of each digit, and the most common confusions; several checkpoints are
    compared in a table. A model is rebuilt from its checkpoint alone; none of the images is in its training set.
    """
    from mnist_cli import api

    paths = [runs.find_checkpoint(name) for name in checkpoint] if checkpoint else [runs.find_checkpoint(None)]
    if not checkpoint:
        print_status(f"Evaluating {paths[0]}; `mnist evaluate {CHECKPOINT}` evaluates another.")
    if report:
        files.check_folder(report)  # now, not after minutes of evaluation
        if runs.holds_study(report):
            raise ConfigError(f"{report} has the report of a study; name another folder")
    folder = prepare_data(data_dir, "val") if data in (None, [MNIST]) else data_dir
    if data and data != [MNIST]:
        load_data(data, data_dir, max_unreadable)
    kinds = _corruptions_with_progress() if corruptions else ()
    where: dict[str, Any] = {"device": device, "data_dir": folder, "data": data, "max_unreadable": max_unreadable}
    if ensemble:
        together = api.evaluate(paths, tta=tta, corruptions=kinds, **where)
        measured = [replace(together, name=ENSEMBLE)]
    else:
        measured = api.compare(paths, tta=tta, corruptions=kinds, **where)
    if measured[0].data != MNIST:
        print_status(f"Measured on {len(measured[0].val_predictions):,} {measured[0].part} of {measured[0].data}.")
    if as_json:
        for model in measured:
            print_result(json.dumps(_values(model, measured[0]), allow_nan=False))
    else:
        _print_comparison(measured) if len(measured) > 1 else _print_scores(measured[0].val_predictions)
        if corruptions:
            _print_corruptions(measured)
    if report:
        from mnist_cli.reporting import html_report

        page = html_report.write(report, measured)
        print_status(f"{page} shows where {'they fail' if len(measured) > 1 else 'it fails'}.")


def _corruptions_with_progress() -> Iterable[str]:
    """Return the names of all corruptions, with a progress bar while they are iterated over."""
    from rich.console import Console
    from rich.progress import track

    from mnist_cli.evaluation.corruptions import CORRUPTIONS

    console = Console(stderr=True)
    return track(CORRUPTIONS, "corruptions", console=console, transient=True, disable=not console.is_terminal)


def _values(model: "EvaluationResult", first: "EvaluationResult") -> dict[str, Any]:
    """Return all metrics, with the p-value of the difference from the `first` model."""
    from mnist_cli.evaluation import metrics

    of_others = {} if model.data == MNIST else {"data": model.data}
    values = {"path": model.name, **of_others, **model.val_predictions.summary()}
    if model.corrupted:
        values |= {"corruptions": model.corrupted, "mean_corruption_error": model.mean_corrupted_error}
    return (
        values
        if model is first
        else {**values, "p_value": metrics.mcnemar(first.val_predictions, model.val_predictions)}
    )


def _print_scores(predictions: "Predictions") -> None:
    """Print the scores of one model, of each digit, and its most common confusions."""
    evaluation = predictions.evaluation
    low, high = evaluation.interval()
    facts = [
        ("val loss", f"{evaluation.loss:.4f}"),
        ("val accuracy", f"{percent(evaluation.accuracy)}  (95 % interval {percent(low)} to {percent(high)})"),
        ("errors", f"{evaluation.errors:,} of {evaluation.images:,}"),
        ("calibration", f"{percent(predictions.calibration_error())} expected calibration error"),
    ]
    print_result(tables.columns(facts, left={0, 1}) + "\n")
    scores = [
        (one.label, percent(one.precision), percent(one.recall), percent(one.f1), f"{one.images:,}")
        for one in predictions.classes()
    ]
    kind = "digit" if all(one.digit is not None for one in predictions.classes()) else "class"
    tables.show([(kind, "precision", "recall", "F1", "images"), *scores], left={0} if kind == "class" else set())
    if confusions := predictions.most_common_confusions():
        print_result("\nmost common confusions")
        rows = [(f"{one.truth} as {one.answer}", f"{one.times:,} times") for one in confusions]
        print_result(tables.columns(rows, left={0}, indent=4))


def _print_comparison(measured: "list[EvaluationResult]") -> None:
    """Print a row for each model, with McNemar's test of whether it differs from the first."""
    from mnist_cli.evaluation import metrics

    rows = [("val accuracy", "95 % interval", "errors", "val loss", "p", "checkpoint")]
    for model in measured:
        evaluation = model.val_predictions.evaluation
        low, high = evaluation.interval()
        is_first = model is measured[0]
        rows.append(
            (
                percent(evaluation.accuracy),
                f"{percent(low)} to {percent(high)}",
                f"{evaluation.errors:,}",
                f"{evaluation.loss:.4f}",
                "" if is_first else p_value(metrics.mcnemar(measured[0].val_predictions, model.val_predictions)),
                model.name,
            )
        )
    tables.show(rows, left={len(rows[0]) - 1})
    print_result("p: p-value of the difference from the first (McNemar's exact test)")


def _print_corruptions(measured: "list[EvaluationResult]") -> None:
    """Print the errors on corrupted images, a column for each model, and their ratio to those on clean images."""
    rows = [(name, [percent(model.corrupted[name]) for model in measured]) for name in measured[0].corrupted]
    rows.append(("mean", [percent(model.mean_corrupted_error) for model in measured]))
    rows.append(("clean images", [percent(model.clean_error) for model in measured]))
    ratios = [model.mean_corrupted_error / model.clean_error if model.clean_error else None for model in measured]
    rows.append(("mean / clean", ["-" if ratio is None else f"{ratio:.1f}" for ratio in ratios]))
    names = ["error"] if len(measured) == 1 else [f"model {number}" for number in range(1, len(measured) + 1)]
    print_result("\nerrors on corrupted images (MNIST-C)")
    tables.show([("corruption", *names), *((name, *cells) for name, cells in rows)], left={0})
