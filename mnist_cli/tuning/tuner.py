"""A whole search: its trials, and then its best ones trained again with fresh seeds."""

import hashlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import optuna

from mnist_cli.config import HYPERPARAMETERS, TrainConfig, to_toml
from mnist_cli.errors import MnistError
from mnist_cli.tuning import space as search_space
from mnist_cli.tuning import studies
from mnist_cli.tuning.pools import Pool
from mnist_cli.tuning.search import Search, Work
from mnist_cli.tuning.space import Pruner, Sampler, Space
from mnist_cli.tuning.studies import Record, Study

HOLDOUT = 10_000  # images that judge a trial where the base holds none out: as many as MNIST has val images
HELD_OUT = 6  # of a smaller data set one image of so many, as of MNIST
BEST = 3  # trials that are trained again
FRESH_SEEDS = 3  # for each of them


@dataclass(frozen=True)
class Plan:
    """What a search varies, and how."""

    name: str  # of the study
    resolve: Callable[[Mapping[str, Any]], TrainConfig]  # the base with some values changed
    space: Space
    storage: str  # a database URL, or the path of a journal
    trials: float = 50  # infinite where time is the limit
    minutes: float = math.inf
    sampler: Sampler = "tpe"
    pruner: Pruner = "halving"
    device: str | None = None
    data_dir: Path | None = None
    holdout: int = HOLDOUT  # images that judge a trial where the base holds none out

    @property
    def base(self) -> TrainConfig:
        """The configuration around which is searched, as a trial has it."""
        return self.of_trial({})

    def of_trial(self, values: Mapping[str, Any]) -> TrainConfig:
        """Return the configuration of a trial: it computes in one thread and is judged on held-out images."""
        config = self.resolve(values)
        return replace(config, holdout=config.holdout or self.holdout, threads=config.threads or 1)

    def proposed(self, trial: search_space.Suggest) -> TrainConfig:
        """Return the configuration that a trial proposes; what has no effect beside the other values is not asked for."""
        values: dict[str, Any] = {}
        for name in search_space.in_order(self.space):
            if HYPERPARAMETERS[name].obstacle(vars(self.resolve(values))) is None:
                values[name] = search_space.suggest(self.space, name, trial)
        return self.of_trial(values)


@dataclass(frozen=True)
class Finalist:
    """A configuration that was trained again with fresh seeds."""

    config: TrainConfig  # as the trial had it
    is_base: bool
    number: int | None = None  # of its trial
    search_score: float | None = None  # of its trial, by which it was chosen
    held_out: tuple[float, ...] = ()  # accuracies with fresh seeds, each on held-out images of its own
    val: tuple[float, ...] = ()  # accuracies on the val images, with fresh seeds, after training on all images

    @property
    def fresh_score(self) -> float:
        """The mean accuracy on held-out images with fresh seeds, by which the best of the finalists is chosen."""
        return mean(self.held_out) if self.held_out else -math.inf


