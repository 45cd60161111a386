"""The figures of a run and of a report: matplotlib figures as PNG files, or as SVG in a page that may be dark.

The colours are those of Okabe and Ito (2008), which colour-blind people can distinguish.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, XAxis
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.rcsetup import cycler
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, MaxNLocator, MultipleLocator, NullFormatter, PercentFormatter
from numpy.typing import NDArray

from mnist_cli.config import TrainConfig
from mnist_cli.evaluation.metrics import Predictions
from mnist_cli.files import replacing
from mnist_cli.labels import DIGITS
from mnist_cli.names import printable
from mnist_cli.reporting import fonts
from mnist_cli.results import EpochResult, Evaluation, percent

BLUE, ORANGE, GREEN, PINK, YELLOW, SKY = COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
TEXT, LINE, GRID = "#24292f", "#6e7781", "#d5dae0"  # replaced by the colours of the page in an SVG, see `to_svg`
STYLE: Any = {
    "font.family": fonts.families(),
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.prop_cycle": cycler(color=COLOURS, linestyle=["-", "--", "-.", ":", "-", "--"]),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 11,
    "axes.edgecolor": LINE,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": TEXT,
    "axes.labelcolor": TEXT,
    "xtick.color": TEXT,
    "ytick.color": TEXT,
    "text.parse_math": False,  # a run may be called $x$
    "legend.frameon": False,
    "legend.labelcolor": TEXT,
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "mnist-cli",  # the same figure gives the same file
}
styled = mpl.rc_context(STYLE)  # decorates every function that draws
LOSS_NAMES = {"cross_entropy": "cross-entropy", "mse": "squared error"}
SIZE = (6.4, 4.0)  # inches
DPI = 130
GALLERY = (10, 6)  # columns and rows
SAMPLES = 16  # images of each class in a picture sheet
MAX_NAME = 12  # characters of the name of a class

FEW = 3  # epochs: with no more, a linear axis shows the whole curves

Numbers = Sequence[float] | NDArray[np.float64]
Curve = tuple[Numbers, Numbers]  # x and y


def draw(columns: int = 1, size: tuple[float, float] = SIZE, rows: Sequence[float] = (1,)) -> tuple[Figure, list[Axes]]:
    """Return a figure with `columns` of plots, and with rows of relative heights `rows`."""
    figure = Figure(figsize=size, dpi=DPI)
    return figure, list(figure.subplots(len(rows), columns, squeeze=False, height_ratios=rows).flat)


def plot(
    axes: Axes,
    curves: Mapping[str, Curve],
    x: str,
    y: str,
    *,
    log: bool = False,
    percent: bool = False,
    styles: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Draw named curves into `axes`, whose labels are `x` and `y`; fractions from 0 to 1 may be shown in `percent`.

    `styles` has matplotlib's colour and line style of each curve, so that they can be the same in several plots.
    """
    for name, (along, up) in curves.items():
        style = (styles or {}).get(name, {})
        axes.plot(along, up, label=printable(name), marker="o" if len(along) <= 15 else None, markersize=3.5, **style)
    axes.set(xlabel=x, ylabel=y)
    if log:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        subs = range(1, 10) if high < 5 * low else (1, 2, 3, 5) if high < 20 * low else (1, 2, 5)
        axes.yaxis.set_major_locator(
            MaxNLocator(5, steps=[1, 2, 5, 10])
            if high < 2 * low
            else LogLocator(10, subs=subs if high < 1_000 * low else (1,))
        )
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    if percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        axes.yaxis.set_major_locator(MaxNLocator(8, steps=[1, 2, 5, 10]))
        low, high = axes.get_ylim()
        axes.set_ylim(low, min(high, 1 + 0.02 * (1 - low)))  # no fraction exceeds 1
    if x == "epoch":
        _count_epochs(axes, max((max(along) for along, _ in curves.values()), default=1))
    if len(curves) > 1:
        axes.legend()


