"""The report of what models make of the val images: a web page that needs nothing else, pictures, and every answer."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from mnist_cli.arrays import CLASSES, Frames
from mnist_cli.evaluation import metrics
from mnist_cli.evaluation.metrics import Measured, Predictions
from mnist_cli.files import replacing
from mnist_cli.names import printable
from mnist_cli.reporting import figures
from mnist_cli.results import p_value, percent
from mnist_cli.version import __version__

CAPTIONS = {
    "gallery": "What was answered wrong, first what the model was surest of. A mistake that a person would make too is of "
    "another kind than one that nobody would make.",
    "confusion": "Each row is a digit as it was written, each column an answer. Off the diagonal are the errors.",
    "classes": "A digit with a long first bar is overlooked, one with a long second bar is seen where it is not.",
    "reliability": "Of the answers given with 80 % confidence, 80 % should be right. Points below the dotted line are "
    "overconfident; the vertical lines are 95 % intervals, and the bars below show how many images each point stands for.",
    "coverage": "If somebody looks at the answers that the model is least sure of, the others are this accurate.",
}


def write(folder: Path, measured: list[Measured], images: Frames) -> Path:
    """Write report.html, the pictures and predictions.csv, and return the path of the page.

    With several models each has a folder of its own for its pictures and predictions, numbered in their order.
    """
    models = []
    for number, model in enumerate(measured, 1):
        place = folder if len(measured) == 1 else folder / f"model-{number}"
        drawn = _draw(model.answers, images)
        for name, figure in drawn.items():
            figures.save(figure, place / f"{name}.png")
        _write_predictions(place / "predictions.csv", model.answers)
        models.append(_values(model, drawn, measured[0] if number > 1 else None))
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mnist_cli", "reporting"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    title = f"What {printable(measured[0].name) if len(measured) == 1 else f'{len(measured)} models'} made of {len(images):,} val images"
    page = environment.get_template("report.html").render(
        title=title, version=__version__, models=models, percent=percent, p_value=p_value
    )
    with replacing(folder / "report.html") as file:
        file.write(page.encode())
    return folder / "report.html"


def _draw(answers: Predictions, images: Frames) -> dict[str, Figure]:
    return {
        "gallery": figures.gallery(answers, images[:, 0]),
        "confusion": figures.confusion_matrix(answers),
        "classes": figures.classes(answers),
        "reliability": figures.reliability(answers),
        "coverage": figures.coverage(answers),
    }


def _values(model: Measured, drawn: Mapping[str, Figure], first: Measured | None) -> dict[str, Any]:
    """Return what the page shows of a model; of the second and further ones also how they differ from the `first`."""
    return {
        **model.answers.summary(),
        "name": printable(model.name),
        "verdict": describe(model.answers),
        "p_value": metrics.mcnemar(first.answers, model.answers) if first else None,
        "figures": [
            # What matplotlib writes is markup, and holds no text but ours.
            {"svg": Markup(figures.to_svg(figure)), "caption": CAPTIONS[name]}
            for name, figure in drawn.items()
        ],
        "corruptions": _corruption_rows(model) if model.corrupted else [],
    }


def _corruption_rows(model: Measured) -> list[dict[str, Any]]:
    """Return the error on each kind of corrupted images and their mean, and how many times that of clean images it is."""
    rows = {**model.corrupted, "mean": model.mean_corrupted_error}
    clean = model.clean_error
    return [{"name": name, "error": error, "ratio": error / clean if clean else None} for name, error in rows.items()]


def describe(answers: Predictions) -> str:
    """Return in a few sentences where a model fails."""
    evaluation = answers.evaluation
    if not evaluation.errors:
        return f"Nowhere: all {evaluation.images:,} images were answered right."
    named = [f"{c.truth} as {c.answer} ({_times(c.times)})" for c in answers.commonest_confusions(3)]
    scores = answers.classes()
    missed = min(scores, key=lambda one: one.recall)
    false = min(scores, key=lambda one: one.precision)
    sure = int((answers.confidence[answers.mistakes()] > 0.9).sum())
    return (
        f"It is wrong on {evaluation.errors:,} of {evaluation.images:,} images. What it takes for something else most often: "
        f"{', '.join(named)}. The digit that it misses most is the {missed.digit}, of which it finds {percent(missed.recall)}; "
        f"the answer to trust least is {false.digit}, which is right in {percent(false.precision)}. "
        f"Of its errors, {sure:,} were made with more than 90 % confidence."
    )


def _write_predictions(path: Path, answers: Predictions) -> None:
    """Write a table with a row for each image."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["index", "label", "digit", "confidence", *(f"p{digit}" for digit in range(CLASSES))])
    table.writerows(_rows(answers))
    with replacing(path) as file:
        file.write(text.getvalue().encode())


def _rows(answers: Predictions) -> Iterable[list[object]]:
    shares = answers.probabilities.round(6)
    for index, (label, digit) in enumerate(zip(answers.labels.tolist(), answers.digits.tolist(), strict=True)):
        yield [index, label, digit, shares[index, digit], *shares[index].tolist()]


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
