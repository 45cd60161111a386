"""A run while it is trained, as a feed of events that a page can show, and commands that pause, steer and stop it.

It knows nothing of the network: a service hands the feed out and the commands in, both from threads of its own.
"""

import json
import math
import time
from base64 import b64encode
from contextlib import suppress
from dataclasses import asdict
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Literal, Self

from mnist_cli.arrays import Frame
from mnist_cli.errors import ConfigError, ImageError
from mnist_cli.pictures import binarize, normalize
from mnist_cli.recognition import sources
from mnist_cli.reporting.probes import Probe
from mnist_cli.results import EpochResult
from mnist_cli.training import optimizers, runs
from mnist_cli.training.loop import Trainer
from mnist_cli.training.runs import Run
from mnist_cli.training.session import Reporter

POINTS = 500  # of the curves of a whole run, each the mean over some steps
# The fraction of the computing that may go into measurements, while somebody looks and while nobody does.
SHARE_WATCHED, SHARE_UNWATCHED = 0.06, 0.01
INTERVAL = 0.25  # seconds of computing between two measurements, at least
POLL = 0.1  # seconds after which a paused run looks whether Ctrl-C was pressed

Name = Literal["pause", "step", "resume", "stop", "rate", "draw"]
Command = tuple[Name, Any]  # with the factor of the learning rate, or with the bytes of the drawn picture


class Feed:
    """What there is to see of a run, as JSON: the events since its beginning, and the newest state of each kind.

    One thread writes and others read, so everything is replaced or appended, never changed.
    """

    def __init__(self) -> None:
        """Begin an empty feed."""
        self.events: list[str] = []
        self.states: dict[str, str] = {}
        self.viewers = 0  # who follow it now
        self.is_awaited = False  # by a viewer who has just come
        self.is_over = False

    def add(self, kind: str, **values: Any) -> None:
        """Append an event."""
        self.events.append(_to_json({"kind": kind, **values}))

    def set(self, kind: str, **values: Any) -> None:
        """Replace the state of a kind."""
        self.states = {**self.states, kind: _to_json({"kind": kind, **values})}


