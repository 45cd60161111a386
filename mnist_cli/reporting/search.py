"""The report of a search: a table on the terminal; in its folder the trials as files, as a table and for TensorBoard."""

import math
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mnist_cli.files import replacing
from mnist_cli.names import one_line
from mnist_cli.reporting import search_tables
from mnist_cli.results import percent
from mnist_cli.tuning.studies import Record, State, Study
from mnist_cli.tuning.tuner import Finalist, Plan

SHOWN = 5  # of the best trials, while the search goes on
COUNTED: tuple[State, ...] = ("running", "pruned", "failed")
ENDED: tuple[State, ...] = ("complete", "pruned", "failed")


class SearchReport:
    """Shows a search while it goes on and keeps its folder; use it in a `with` block."""

    def __init__(self, folder: Path, plan: Plan, quiet: bool = False) -> None:
        """Keep the trials of `plan` in `folder`."""
        self.folder, self.plan = folder, plan
        self.console = Console(stderr=True, quiet=quiet)
        self.live = Live(console=self.console, auto_refresh=False, transient=True)
        self.begin = time.monotonic()
        self.written: set[int] = set()  # the trials that have their files
        self.begun_with = 0  # trials that had ended before

    def __enter__(self) -> Self:
        self.folder.mkdir(parents=True, exist_ok=True)
        # config.toml is written last: a search that was killed can have left a trial without it.
        folders = (path.parent.name for path in self.folder.glob("trials/*/config.toml"))
        self.written = {int(name) for name in folders if name.isdigit()}
        self.begun_with = len(self.written)
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.live.stop()

    def show(self, study: Study) -> None:
        """Show the trials of the search, and write the files of those that have ended."""
        records = study.records()
        new = [record for record in records if record.state in ENDED and record.number not in self.written]
        for record in new:
            self._write_trial(record)
            if not self.console.is_terminal:
                self.console.print(_line(record), highlight=False, markup=False, soft_wrap=True)
        if new or not (self.folder / "study.json").exists():
            search_tables.write(self.folder, self.plan, records)
        self._draw(Text(self._summary(records)), best_table(records))

    def show_again(self, study: Study) -> None:
        """Show how far the training with fresh seeds has come."""
        states = Counter(record.state for record in study.records())
        done = sum(states[state] for state in ENDED)
        self._draw(Text(f"{self.plan.name}: training the best again with fresh seeds, {done} runs done"))

    def finish(self, study: Study, finalists: Sequence[Finalist]) -> None:
        """Write the report; `finalists` is empty when the search was stopped."""
        from mnist_cli.reporting import search_page

        self.live.stop()
        records = study.records()
        search_tables.write(self.folder, self.plan, records, finalists)
        if any(record.scores for record in records):
            search_page.write(self.folder, self.plan, records, study.importances(), finalists)

    def _draw(self, *parts: Text | Table) -> None:
        if self.live.is_started:
            self.live.update(Group(*parts), refresh=True)

    def _summary(self, records: Sequence[Record]) -> str:
        """Return for example `tune-mlp-1f3a9c: 12 of 50 trials, 2 running, 5 pruned, 1 failed; about 12 min left`."""
        states = Counter(record.state for record in records)
        done = sum(states[state] for state in ENDED)
        total = "" if math.isinf(self.plan.trials) else f" of {self.plan.trials:.0f}"
        counts = ", ".join(f"{states[state]} {state}" for state in COUNTED)
        left = self._seconds_left(done)
        return f"{self.plan.name}: {done}{total} trials, {counts}" + (f"; {_duration(left)} left" if left else "")

    def _seconds_left(self, done: int) -> float | None:
        """Return how long the trials will still take, at the speed of this search so far; None where it is unknown."""
        passed = time.monotonic() - self.begin
        left = [60 * self.plan.minutes - passed] if math.isfinite(self.plan.minutes) else []
        here = done - self.begun_with
        if here > 0 and math.isfinite(self.plan.trials):
            left.append(passed / here * max(0.0, self.plan.trials - done))
        return max(0.0, min(left)) if left else None

    def _write_trial(self, record: Record) -> None:
        """Write the configuration of a trial, from which `mnist train --config` repeats it, and its log for TensorBoard."""
        from tensorboardX import summary
        from tensorboardX.proto.event_pb2 import Event

        from mnist_cli.reporting.tensorboard import EventFile

        self.written.add(record.number)
        folder = self.folder / "trials" / f"{record.number:04}"
        for unfinished in folder.glob("events.out.tfevents.*"):  # of a search that was killed
            unfinished.unlink(missing_ok=True)
        events = EventFile(folder)
        score = "final/held-out accuracy"
        last = record.scores[max(record.scores)] if record.scores else 0.0
        for content in summary.hparams(record.values or {"none": 0}, {score: last}):
            events.add(Event(summary=content, wall_time=time.time()))
        for epoch, value in record.scores.items():
            content = summary.scalar("value", value)
            content.value[0].tag = "held-out accuracy"
            events.add(Event(summary=content, step=epoch, wall_time=time.time()))
        content = summary.scalar("value", last)
        content.value[0].tag = score
        events.add(Event(summary=content, step=max(record.scores, default=0), wall_time=time.time()))
        events.close()
        with replacing(folder / "config.toml") as file:
            file.write(record.config.encode())


def best_table(records: Sequence[Record]) -> Table:
    """Return the table of the best trials so far."""
    best = search_tables.best_of(records)[:SHOWN]
    names = list(dict.fromkeys(name for record in best for name in record.values))
    table = Table(box=None, pad_edge=False)
    for heading in ("trial", "held-out accuracy", *(name.replace("_", " ") for name in names)):
        table.add_column(heading, justify="right")
    for record in best:
        cells = [search_tables.setting(record.values[name]) if name in record.values else "" for name in names]
        table.add_row(str(record.number), percent(record.score or 0.0), *map(one_line, cells))
    return table


def _line(record: Record) -> str:
    """Return a line about a trial that has ended."""
    score = percent(record.scores[max(record.scores)]) if record.scores else ""
    values = ", ".join(
        f"{name.replace('_', ' ')} {search_tables.setting(value)}" for name, value in record.values.items()
    )
    state = {"complete": "", "pruned": f"stopped after epoch {max(record.scores, default=0)}, "}.get(
        record.state, "failed, "
    )
    return f"trial {record.number:<4} {score:>8}  {state}{values}{f': {record.reason}' if record.reason else ''}"


def _duration(seconds: float) -> str:
    return f"about {seconds / 60:.0f} min" if seconds >= 90 else f"about {seconds:.0f} s"
