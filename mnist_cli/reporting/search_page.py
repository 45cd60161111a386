"""The page of a search, report.html: self-contained, with its figures, its trials and what is left with fresh seeds."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from matplotlib.figure import Figure

from mnist_cli.files import replacing
from mnist_cli.names import printable
from mnist_cli.reporting import figures, search_figures, search_tables
from mnist_cli.results import percent
from mnist_cli.tuning.studies import Record
from mnist_cli.tuning.tuner import Finalist, Plan
from mnist_cli.version import __version__

CAPTIONS = {
    "winners-curse": "The best of many trials is also the luckiest: its score in the search (orange) is too good. Trained again "
    "with fresh seeds, on other held-out images, it shows what the configuration is worth (blue). Green is the accuracy on the "
    "val images after training on all images; it chose nothing.",
    "history": "Each trial in the order in which it was begun.",
    "importances": "How much of what distinguishes the best trials from the others each hyperparameter explains "
    "(PED-ANOVA, Watanabe et al. 2023).",
    "slices": "The trials that were trained to the end.",
    "parallel": "A vertical axis for each hyperparameter, a line for each trial that was trained to the end.",
    "curves": "The error after each epoch. Trials that were behind the others were stopped, where their curve ends.",
}


def write(
    folder: Path,
    plan: Plan,
    records: Sequence[Record],
    importances: Mapping[str, float],
    finalists: Sequence[Finalist],
) -> Path:
    """Write report.html and the pictures, and return the path of the page."""
    drawn = _draw(plan, records, importances, finalists)
    for name, figure in drawn.items():
        figures.save(figure, folder / f"{name}.png")
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("mnist_cli", "reporting"), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    states = Counter(record.state for record in records)
    page = environment.get_template("search.html").render(
        title=f"{printable(plan.name)}: {len(records):,} trials",
        version=__version__,
        plan=plan,
        states=states,
        finalists=finalists,
        describe=search_tables.describe(finalists) if finalists else [],
        rows=_rows(records),
        names=sorted(plan.space),
        figures={name: {"svg": Markup(figures.to_svg(it)), "caption": CAPTIONS[name]} for name, it in drawn.items()},
        percent=percent,
        spread=search_tables.spread,
    )
    with replacing(folder / "report.html") as file:
        file.write(page.encode())
    return folder / "report.html"


def _draw(
    plan: Plan, records: Sequence[Record], importances: Mapping[str, float], finalists: Sequence[Finalist]
) -> dict[str, Figure]:
    has_scores = any(record.score is not None for record in records)
    drawn = {"winners-curse": search_figures.winners_curse(finalists)} if finalists else {}
    drawn["history"] = search_figures.history(records)
    drawn["curves"] = search_figures.curves(records)
    if importances:
        drawn["importances"] = search_figures.importances(importances)
    if has_scores:
        drawn["slices"] = search_figures.slices(records, plan.space)
        drawn["parallel"] = search_figures.parallel(records, plan.space)
    return drawn


def _rows(records: Sequence[Record]) -> list[dict[str, Any]]:
    """Return what the table of trials shows, the best first, then the stopped and the failed ones."""
    others = [record for record in records if record.score is None]
    rows = []
    for record in [*search_tables.best_of(records), *others]:
        last = max(record.scores, default=0)
        rows.append(
            {
                "number": record.number,
                "state": record.state,
                "score": percent(record.scores[last]) if record.scores else "",
                "epochs": last or "",
                "values": {name: search_tables.setting(value) for name, value in record.values.items()},
                "reason": printable(record.reason),
            }
        )
    return rows