def share_legend(figure: Figure) -> None:
    """Replace the legends of plots with the same curves by a common one below them."""
    for axes in figure.axes:
        if legend := axes.get_legend():
            legend.remove()
    drawn = {
        name: handle
        for axes in reversed(figure.axes)
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    names, handles = list(drawn), list(drawn.values())
    fits_in_a_row = sum(map(len, names)) + 8 * len(names) <= 14 * figure.get_figwidth()
    figure.legend(handles, names, loc="outside lower left", ncols=len(names) if fits_in_a_row else 2)


@styled
def losses(results: Sequence[EpochResult], config: TrainConfig | None = None) -> Figure:
    """Draw train, val and held-out loss against the epochs, on a logarithmic and on a linear axis.

    The linear axis is limited so that a rise of the val loss, and with it overfitting, is visible. The best epoch of a run
    with held-out images is marked; a `config` adds the settings of the run.
    """
    augmented = config is not None and config.augment != "none"
    curves = {
        f"train{' (augmented images)' if augmented else ''}": _curve(results, "train_loss"),
        "val": _curve(results, "val_loss"),
        "held-out": _curve(results, "held_out_loss"),
    }
    curves = {name: curve for name, curve in curves.items() if len(curve[0])}
    figure, (left, right) = draw(columns=2, size=(10, 4.6))
    kind = LOSS_NAMES[config.loss] if config else "loss"
    plot(left, curves, "epoch", f"mean {kind}, log scale", log=True)
    plot(right, curves, "epoch", f"mean {kind}, linear scale")
    right.set_ylim(0, _top_of_linear(results) if len(results) > FEW else None)
    if best := best_epoch(results):
        for axes in (left, right):
            _mark(axes, best.epoch, best.held_out_loss or 0.0, f"epoch {best.epoch}: lowest held-out loss")
    _write_title(figure, "Loss", config)
    share_legend(figure)
    return figure


@styled
def accuracies(results: Sequence[EpochResult], config: TrainConfig | None = None) -> Figure:
    """Draw train and val accuracy against the epochs; `config` adds the settings of the run."""
    figure, (axes,) = draw(size=(6.4, 4.4))
    augmented = config is not None and config.augment != "none"
    train, val = _curve(results, "train_accuracy"), _curve(results, "val_accuracy")
    curves = {f"train{' (augmented images)' if augmented else ''}": train} if len(train[0]) else {}
    plot(axes, {**curves, "val": val}, "epoch", "accuracy", percent=True)
    if best := best_epoch(results):
        _mark(axes, best.epoch, best.val_accuracy, f"epoch {best.epoch}: lowest held-out loss")
        axes.legend()
    used = best or results[-1]
    _write_title(figure, f"Val accuracy {percent(used.val_accuracy)} after epoch {used.epoch}", config)
    return figure


@styled
def comparison(
    runs: Mapping[str, Sequence[EpochResult]],
    title: str = "Runs compared on the val images",
    loss_functions: Mapping[str, str] | None = None,
) -> Figure:
    """Draw the val loss and the val accuracy of several runs, one chart each.

    Losses of different `loss_functions`, given by the name of the run, are not comparable, so each has a chart.
    """
    of = loss_functions or dict.fromkeys(runs, "")
    kinds = list(dict.fromkeys(of[name] for name in runs))
    figure, charts = draw(columns=len(kinds) + 1, size=(5 * (len(kinds) + 1), 4.4))
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    cycle = list(mpl.rcParams["axes.prop_cycle"])
    styles = {name: cycle[number % len(cycle)] for number, name in enumerate(runs)}
    for kind, axes in zip(kinds, charts, strict=False):
        chosen = {name: _curve(results, "val_loss") for name, results in runs.items() if of[name] == kind}
        label = f"val {LOSS_NAMES[kind]}" if len(kinds) > 1 else "val loss"
        plot(axes, chosen, "epoch", f"{label}, log scale", log=True, styles=styles)
    accuracy = {name: _curve(results, "val_accuracy") for name, results in runs.items()}
    plot(charts[-1], accuracy, "epoch", "val accuracy", percent=True, styles=styles)
    share_legend(figure)
    return figure


@styled
def confusion_matrix(predictions: Predictions) -> Figure:
    """Draw the confusion matrix; the more errors, the stronger the colour."""
    matrix = predictions.confusion_matrix()
    errors = matrix - np.diag(matrix.diagonal())
    shades = np.empty((*matrix.shape, 4))
    shades[:] = to_rgba(ORANGE)
    shades[..., 3] = 0.85 * errors / max(errors.max(), 1)  # transparency, so that the colour of the page shows through
    shades[np.diag_indices(len(matrix))] = to_rgba(BLUE, 0.22)
    side = max(5.6, 0.45 * len(matrix))
    figure, (axes,) = draw(size=(side + 0.8, side))
    axes.imshow(shades, interpolation="none")
    axes.grid(visible=False)
    for (truth, predicted), times in np.ndenumerate(matrix):
        axes.text(predicted, truth, f"{times:,}" if times else "·", ha="center", va="center", color=TEXT, fontsize=9)
    kind = kind_of(predictions)
    axes.set(xticks=range(len(matrix)), yticks=range(len(matrix)), xlabel=f"predicted {kind}", ylabel=f"true {kind}")
    for axis in (axes.xaxis, axes.yaxis):
        _name_ticks(axis, predictions)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title("Confusion matrix", loc="left")
    return figure


@styled
def gallery(predictions: Predictions, images: NDArray[np.uint8], chosen: Sequence[int] | None = None) -> Figure:
    """Draw the mistakes, the most confident first; `images` (N, 28, 28) are those of the predictions.

    Suspects for wrong labels, if `chosen` has their indices, are drawn in this order instead.
    """
    columns, rows = GALLERY
    mistakes = predictions.mistakes() if chosen is None else np.array(chosen, np.int64)
    worst = mistakes[: columns * rows]
    rows = max(1, -(-len(worst) // columns))
    wide, tall = 36, 50  # px for each image with the text above and below it
    mosaic = np.zeros((rows * tall, columns * wide, 2), np.uint8)  # grey and opacity: transparent between the images
    figure, (axes,) = draw(size=(columns * 0.98, rows * 1.36 + 0.4))
    axes.set_axis_off()
    for number, index in enumerate(worst):
        top, left = number // columns * tall + 11, number % columns * wide + 4
        mosaic[top : top + 28, left : left + 28] = np.stack([255 - images[index], np.full((28, 28), 255)], axis=2)
        truth, answer = (predictions.names[each[index]] for each in (predictions.labels, predictions.digits))
        verdict = f"{truth[:MAX_NAME]} as {answer[:MAX_NAME]}"
        size = 10 if len(verdict) < 10 else 5.5
        axes.text(left + 14, top - 2, verdict, ha="center", va="bottom", color=TEXT, fontsize=size)
        under = f"{percent(predictions.confidence[index], 1)}  #{index}"
        axes.text(left + 14, top + 30, under, ha="center", va="top", color=TEXT, fontsize=7.5)
    axes.imshow(mosaic[..., [0, 0, 0, 1]], interpolation="none")
    what, order = (
        ("Mistakes", "most confident") if chosen is None else ("Labels that are probably wrong", "least likely")
    )
    which = f"the {len(worst):,} {order} of" if len(worst) < len(mistakes) else "all"
    truth = f"true {kind_of(predictions)}" if chosen is None else "label"
    title = f"{what}, {which} {len(mistakes):,}: {truth}, prediction, confidence, index"
    axes.set_title(title if len(worst) else "No mistakes", loc="left")
    return figure


@styled
def samples(images: NDArray[np.uint8], labels: NDArray[np.int64], names: Sequence[str]) -> Figure:
    """Draw the first images (N, 28, 28) of each class, a row for each class that has some."""
    present = np.unique(labels).tolist()
    mosaic = np.zeros((len(present) * 32, SAMPLES * 32), np.uint8)
    for row, label in enumerate(present):
        for column, index in enumerate(np.flatnonzero(labels == label)[:SAMPLES]):
            mosaic[row * 32 + 2 : row * 32 + 30, column * 32 + 2 : column * 32 + 30] = images[index]
    figure, (axes,) = draw(size=(SAMPLES * 0.5 + 1.4, len(present) * 0.5 + 0.2))
    axes.imshow(255 - mosaic, cmap="gray", vmin=0, vmax=255, interpolation="none")
    rows = [printable(names[label])[:MAX_NAME] for label in present]
    axes.set(xticks=[], yticks=[row * 32 + 16 for row in range(len(present))], yticklabels=rows)
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


@styled
def reliability(predictions: Predictions) -> Figure:
    """Draw a reliability diagram: accuracy against confidence, and the number of images at each confidence.

    The error bars are Wilson's 95 % intervals of the accuracies.
    """
    bins = predictions.calibration()
    intervals = [Evaluation(0.0, round(each.images * (1 - each.accuracy)), each.images).interval() for each in bins]
    errors = [
        [max(each.accuracy - low, 0.0) for each, (low, _) in zip(bins, intervals, strict=True)],
        [max(high - each.accuracy, 0.0) for each, (_, high) in zip(bins, intervals, strict=True)],
    ]
    confidence = [each.confidence for each in bins]
    figure, (axes, below) = draw(size=(6.4, 5.2), rows=(3, 1))
    axes.plot([0, 1], [0, 1], ":", color=LINE, label="calibrated")
    axes.errorbar(
        confidence,
        [each.accuracy for each in bins],
        yerr=errors,
        fmt="o-",
        color=BLUE,
        markersize=4,
        elinewidth=1,
        capsize=3,
        label="this model, with 95 % intervals",
    )
    axes.set(xlim=(0, 1.01), ylim=(0, 1.03), ylabel="accuracy")
    axes.legend(loc="upper left")
    axes.set_title(f"Confidence, expected calibration error {percent(predictions.calibration_error())}", loc="left")
    below.bar(confidence, [each.images for each in bins], width=0.03, color=BLUE)
    below.set(xlim=(0, 1.01), yscale="log", xlabel="confidence", ylabel="images, log")
    below.set_ylim(0.7, 2 * len(predictions))
    below.yaxis.set_major_locator(LogLocator(10, numticks=6))
    below.yaxis.set_major_formatter("{x:,.0f}")
    below.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    for each in (axes, below):
        each.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    return figure


@styled
def coverage(predictions: Predictions) -> Figure:
    """Draw accuracy against coverage, when only the predictions with the highest confidence are accepted."""
    fractions, accuracy = predictions.coverage()
    begin = max(len(fractions) // 50, 1) - 1  # too few images for an accuracy
    figure, (axes,) = draw()
    plot(
        axes,
        {"this model": (fractions[begin:], accuracy[begin:])},
        "coverage: fraction of the images accepted",
        "accuracy",
    )
    axes.set_title("Accuracy against coverage", loc="left")
    axes.set_xlim(0, 1.01)
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    return figure


@styled
def classes(predictions: Predictions) -> Figure:
    """Draw the false negatives and the false positives of each class."""
    matrix = predictions.confusion_matrix()
    errors = matrix - np.diag(matrix.diagonal())
    figure, (axes,) = draw()
    positions = np.arange(len(matrix))
    axes.bar(positions - 0.2, errors.sum(axis=1), 0.38, color=BLUE, label="missed (false negatives)")
    axes.bar(positions + 0.2, errors.sum(axis=0), 0.38, color=ORANGE, label="false alarms (false positives)")
    axes.set(xticks=positions, xlabel=kind_of(predictions), ylabel="images")
    _name_ticks(axes.xaxis, predictions)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=False, axis="x")
    axes.set_ylim(0, max(errors.sum(axis=1).max(), errors.sum(axis=0).max(), 1) * 1.25)  # room for the legend
    axes.set_title(f"Errors of each {kind_of(predictions)}", loc="left")
    axes.legend(loc="upper left")
    return figure


@styled
def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, atomically."""
    with replacing(path) as file:
        file.write(to_png(figure))


@styled
def to_png(figure: Figure) -> bytes:
    """Return a figure as the content of a PNG file."""
    for text in figure.findobj(Text):
        text.set_text(fonts.spell_out(text.get_text()))
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


@styled
def to_svg(figure: Figure) -> str:
    """Return a figure as an <svg> element, which takes its colours from the surrounding page."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    for colour, of_the_page in {TEXT: "currentColor", LINE: "var(--muted)", GRID: "var(--grid)"}.items():
        svg = svg.replace(colour, of_the_page)
    return svg


def kind_of(predictions: Predictions) -> str:
    """Return what the classes are called."""
    return "digit" if tuple(predictions.names) == DIGITS else "class"


def best_epoch(results: Sequence[EpochResult]) -> EpochResult | None:
    """Return the first epoch with the lowest held-out loss; None without held-out images: none is chosen by val images."""
    measured = [result for result in results if result.held_out_loss is not None]
    return min(measured, key=lambda result: result.held_out_loss or 0.0, default=None)


def _curve(results: Sequence[EpochResult], name: str) -> Curve:
    """Return the epochs that have a value of that name, and the values."""
    known = [(result.epoch, value) for result in results if (value := getattr(result, name)) is not None]
    return [epoch for epoch, _ in known], [value for _, value in known]


def _top_of_linear(results: Sequence[EpochResult]) -> float:
    """Return the upper limit of a linear axis that shows the val loss from its minimum on, and earlier values if they fit."""
    val = np.array([result.val_loss for result in results])
    after = val[int(np.nanargmin(val)) :] if np.isfinite(val).any() else np.ones(1)
    finite = after[np.isfinite(after)]
    return float(max(1.25 * finite.max(), 3 * finite.min(), 1e-6))


def _name_ticks(axis: Axis, predictions: Predictions) -> None:
    """Write the name of each class at its tick, upright below an axis where the names are long."""
    names = [printable(name)[:MAX_NAME] for name in predictions.names]
    is_long = isinstance(axis, XAxis) and max(map(len, names)) > 2
    axis.set_ticklabels(names, rotation=90 if is_long else 0)


def _count_epochs(axes: Axes, last: float) -> None:
    """Put ticks at every epoch if there are few, else at round numbers."""
    few = last <= 12
    axes.xaxis.set_major_locator(
        MultipleLocator(1) if few else MaxNLocator(8, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)
    )
    if last == 1:
        axes.set_xlim(0.5, 1.5)


def _mark(axes: Axes, epoch: int, value: float, why: str) -> None:
    """Draw a ring around a point, explained in the legend."""
    axes.plot(epoch, value, "o", markersize=11, markerfacecolor="none", markeredgecolor=TEXT, label=why)


def _write_title(figure: Figure, title: str, config: TrainConfig | None) -> None:
    """Write a title, and below it the settings of a run."""
    lines = [title, *(_settings(config) if config else [])]
    figure.suptitle("\n".join(lines), x=0.01, ha="left", fontsize=9 if config else 11)


def _settings(config: TrainConfig) -> list[str]:
    """Return the settings of a run in two lines."""
    layers = f" {','.join(map(str, config.hidden))}" if config.hidden else ""
    network = [f"{config.model}{layers}"]
    if config.model != "linear":
        network += [config.activation, *([f"dropout {config.dropout:g}"] if config.dropout else [])]
    data = [f"batch size {config.batch_size}", f"augment {config.augment}", f"seed {config.seed}"]
    data += [f"{config.train_size:,} images"] if config.train_size else []
    learning = [
        config.loss,
        f"{config.optimizer}, learning rate {config.learning_rate:g}, {config.schedule}",
        *([f"weight decay {config.weight_decay:g}"] if config.weight_decay else []),
        *([f"label smoothing {config.label_smoothing:g}"] if config.label_smoothing else []),
        *([f"teacher {printable(config.teacher)}"] if config.teacher else []),
    ]
    return [" · ".join([*network, *data]), " · ".join(learning)]
