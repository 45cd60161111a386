"""The trials of a search as a table and as facts in files, and the result in sentences."""

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any, get_args

from mnist_cli.files import replacing
from mnist_cli.results import percent
from mnist_cli.tuning.studies import Record, State
from mnist_cli.tuning.tuner import Finalist, Plan


def best_of(records: Sequence[Record]) -> list[Record]:
    """Return the trials that were trained to their end, the best first."""
    return sorted((record for record in records if record.score is not None), key=lambda record: -(record.score or 0.0))


def write(folder: Path, plan: Plan, records: Sequence[Record], finalists: Sequence[Finalist] = ()) -> None:
    """Write trials.csv, with a row for each trial, and study.json, what `mnist runs studies` shows."""
    names = sorted({name for record in records for name in record.values})
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["trial", "state", "epochs", "held_out_accuracy", "seconds", *names, "reason", "weights"])
    for record in records:
        epochs = max(record.scores, default=0)
        values = [record.values.get(name, "") for name in names]
        cells = [record.number, record.state, epochs, record.scores.get(epochs, ""), round(record.seconds, 2)]
        table.writerow([*cells, *values, record.reason, record.weights])
    with replacing(folder / "trials.csv") as file:
        file.write(text.getvalue().encode())
    with replacing(folder / "study.json") as file:
        file.write(json.dumps(_facts(plan, records, finalists), ensure_ascii=False, indent=1).encode() + b"\n")


def describe(finalists: Sequence[Finalist]) -> list[str]:
    """Return the result of a search in a few sentences, one a line; the first of `finalists` is the best."""
    best = finalists[0]
    lines = [f"{'The base' if best.is_base else f'Trial {best.number}'} is best with fresh seeds:"]
    for one in finalists:
        name = ("base" if one.is_base else f"trial {one.number}").ljust(10)
        score = "      -" if one.search_score is None else percent(one.search_score)
        lines.append(
            f"  {name} search {score}   fresh seeds {spread(one.held_out)}   val, all images {spread(one.val)}"
        )
    if best.is_base:
        lines.append("No configuration that was tried is better than the base.")
    return lines


def spread(scores: Sequence[float]) -> str:
    """Return the mean and the standard deviation of some accuracies."""
    if not scores:
        return "-"
    return percent(mean(scores)) + (f" ± {100 * stdev(scores):.2f}" if len(scores) > 1 else "")


def setting(value: object) -> str:
    """Return the value of a hyperparameter as text."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _facts(plan: Plan, records: Sequence[Record], finalists: Sequence[Finalist]) -> Mapping[str, Any]:
    states = Counter(record.state for record in records)
    best = best_of(records)
    return {
        "name": plan.name,
        "model": plan.base.model,
        "trials": len(records),
        **{state: states[state] for state in get_args(State)},
        "best_trial": best[0].number if best else None,
        "held_out_accuracy": best[0].score if best else None,
        "fresh_held_out_accuracy": finalists[0].fresh_score if finalists else None,
        "best_values": best[0].values if best else None,
        "is_finished": bool(finalists),
    }