def held_out_of(images: int) -> int:
    """Return how many of so many training images judge a trial where the base holds none out."""
    return min(HOLDOUT, images // HELD_OUT)


def default_name(base: TrainConfig, space: Space, sampler: Sampler, pruner: Pruner) -> str:
    """Return a name for a study that the same command gets again, and another one does not."""
    text = "\n".join([to_toml(base), *search_space.describe(space), sampler, pruner])
    return f"tune-{base.model}-{hashlib.sha256(text.encode()).hexdigest()[:6]}"


class Tuner:
    """Trains the trials of a study in a pool, and its best ones again; others may do so beside it."""

    def __init__(self, plan: Plan, pool: Pool) -> None:
        """Open the study of `plan`, in which the base is the first trial if it is in the space.

        Raises ConfigError when the study was begun with another base or space.
        """
        self.plan, self.pool = plan, pool
        self.is_stopping = False
        self.storage = studies.open_storage(plan.storage)
        with studies.naming_storage(plan.storage):
            self.study = Study(self.storage, plan.name, studies.make_pruner(plan.pruner, plan.base.epochs))
        values = search_space.values_in(plan.space, plan.base)
        if values is not None:
            self.study.add(values)
        self.study.check(
            base=to_toml(plan.base),
            space="\n".join(search_space.describe(plan.space)),
            method=f"{plan.sampler}, {plan.pruner}",
        )

    def stop(self) -> None:
        """End soon; the same search, begun again, trains again what is not finished."""
        self.is_stopping = True

    def search(self, show: Callable[[Study], object]) -> None:
        """Train the trials; returns when all have ended, here and on other machines, or when stopped."""
        plan, study = self.plan, self.study

        def configure(trial: optuna.Trial) -> TrainConfig:
            # Another seed for each trial: searches on several machines do not propose the same.
            seed = (plan.base.seed * 1_000_003 + trial.number) % 2**32
            study.study.sampler = studies.make_sampler(plan.sampler, seed)
            return plan.proposed(trial)

        deadline = time.monotonic() + 60 * plan.minutes
        rungs = studies.rungs(plan.pruner, plan.base.epochs)
        self._run(Work(study, configure, rungs, plan.trials, deadline, plan.device, plan.data_dir), show)

    def train_again(self, chosen: Sequence[Finalist], show: Callable[[Study], object]) -> list[Finalist]:
        """Return the finalists with their scores after training with fresh seeds, the best first.

        Half of the runs hold images out, with each seed other ones, and choose the best; the others train on all images,
        and their accuracy on the val images is reported and chooses nothing.
        """
        plan = self.plan
        numbers = "-".join("base" if one.number is None else str(one.number) for one in chosen)
        study = Study(self.storage, f"{plan.name} finalists {numbers}", studies.make_pruner("none", 1))
        runs = [(one, on_val, seed) for one in chosen for on_val in (False, True) for seed in range(1, FRESH_SEEDS + 1)]

        def configure(trial: optuna.Trial) -> TrainConfig:
            finalist, on_val, seed = runs[trial.number]
            fresh = replace(finalist.config, seed=(finalist.config.seed + seed) % 2**31)
            return replace(fresh, holdout=0) if on_val else fresh

        rungs, on_val = [plan.base.epochs], {number for number, run in enumerate(runs) if run[1]}
        work = Work(study, configure, rungs, len(runs), math.inf, plan.device, plan.data_dir, on_val)
        self._run(work, show)
        scores = {record.number: record.score for record in study.records()}

        def scores_of(one: Finalist, on_val: bool) -> tuple[float, ...]:
            wanted = [number for number, run in enumerate(runs) if run[0] is one and run[1] == on_val]
            return tuple(score for number in wanted if (score := scores.get(number)) is not None)

        measured = [replace(one, held_out=scores_of(one, False), val=scores_of(one, True)) for one in chosen]
        return sorted(measured, key=lambda one: -one.fresh_score)

    def _run(self, work: Work, show: Callable[[Study], object]) -> None:
        with Search(work, self.pool, lambda: show(work.study), lambda: self.is_stopping) as running:
            running.run()


def finalists(plan: Plan, records: Sequence[Record]) -> list[Finalist]:
    """Return the base and the best trials, none of them twice, the best first; raises MnistError when none was trained."""
    done = sorted((record for record in records if record.score is not None), key=lambda record: -(record.score or 0.0))
    if not done:
        reasons = [record.reason for record in records if record.reason]
        raise MnistError(
            "no trial was trained to its end" + (f"; the last one failed: {reasons[-1]}" if reasons else "")
        )
    found: dict[TrainConfig, Finalist] = {}
    for record in done:
        config = plan.of_trial(
            {name: search_space.from_stored(plan.space, name, it) for name, it in record.values.items()}
        )
        if config not in found and (len(found) < BEST or config == plan.base):
            found[config] = Finalist(config, config == plan.base, record.number, record.score)
    found.setdefault(plan.base, Finalist(plan.base, True))
    return list(found.values())


def best_config(plan: Plan, best: Finalist) -> TrainConfig:
    """Return the configuration to train with: that of `best`, with the held-out images, seed and threads of the base."""
    own = plan.resolve({})
    return replace(best.config, holdout=own.holdout, threads=own.threads, seed=own.seed)
