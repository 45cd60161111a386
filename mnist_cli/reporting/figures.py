"""The pictures of a run and of a report, as matplotlib figures: PNG files, or SVG inside a page that may be dark.

The colours are those of Okabe and Ito (2008), which the colour-blind tell apart.
"""

import io
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font_names
from matplotlib.rcsetup import cycler
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, PercentFormatter
from numpy.typing import NDArray

from mnist_cli.arrays import CLASSES
from mnist_cli.evaluation.metrics import Answers
from mnist_cli.files import replacing
from mnist_cli.results import EpochResult, percent

BLUE, ORANGE, GREEN, PINK, YELLOW, SKY = COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
TEXT, LINE, GRID = "#24292f", "#6e7781", "#d5dae0"  # which a page in another colour replaces, see `to_svg`
# For names in Chinese, where one of these is installed: the fonts of Linux, macOS and Windows.
CHINESE = ("Noto Sans CJK SC", "WenQuanYi Zen Hei", "Hiragino Sans GB", "Microsoft YaHei")
STYLE: Any = {
    "font.family": ["DejaVu Sans", *set(CHINESE).intersection(get_font_names())],
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
styled = mpl.rc_context(STYLE)  # a decorator of all that draws
SIZE = (6.4, 4.0)  # inches
DPI = 130
GALLERY = (10, 6)  # columns and rows

Numbers = Sequence[float] | NDArray[np.float64]
Curve = tuple[Numbers, Numbers]  # x and y


def draw(columns: int = 1, size: tuple[float, float] = SIZE, rows: Sequence[float] = (1,)) -> tuple[Figure, list[Axes]]:
    """Return a figure with so many columns of plots, and rows of these heights."""
    figure = Figure(figsize=size, dpi=DPI)
    return figure, list(figure.subplots(len(rows), columns, squeeze=False, height_ratios=rows).flat)


def plot(axes: Axes, curves: Mapping[str, Curve], x: str, y: str, *, log: bool = False, percent: bool = False) -> None:
    """Draw named curves into `axes`, whose labels are `x` and `y`; shares from 0 to 1 may be shown in `percent`."""
    for name, (along, up) in curves.items():
        axes.plot(along, up, label=name, marker="o" if len(along) <= 15 else None, markersize=3.5)
    axes.set(xlabel=x, ylabel=y)
    if log:
        axes.set_yscale("log")
        low, high = axes.get_ylim()
        subs = range(1, 10) if high < 5 * low else (1, 2, 5) if high < 1_000 * low else (1,)
        axes.yaxis.set_major_locator(LogLocator(10, subs=subs))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    if percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
        low, high = axes.get_ylim()
        axes.set_ylim(low, min(high, 1 + 0.02 * (1 - low)))  # nothing is more than all
    if x == "epoch":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    if len(curves) > 1:
        axes.legend()


def share_legend(figure: Figure) -> None:
    """Give the plots of a figure, which show the same things, one legend below them."""
    for axes in figure.axes:
        if legend := axes.get_legend():
            legend.remove()
    handles, names = figure.axes[0].get_legend_handles_labels()
    fits_in_a_row = sum(map(len, names)) + 8 * len(names) <= 14 * figure.get_figwidth()
    figure.legend(handles, names, loc="outside lower left", ncols=len(names) if fits_in_a_row else 2)


@styled
def losses(results: Sequence[EpochResult]) -> Figure:
    """Draw train, val and held-out loss against the epochs, with the best epoch marked."""
    figure, (axes,) = draw()
    epochs = [result.epoch for result in results]
    curves = {"train": [result.train_loss for result in results], "val": [result.val_loss for result in results]}
    judge = "val"
    if all(result.held_out_loss is not None for result in results):
        judge = "held-out"
        curves[judge] = [result.held_out_loss or 0.0 for result in results]
    plot(axes, {name: (epochs, losses) for name, losses in curves.items()}, "epoch", "mean loss, log scale", log=True)
    best = int(np.argmin(curves[judge]))
    _mark_best(axes, epochs[best], curves[judge][best], f"epoch {epochs[best]}: lowest {judge} loss")
    axes.set_title("Loss", loc="left")
    return figure


@styled
def accuracies(results: Sequence[EpochResult]) -> Figure:
    """Draw the val accuracy against the epochs."""
    figure, (axes,) = draw()
    epochs, shares = [result.epoch for result in results], [result.val_accuracy for result in results]
    plot(axes, {"val": (epochs, shares)}, "epoch", "val accuracy", percent=True)
    best = int(np.argmax(shares))
    _mark_best(axes, epochs[best], shares[best], f"epoch {epochs[best]}: {percent(shares[best])}, the highest")
    axes.set_title("Accuracy on the val images", loc="left")
    return figure


@styled
def comparison(runs: Mapping[str, Sequence[EpochResult]], title: str = "Runs compared on the val images") -> Figure:
    """Draw the val loss and the val accuracy of several runs, one chart each."""
    figure, (left, right) = draw(columns=2, size=(10, 4.4))
    epochs = {name: [result.epoch for result in results] for name, results in runs.items()}
    val_losses = {name: (epochs[name], [result.val_loss for result in results]) for name, results in runs.items()}
    shares = {name: (epochs[name], [result.val_accuracy for result in results]) for name, results in runs.items()}
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    plot(left, val_losses, "epoch", "val loss, log scale", log=True)
    plot(right, shares, "epoch", "val accuracy", percent=True)
    share_legend(figure)
    return figure


@styled
def confusion_matrix(answers: Answers) -> Figure:
    """Draw how often each digit was answered with each; the more errors, the stronger the colour."""
    matrix = answers.confusion_matrix()
    errors = matrix - np.diag(matrix.diagonal())
    shades = np.empty((CLASSES, CLASSES, 4))
    shades[:] = to_rgba(ORANGE)
    shades[..., 3] = 0.85 * errors / max(errors.max(), 1)  # see-through, so that the page's own colour shows
    shades[np.diag_indices(CLASSES)] = to_rgba(BLUE, 0.22)
    figure, (axes,) = draw(size=(6.4, 5.6))
    axes.imshow(shades, interpolation="none")
    axes.grid(visible=False)
    for (truth, answer), times in np.ndenumerate(matrix):
        axes.text(answer, truth, f"{times:,}" if times else "·", ha="center", va="center", color=TEXT, fontsize=9)
    axes.set(xticks=range(CLASSES), yticks=range(CLASSES), xlabel="answer", ylabel="truth")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title("How often each digit was answered with each", loc="left")
    return figure


@styled
def gallery(answers: Answers, images: NDArray[np.uint8]) -> Figure:
    """Draw the mistakes, the most confident first; `images` (N, 28, 28) are those that were answered."""
    columns, rows = GALLERY
    mistakes = answers.mistakes()
    worst = mistakes[: columns * rows]
    rows = max(1, -(-len(worst) // columns))
    wide, tall = 36, 50  # px for each image with what is written above and below it
    mosaic = np.zeros((rows * tall, columns * wide, 2), np.uint8)  # grey and opacity: between the images is the page
    figure, (axes,) = draw(size=(columns * 0.98, rows * 1.36 + 0.4))
    axes.set_axis_off()
    for place, index in enumerate(worst):
        top, left = place // columns * tall + 11, place % columns * wide + 4
        mosaic[top : top + 28, left : left + 28] = np.stack([255 - images[index], np.full((28, 28), 255)], axis=2)
        verdict = f"{answers.labels[index]} as {answers.digits[index]}"
        axes.text(left + 14, top - 2, verdict, ha="center", va="bottom", color=TEXT)
        under = f"{percent(answers.confidence[index], 1)}  #{index}"
        axes.text(left + 14, top + 30, under, ha="center", va="top", color=TEXT, fontsize=7.5)
    axes.imshow(mosaic[..., [0, 0, 0, 1]], interpolation="none")
    which = f"the {len(worst):,} most confident of" if len(worst) < len(mistakes) else "all"
    title = f"Mistakes, {which} {len(mistakes):,}: truth, answer, confidence, number of the image"
    axes.set_title(title if len(worst) else "No mistakes", loc="left")
    return figure


@styled
def reliability(answers: Answers) -> Figure:
    """Draw accuracy against confidence, which are alike if the model is honest, and how many images there are of each."""
    bins = answers.calibration()
    confidence = [each.confidence for each in bins]
    figure, (axes, below) = draw(size=(6.4, 5.2), rows=(3, 1))
    axes.plot([0, 1], [0, 1], ":", color=LINE, label="honest")
    axes.plot(confidence, [each.accuracy for each in bins], "o-", color=BLUE, markersize=4, label="this model")
    axes.set(xlim=(0, 1.01), ylim=(0, 1.03), ylabel="accuracy")
    axes.legend(loc="upper left")
    axes.set_title(f"Confidence, expected calibration error {percent(answers.calibration_error())}", loc="left")
    below.bar(confidence, [each.images for each in bins], width=0.03, color=BLUE)
    below.set(xlim=(0, 1.01), yscale="log", xlabel="confidence", ylabel="images, log")
    below.set_ylim(0.7, 2 * len(answers))
    below.yaxis.set_major_locator(LogLocator(10, numticks=6))
    below.yaxis.set_major_formatter("{x:,.0f}")
    below.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    for each in (axes, below):
        each.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    return figure


@styled
def coverage(answers: Answers) -> Figure:
    """Draw how accurate the model is when it answers only the images that it is surest of."""
    shares, accuracy = answers.coverage()
    begin = max(len(shares) // 50, 1) - 1  # the first few are too few to tell
    figure, (axes,) = draw()
    plot(axes, {"this model": (shares[begin:], accuracy[begin:])}, "share of the images answered", "accuracy of those")
    axes.set_title("Accuracy when only the surest answers count", loc="left")
    axes.set_xlim(0, 1.01)
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    return figure


@styled
def classes(answers: Answers) -> Figure:
    """Draw for each digit how often it was missed, and how often another was taken for it."""
    matrix = answers.confusion_matrix()
    errors = matrix - np.diag(matrix.diagonal())
    figure, (axes,) = draw()
    places = np.arange(CLASSES)
    axes.bar(places - 0.2, errors.sum(axis=1), 0.38, color=BLUE, label="missed: it was answered with another")
    axes.bar(places + 0.2, errors.sum(axis=0), 0.38, color=ORANGE, label="false: another was answered with it")
    axes.set(xticks=places, xlabel="digit", ylabel="images")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=False, axis="x")
    axes.set_ylim(0, max(errors.sum(axis=1).max(), errors.sum(axis=0).max(), 1) * 1.25)  # room for the legend
    axes.set_title("Errors of each digit", loc="left")
    axes.legend(loc="upper left")
    return figure


@styled
def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with replacing(path) as file:
        file.write(to_png(figure))


@styled
def to_png(figure: Figure) -> bytes:
    """Return a figure as the content of a PNG file."""
    file = io.BytesIO()
    # A run may have a name that no font has the letters of: they are boxes then.
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        figure.savefig(file, format="png")
    return file.getvalue()


@styled
def to_svg(figure: Figure) -> str:
    """Return a figure as an <svg> element, which takes its colours from the page that it is in."""
    file = io.StringIO()
    figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    svg = file.getvalue()
    svg = svg[svg.index("<svg") :]
    for colour, of_the_page in {TEXT: "currentColor", LINE: "var(--muted)", GRID: "var(--grid)"}.items():
        svg = svg.replace(colour, of_the_page)
    return svg


def _mark_best(axes: Axes, epoch: int, value: float, why: str) -> None:
    """Draw a ring around the best point, and say why in the legend."""
    axes.plot(epoch, value, "o", markersize=11, markerfacecolor="none", markeredgecolor=TEXT, label=why)
    axes.legend()
