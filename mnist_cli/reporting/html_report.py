"""The report of an evaluation on the val images: a self-contained web page, its figures, and a table of all predictions."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from mnist_cli.arrays import Frames
from mnist_cli.evaluation import metrics
from mnist_cli.evaluation.metrics import ClassScores, ModelEvaluation, Predictions
from mnist_cli.files import replacing
from mnist_cli.labels import DIGITS, short_name
from mnist_cli.names import printable
from mnist_cli.reporting import figures
from mnist_cli.results import p_value, percent
from mnist_cli.version import __version__

CAPTIONS = {
    "gallery": "The errors, the most confident first. Some of these images are ambiguous for people, too.",
    "confusion": "Each row is a true class, each column a predicted one. The errors are off the diagonal.",
    "classes": "Misses (false negatives) and false alarms (false positives) of each class.",
    "reliability": "Of the predictions with a confidence of 80 %, 80 % should be correct. Points below the dotted line are "
    "overconfident; the vertical lines are 95 % intervals, and the bars below show the number of images of each point.",
    "coverage": "The accuracy on the remaining images when those with the lowest confidence are rejected.",
}


def write(folder: Path, measured: Sequence[ModelEvaluation], images: Frames | None = None) -> Path:
    """Write report.html, the pictures and predictions.csv, and return the path of the page.

    The `images` are those that were measured, unless the evaluations have them.

    With several models each has a folder of its own for its pictures and predictions, numbered in their order.
    """
    images = measured[0].images if images is None else images
    assert images is not None
    models = []
    for number, model in enumerate(measured, 1):
        model_dir = folder if len(measured) == 1 else folder / f"model-{number}"
        drawn = _draw(model.val_predictions, images)
        for name, figure in drawn.items():
            figures.save(figure, model_dir / f"{name}.png")
        _write_predictions(model_dir / "predictions.csv", model.val_predictions)
        models.append(_values(model, drawn, measured[0] if number > 1 else None))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mnist_cli", "reporting"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    what = printable(measured[0].name) if len(measured) == 1 else f"{len(measured)} models"
    where = "" if measured[0].data == "mnist" else f" of {printable(measured[0].data)}"
    title = f"{what} on {len(images):,} {measured[0].part}{where}"
    page = environment.get_template("report.html").render(
        title=title,
        version=__version__,
        models=models,
        percent=percent,
        p_value=p_value,
        kind=figures.kind_of(measured[0].val_predictions),
    )
    with replacing(folder / "report.html") as file:
        file.write(page.encode())
    return folder / "report.html"


def _draw(predictions: Predictions, images: Frames) -> dict[str, Figure]:
    return {
        "gallery": figures.gallery(predictions, images[:, 0]),
        "confusion": figures.confusion_matrix(predictions),
        "classes": figures.classes(predictions),
        "reliability": figures.reliability(predictions),
        "coverage": figures.coverage(predictions),
    }


def _values(model: ModelEvaluation, drawn: Mapping[str, Figure], first: ModelEvaluation | None) -> dict[str, Any]:
    """Return the values of a model on the page, with the p-value against the `first` model for the further ones."""
    return {
        **model.val_predictions.summary(),
        "name": printable(model.name),
        "verdict": describe(model.val_predictions),
        "p_value": metrics.mcnemar(first.val_predictions, model.val_predictions) if first else None,
        "figures": [
            # The SVG of matplotlib is markup, and has no text of users.
            {"svg": Markup(figures.to_svg(figure)), "caption": CAPTIONS[name]}
            for name, figure in drawn.items()
        ],
        "corruptions": _corruption_rows(model) if model.corrupted else [],
    }


def _corruption_rows(model: ModelEvaluation) -> list[dict[str, Any]]:
    """Return the error for each corruption and their mean, with its ratio to the error on clean images."""
    rows = {**model.corrupted, "mean": model.mean_corrupted_error}
    clean = model.clean_error
    return [{"name": name, "error": error, "ratio": error / clean if clean else None} for name, error in rows.items()]


def describe(predictions: Predictions) -> str:
    """Return a summary of the errors of a model in a few sentences."""
    evaluation = predictions.evaluation
    if not evaluation.errors:
        return f"Nowhere: all {evaluation.images:,} images were classified correctly."
    named = [f"{c.truth} as {c.answer} ({_times(c.times)})" for c in predictions.most_common_confusions(3)]
    scores = predictions.classes()
    missed = min(scores, key=lambda one: one.recall)
    false = min(scores, key=lambda one: one.precision)
    sure = int((predictions.confidence[predictions.mistakes()] > 0.9).sum())
    return (
        f"The model misclassifies {evaluation.errors:,} of {evaluation.images:,} images. The most common confusions are "
        f"{', '.join(named)}. The lowest recall is that of {_named(missed)}, {percent(missed.recall)}; the lowest "
        f"precision is that of {_named(false)}, {percent(false.precision)}. "
        f"Of the errors, {sure:,} have a confidence above 90 %."
    )


def _write_predictions(path: Path, predictions: Predictions) -> None:
    """Write a table with a row for each image."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    answer = "digit" if tuple(predictions.names) == DIGITS else "prediction"
    table.writerow(["index", "label", answer, "confidence", *(f"p{name}" for name in predictions.names)])
    table.writerows(_rows(predictions))
    with replacing(path) as file:
        file.write(text.getvalue().encode())


def _rows(predictions: Predictions) -> Iterable[list[object]]:
    probabilities, names = predictions.probabilities.round(6), [short_name(name) for name in predictions.names]
    for index, (label, digit) in enumerate(zip(predictions.labels.tolist(), predictions.digits.tolist(), strict=True)):
        yield [index, names[label], names[digit], probabilities[index, digit], *probabilities[index].tolist()]


def _named(scores: ClassScores) -> str:
    return f"the class {printable(scores.label)}" if scores.digit is None else f"the digit {scores.digit}"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