class LiveReport:
    """Passes a run on to another report and shows it in a `feed`; `commands` are obeyed between two steps.

    Measurements take a small share of the time, and the pictures among them are made only while somebody looks.
    """

    def __init__(self, report: Reporter, run: Run, trainer: Trainer) -> None:
        """Report on the remaining epochs of `trainer`, also to `report`."""
        self.report, self.run, self.trainer = report, run, trainer
        self.feed = Feed()
        self.commands: SimpleQueue[Command] = SimpleQueue()
        self.probe = Probe(trainer)
        self.every = math.ceil(trainer.config.epochs * trainer.steps_per_epoch / POINTS)  # steps a point
        self.images = 0  # since the last point
        self.sums = self._sums()  # at the last point
        self.next_measurement = 0.0  # seconds of computing, on which a busy machine has no influence
        self.is_paused = False
        self.drawn: Frame | None = None
        self.drawings = 0

    def __enter__(self) -> Self:
        self.report.__enter__()
        self._describe()
        for result in self.trainer.results:  # of a run that is resumed
            self._add_epoch(result, result.epoch * self.trainer.steps_per_epoch)
        self._show("running")
        self._measure()
        self.next_measurement = 0.0  # the first one takes longer than the others
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.report.__exit__(kind, error, traceback)
        finally:
            if error is None:
                self._show("stopped" if self.trainer.is_stopped else "finished", path=str(self.run.result_path))
            else:
                self._show("failed", reason=str(error) or kind.__name__ if kind else "")
            self.feed.is_over = True

    def advance(self, images: int) -> None:
        """Note a step with so many images, measure the model if that is due, and obey."""
        self.report.advance(images)
        self._note(images)
        while not self.commands.empty():
            self._obey(*self.commands.get())
        if self.feed.is_awaited or self.is_paused or time.process_time() >= self.next_measurement:
            self._measure()
        if self.is_paused:
            self._wait()

    def epoch(self, result: EpochResult) -> None:
        """Show a finished epoch."""
        self.report.epoch(result)
        self.sums = (0.0, 0)  # which begin anew
        self._add_epoch(result, self.trainer.finished_steps)

    def finish(self) -> None:
        """Show the end of a run that was not stopped."""
        self._measure()
        self.report.finish()

    def _describe(self) -> None:
        trainer = self.trainer
        self.feed.set(
            "run",
            name=self.run.name,
            model=trainer.config.model,
            epochs=trainer.config.epochs,
            steps=trainer.steps_per_epoch,
            classes=trainer.model.classes,
            layers=self.probe.layers,
            images=len(trainer.train),
            probed=len(self.probe.labels),
            val=len(trainer.val),
            every=self.every,
        )

    def _add_epoch(self, result: EpochResult, step: int) -> None:
        self.feed.add("epoch", step=step, **asdict(result))

    def _show(self, state: str, **more: Any) -> None:
        """Show the state of the run, and the factor of its learning rate."""
        trainer = self.trainer
        factor = optimizers.factor_at(trainer.finished_steps, trainer.config.rate_changes)
        self.feed.set("status", state=state, factor=factor, step=trainer.finished_steps, **more)

    def _note(self, images: int) -> None:
        """Add a point to the curves when there were enough steps, and at the end of an epoch."""
        self.images += images
        trainer = self.trainer
        if trainer.batch % self.every and trainer.batch < trainer.steps_per_epoch:
            return
        (loss, correct), before = self._sums(), self.sums
        self.feed.add(
            "point",
            step=trainer.finished_steps,
            loss=(loss - before[0]) / self.images,
            accuracy=(correct - before[1]) / self.images,
            rate=trainer.learning_rate,
        )
        self.images, self.sums = 0, (loss, correct)

    def _sums(self) -> tuple[float, int]:
        step = self.trainer.step
        return step.loss_sum.item(), int(step.correct.item())

    def _measure(self) -> None:
        """Measure the model, and set the time before which it is not measured again."""
        start, self.feed.is_awaited = time.process_time(), False
        step, seen = self.trainer.finished_steps, self.probe.measure(self.drawn)
        self.feed.add("probe", step=step, loss=seen.loss, accuracy=seen.accuracy, gradients=seen.gradients)
        if seen.reading:
            self.feed.add("reading", step=step, drawing=self.drawings, probabilities=seen.reading)
        if self.feed.viewers:
            self.feed.set("hardest", images=self.probe.hardest())
            self.feed.set("confusion", matrix=self.probe.confusion())
            self.feed.set("weights", **self.probe.first_weights())
        end, share = time.process_time(), SHARE_WATCHED if self.feed.viewers else SHARE_UNWATCHED
        self.next_measurement = end + max(INTERVAL, (end - start) * (1 / share - 1))

    def _wait(self) -> None:
        """Wait until the run goes on, by a step or for good, or is stopped."""
        start = time.perf_counter()
        self._show("paused")
        while self.is_paused and not self.trainer.stopping:
            try:
                name, value = self.commands.get(timeout=POLL)
            except Empty:
                if self.feed.is_awaited:
                    self._measure()
                continue
            self._obey(name, value)
            if name == "step":
                break
            if name == "draw":
                self._measure()
        self.trainer.paused += time.perf_counter() - start
        if not self.is_paused:
            self._show("running")

    def _obey(self, name: Name, value: Any) -> None:
        match name:
            case "pause" | "step":
                self.is_paused = True
            case "resume":
                self.is_paused = False
            case "stop":
                self.trainer.stop()
            case "rate":
                self._change_rate(value)
            case "draw":
                self._read_drawing(value)

    def _change_rate(self, factor: float) -> None:
        """Change the learning rate, and record it in the run's config.toml."""
        try:
            self.trainer.scale_rate(factor)
        except ConfigError:  # there is no room for more changes: the page goes on showing the factor in use
            pass
        else:
            runs.write_config(self.run, self.trainer.config)
            self.feed.add("change", step=self.trainer.finished_steps, factor=factor)
        self._show("paused" if self.is_paused else "running")

    def _read_drawing(self, picture: bytes) -> None:
        """Find the frame of a drawn picture, which is read again at every measurement; no bytes end that."""
        self.drawn, self.drawings = None, self.drawings + 1
        # The likeliest ink, without asking the model which it is, as `predict` does: the frame stays the same as it learns.
        with suppress(ImageError):
            if picture:
                self.drawn = normalize.draw(next(binarize.candidates(sources.read(picture))))
        pixels = None if self.drawn is None else b64encode(self.drawn.tobytes()).decode()
        self.feed.set("drawing", drawing=self.drawings, pixels=pixels)


def _to_json(values: dict[str, Any]) -> str:
    """Return JSON, in which null stands for numbers that are not finite."""
    return json.dumps(_finite(values), separators=(",", ":"))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return [_finite(item) for item in value] if isinstance(value, list | tuple) else value
