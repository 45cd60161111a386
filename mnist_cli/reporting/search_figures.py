"""The pictures of a search, as matplotlib figures: how it went, what mattered, and what is left with fresh seeds."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from statistics import mean
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, NullLocator

from mnist_cli.names import printable
from mnist_cli.reporting.figures import BLUE, GREEN, LINE, ORANGE, SKY, draw, styled
from mnist_cli.tuning.space import Choices, Range, Space, to_text
from mnist_cli.tuning.studies import Record
from mnist_cli.tuning.tuner import Finalist

BEST_TRIALS = 3  # that stand out
COLUMNS = 3  # of slices
SHADES = LinearSegmentedColormap.from_list("errors", [BLUE, SKY, "#d5dae0"])  # the fewest errors are the darkest
ERROR = "error on held-out images, %, log scale"


@styled
def history(records: Sequence[Record]) -> Figure:
    """Draw the error of each trial in their order, and the lowest one so far."""
    figure, (axes,) = draw(size=(6.4, 4.0))
    scored = [record for record in records if record.scores]
    stopped = [record for record in scored if record.state != "complete"]
    done = [record for record in scored if record.state == "complete"]
    axes.plot([one.number for one in stopped], _errors(stopped), "x", color=LINE, markersize=5, label="stopped early")
    axes.plot([one.number for one in done], _errors(done), "o", color=BLUE, markersize=4.5, label="trained to the end")
    lowest = list(accumulate(_errors(done), min))
    axes.step([one.number for one in done], lowest, where="post", color=ORANGE, label="lowest so far")
    _errors_by_number(axes, "trial")
    axes.set_title("Optimization history", loc="left")
    return figure


@styled
def importances(values: Mapping[str, float]) -> Figure:
    """Draw the importance of each hyperparameter, the largest on top."""
    figure, (axes,) = draw(size=(6.4, 1.4 + 0.35 * len(values)))
    names = list(values)[::-1]
    axes.barh([_name(name) for name in names], [values[name] for name in names], color=BLUE, height=0.6)
    for number, name in enumerate(names):
        axes.text(values[name], number, f" {values[name]:.2f}", va="center")
    axes.set(xlabel="importance (PED-ANOVA), all together 1", xlim=(0, 1.12 * max(values.values(), default=1)))
    axes.grid(visible=False, axis="y")
    axes.set_title("What mattered", loc="left")
    return figure


@styled
def slices(records: Sequence[Record], space: Space) -> Figure:
    """Draw the error against each hyperparameter, one plot each."""
    done = [record for record in records if record.state == "complete"]
    columns = min(COLUMNS, len(space))
    rows = -(-len(space) // columns)
    figure, plots = draw(columns=columns, size=(10, 2.9 * rows), rows=(1,) * rows)
    for number, axes in enumerate(plots):
        if number >= len(space):
            axes.set_axis_off()
            continue
        name = sorted(space)[number]
        shown = [record for record in done if name in record.values]
        _along(axes, name, space, [record.values[name] for record in shown], _errors(shown))
        _log_errors(axes)
        if number % columns == 0:
            axes.set_ylabel("error, %")
    figure.suptitle("The error against each hyperparameter", x=0.01, ha="left", fontsize=11)
    return figure


@styled
def parallel(records: Sequence[Record], space: Space) -> Figure:
    """Draw each trial as a line through its values, the best ones dark and in front."""
    done = [record for record in records if record.state == "complete" and all(name in record.values for name in space)]
    names = sorted(space)
    figure, (axes,) = draw(size=(10, 4.4))
    order = sorted(done, key=lambda record: record.score or 0.0)
    for rank, record in enumerate(order):
        heights = [_height(space[name], record.values[name]) for name in names]
        is_best = rank >= len(order) - BEST_TRIALS
        shade = SHADES(1 - (rank + 1) / len(order))
        axes.plot(range(len(names)), heights, "-", color=ORANGE if is_best else shade, linewidth=2 if is_best else 1)
    axes.set(xlim=(-0.3, len(names) - 0.7), ylim=(-0.1, 1.12), xticks=range(len(names)), yticks=[])
    axes.set_xticklabels([_name(name) for name in names])
    for number, name in enumerate(names):
        _scale(axes, number, space[name])
    axes.grid(visible=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_title(f"Each trial is a line; the best {min(BEST_TRIALS, len(order))} are orange", loc="left")
    return figure


@styled
def curves(records: Sequence[Record]) -> Figure:
    """Draw the learning curve of each trial; those of trials that were stopped end early."""
    figure, (axes,) = draw(size=(6.4, 4.0))
    best = {one.number for one in sorted(records, key=lambda one: -(one.score or 0.0))[:BEST_TRIALS] if one.score}
    labels = {"best": f"the best {len(best)}", "complete": "trained to the end", "pruned": "stopped early"}
    looks: dict[str, Any] = {
        "best": {"color": ORANGE, "linewidth": 1.8, "zorder": 3},
        "complete": {"color": BLUE, "linewidth": 0.9, "alpha": 0.6},
        "pruned": {"color": LINE, "linewidth": 0.9, "alpha": 0.7, "marker": "x", "markevery": [-1]},
    }
    for record in records:
        kind = "best" if record.number in best else record.state
        if record.scores and kind in looks:
            errors = [_error(score) for score in record.scores.values()]
            few = {"marker": "o", "markersize": 4} if len(errors) == 1 and kind != "pruned" else {}
            axes.plot(list(record.scores), errors, "-", **{**looks[kind], **few}, label=labels.pop(kind, None))
    _errors_by_number(axes, "epoch")
    axes.set_title("Learning curves", loc="left")
    return figure


@styled
def winners_curse(finalists: Sequence[Finalist]) -> Figure:
    """Draw for each finalist the score that the search chose it by, beside those with fresh seeds."""
    figure, (axes,) = draw(size=(6.4, 1.7 + 0.55 * len(finalists)))
    looks = [
        ("held_out", "fresh seeds, held out", BLUE, "o", 0.0),
        ("val", "fresh seeds, val", GREEN, "s", -0.22),
    ]
    for row, one in enumerate(reversed(finalists)):
        if one.search_score is not None:
            label = "search" if not axes.get_legend_handles_labels()[0] else None
            axes.plot([100 * (1 - one.search_score)], [row + 0.22], "D", color=ORANGE, markersize=7, label=label)
        for kind, name, colour, marker, shift in looks:
            errors = [100 * (1 - score) for score in getattr(one, kind)]
            if errors:
                first = row == len(finalists) - 1
                heights = [row + shift] * len(errors)
                axes.plot(errors, heights, marker, color=colour, markersize=5, alpha=0.7, label=name if first else None)
                axes.plot([mean(errors)] * 2, [row + shift - 0.09, row + shift + 0.09], "-", color=colour, linewidth=2)
    names = ["base" if one.is_base else f"trial {one.number}" for one in reversed(finalists)]
    axes.set_yticks(range(len(finalists)), names)
    axes.set(ylim=(-0.6, len(finalists) - 0.4), xlabel="error, %; the bars are means")
    figure.legend(loc="outside lower left", ncols=3)
    axes.set_title("The best trials, trained again", loc="left")
    return figure


def _along(axes: Axes, name: str, space: Space, values: Sequence[Any], errors: Sequence[float]) -> None:
    """Draw errors against the values of a hyperparameter, a range or choices."""
    axes.set_xlabel(_name(name))
    it = space[name]
    if isinstance(it, Range):
        axes.plot(values, errors, "o", color=BLUE, markersize=4, alpha=0.7)
        if it.log:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:g}")
            axes.xaxis.set_minor_formatter(NullFormatter())
        axes.set_xlim(*_widened(it))
        return
    texts = list(map(to_text, it.values))
    axes.plot([texts.index(value) for value in values], errors, "o", color=BLUE, markersize=4, alpha=0.7)
    axes.set_xticks(range(len(texts)), [printable(text) for text in texts])
    axes.set_xlim(-0.5, len(texts) - 0.5)


def _widened(it: Range) -> tuple[float, float]:
    """Return a range with room on both sides."""
    if it.log:
        factor = (it.high / it.low) ** 0.05
        return it.low / factor, it.high * factor
    return it.low - 0.05 * (it.high - it.low), it.high + 0.05 * (it.high - it.low)


def _height(it: Range | Choices, value: Any) -> float:
    """Return where a value is in its range or among its choices, from 0 to 1."""
    if isinstance(it, Range):
        low, high, at = np.log([it.low, it.high, value]) if it.log else (it.low, it.high, value)
        return float((at - low) / (high - low))
    texts = list(map(to_text, it.values))
    return texts.index(value) / (len(texts) - 1)


def _scale(axes: Axes, column: int, it: Range | Choices) -> None:
    """Draw a vertical axis with its ends, or its choices, in the plot of parallel coordinates."""
    axes.plot([column, column], [0, 1], "-", color=LINE, linewidth=0.8, zorder=0)
    if isinstance(it, Range):
        axes.text(column, -0.03, f"{it.low:g}", ha="center", va="top", fontsize=8.5)
        axes.text(column, 1.03, f"{it.high:g}", ha="center", va="bottom", fontsize=8.5)
        return
    texts = list(map(to_text, it.values))
    for number, text in enumerate(texts):
        axes.text(column + 0.04, number / (len(texts) - 1), printable(text), va="bottom", fontsize=8.5)


def _errors(records: Sequence[Record]) -> list[float]:
    """Return the errors after the last epoch of each trial, in percent."""
    return [_error(record.scores[max(record.scores)]) for record in records]


def _error(score: float) -> float:
    """Return the error for an accuracy, in percent; none at all would have no place on a logarithmic axis."""
    return max(100 * (1 - score), 0.001)


def _errors_by_number(axes: Axes, what: str) -> None:
    """Label the axes of errors drawn over the numbers of trials or epochs."""
    axes.set(xlabel=what, ylabel=ERROR)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True, min_n_ticks=1))
    _log_errors(axes)
    axes.legend()


def _log_errors(axes: Axes) -> None:
    """Make the vertical axis logarithmic, with a few round numbers."""
    axes.set_yscale("log")
    low, high = axes.get_ylim()
    steps = [1, 2, 5] if high > 3 * low else [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9]
    if high < 1.5 * low:
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    else:
        ticks = [step * 10.0**power for power in range(-4, 3) for step in steps]
        axes.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(low, high)


def _name(name: str) -> str:
    return name.replace("_", " ")
