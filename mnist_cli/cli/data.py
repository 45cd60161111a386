"""`mnist data`: what is in a data set."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnist_cli.cli import tables
from mnist_cli.cli.console import DataDir, MaxUnreadable, load_data, print_result, print_status
from mnist_cli.labels import short_name
from mnist_cli.results import percent

if TYPE_CHECKING:
    from mnist_cli.datasets.labelled_images import DataSet
    from mnist_cli.datasets.overview import Overview
    from mnist_cli.evaluation.metrics import Predictions

MOST = 20  # suspects that are listed; the picture has more


def data(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A data set, as `mnist train --data` takes it.")],
    sheet: Annotated[
        Path | None,
        typer.Option(metavar="FILE.png", readable=False, help="Draw the first images of each class into this file."),
    ] = None,
    suspects: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.png",
            readable=False,
            help="Find labels that are probably wrong, list them, and draw them into this file; this trains four small "
            "models, each on three quarters of the images.",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    max_unreadable: MaxUnreadable = 0.0,
    data_dir: DataDir = None,
) -> None:
    """Say what is in a data set: its classes, how many images each has, and which are there twice.

    \b
      mnist data mnist
      mnist data mine --sheet mine.png --suspects suspects.png
    """  # noqa: D301  (a backspace, which keeps the lines below it as they are)
    from mnist_cli.datasets import overview

    whole = load_data([source], data_dir, max_unreadable)
    found = overview.of(whole)
    checked = _cross_validate(whole) if suspects else None
    if as_json:
        print_result(json.dumps(_values(whole, found, checked)))
    else:
        _print(whole, found)
        if checked:
            _print_suspects(whole, *checked)
    _draw(whole, sheet, suspects, checked)


def _draw(whole: "DataSet", sheet: Path | None, suspects: Path | None, checked: "Checked | None") -> None:
    """Write the pictures that were asked for."""
    if not (sheet or suspects):
        return
    from mnist_cli.reporting import figures

    images = whole.all
    if sheet:
        figures.save(figures.samples(images.images[:, 0], images.labels, whole.classes), sheet)
        print_status(f"{sheet} shows images of each class.")
    if suspects and checked:
        predictions, indices = checked
        figures.save(figures.gallery(predictions, images.images[:, 0], indices), suspects)
        print_status(f"{suspects} shows the labels that are least likely.")


Checked = tuple["Predictions", list[int]]  # what a cross-validated model predicts, and the indices of suspects


def _cross_validate(whole: "DataSet") -> Checked:
    """Return what a cross-validated model predicts for all images, and the indices of the suspects among them."""
    from rich.console import Console
    from rich.progress import Progress

    from mnist_cli.evaluation.metrics import Predictions
    from mnist_cli.training import label_errors

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("training models to check the labels", total=None)
        found = label_errors.log_probabilities(
            whole.all, whole.classes, lambda done, total: bar.update(task, completed=done, total=total)
        )
    labels = whole.all.labels
    return Predictions(found, labels, whole.classes), label_errors.suspects(found, labels).tolist()


def _values(whole: "DataSet", found: "Overview", checked: "Checked | None") -> dict[str, Any]:
    values = {
        "data": whole.name,
        "classes": [
            {"label": name, "train": train, "val": val}
            for name, train, val in zip(whole.classes, found.train, found.val, strict=True)
        ],
        "train": len(whole.train),
        "val": len(whole.val) if whole.val else 0,
        "duplicates": found.duplicates,
        "leaked": found.leaked,
        "contradictory": found.contradictory,
    }
    return values | ({"suspects": [_suspect(whole, checked[0], index) for index in checked[1]]} if checked else {})


def _suspect(whole: "DataSet", predictions: "Predictions", index: int) -> dict[str, Any]:
    label, answer = int(predictions.labels[index]), int(predictions.digits[index])
    return {
        "index": index,
        "label": short_name(whole.classes[label]),
        "predicted": short_name(whole.classes[answer]),
        "confidence": float(predictions.probabilities[index, answer]),
    }


def _print(whole: "DataSet", found: "Overview") -> None:
    rows = [
        (name, f"{train:,}", f"{val:,}") for name, train, val in zip(whole.classes, found.train, found.val, strict=True)
    ]
    total = ("all", f"{len(whole.train):,}", f"{len(whole.val) if whole.val else 0:,}")
    tables.show([("class", "train", "val"), *rows, total], left={0})
    print_result(
        f"\n{found.duplicates:,} images have the pixels of an earlier one, {found.leaked:,} of val those of one in train; "
        f"{len(found.contradictory):,} times such images have different labels."
    )


def _print_suspects(whole: "DataSet", predictions: "Predictions", indices: list[int]) -> None:
    print_result(f"\n{len(indices):,} labels are probably wrong; the least likely are")
    some = [_suspect(whole, predictions, index) for index in indices[:MOST]]
    rows = [(f"{it['index']}", str(it["label"]), str(it["predicted"]), percent(it["confidence"])) for it in some]
    tables.show([("index", "label", "predicted", "confidence"), *rows], left={1, 2})
