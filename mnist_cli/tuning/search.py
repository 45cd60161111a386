"""The search: takes trials from the queue of a study, has them trained, and stops early those that are behind."""

import math
import time
from collections.abc import Callable, Container
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Future, wait
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import optuna
from optuna.trial import TrialState

from mnist_cli.config import TrainConfig, to_toml
from mnist_cli.errors import ConfigError, DivergenceError, MnistError, first_line
from mnist_cli.tuning import trials
from mnist_cli.tuning.pools import Pool
from mnist_cli.tuning.studies import Study
from mnist_cli.tuning.trials import Part, Trained

POLL_SECONDS = 1.0  # between two looks at what other searches do
MAX_STARTS = 5  # of one part: a trial whose process ends again and again takes too much memory, for example


@dataclass
class Job:
    """A trial that is trained."""

    trial: optuna.Trial
    part: Part
    rungs: list[int]  # the epochs after which it can be stopped that are still to come, and the last epoch
    starts: int = 0  # of the part
    began: float = 0.0  # of the part, on the clock of time.monotonic
    seconds: float = 0.0  # of the parts before


@dataclass(frozen=True)
class Work:
    """What a search does with the trials of a study."""

    study: Study
    configure: Callable[[optuna.Trial], TrainConfig]  # the configuration of a trial, by its number or its proposals
    rungs: list[int]  # the epochs after which a trial can be stopped, and the last epoch
    below: float  # the number of trials, infinite where time is the limit
    deadline: float = math.inf  # after which no trial is begun, on the clock of time.monotonic
    device: str | None = None
    data_dir: Path | None = None
    on_val: Container[int] = ()  # the numbers of the trials that are measured on the val images


class Search:
    """Trains the trials of a study in a pool; use it in a `with` block, whose end puts unfinished trials back."""

    def __init__(self, work: Work, pool: Pool, show: Callable[[], object], is_stopping: Callable[[], bool]) -> None:
        """Prepare; `show` is called when something has changed, `is_stopping` is asked whether to end soon."""
        self.work, self.study, self.pool, self.show, self.is_stopping = work, work.study, pool, show, is_stopping
        self.running: dict[Future[Trained], Job] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *of_error: object) -> None:
        for job in self.running.values():
            self.study.put_back(job.trial)

    def run(self) -> None:
        """Return when all trials have ended, also those of other searches, or when the search is stopped."""
        self.show()
        while not self.is_stopping():
            self.study.beat()
            self.study.requeue_lost()
            has_begun = self._fill()
            if not self.running and self._is_over():
                return
            finished = self._wait()
            for future in finished:
                with suppress(optuna.exceptions.UpdateFinishedTrialError):  # by a search that took this one for lost
                    self._settle(self.running.pop(future), future)
            if has_begun or finished or not self.running:
                self.show()

    def _is_over(self) -> bool:
        late = time.monotonic() > self.work.deadline
        return self.study.is_finished(self.work.below) or (late and self.study.is_idle())

    def _fill(self) -> bool:
        """Begin trials while there are processes for them."""
        has_begun = False
        while len(self.running) < self.pool.capacity() and time.monotonic() < self.work.deadline:
            trial = self.study.take(self.work.below)
            if trial is None:
                break
            has_begun = True
            try:
                config = self.work.configure(trial)
            except ConfigError as error:  # of a combination of values
                self._fail(trial, str(error))
                continue
            trial.set_user_attr("config", to_toml(config))
            on_val = trial.number in self.work.on_val
            part = Part(config, self.work.rungs[0], self.work.device, self.work.data_dir, on_val=on_val)
            self._submit(Job(trial, part, list(self.work.rungs)))
        return has_begun

    def _submit(self, job: Job) -> None:
        job.starts += 1
        job.began = time.monotonic()
        self.running[self.pool.submit(trials.train, job.part)] = job

    def _wait(self) -> set[Future[Trained]]:
        if not self.running:
            time.sleep(POLL_SECONDS)
            return set()
        return wait(self.running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED).done

    def _settle(self, job: Job, future: "Future[Trained]") -> None:
        """Note what came of a part; go on with the trial, stop it, or begin the part again."""
        if future.cancelled():  # by a cluster that has ended, which the next look at its capacity tells
            self.study.put_back(job.trial)
            return
        error = future.exception()
        if error is not None:
            self._settle_error(job, error)
            return
        trained = future.result()
        job.seconds += time.monotonic() - job.began
        self._report(job, trained)
        is_last = len(job.rungs) == 1
        if is_last or job.trial.should_prune():
            job.trial.set_user_attr("seconds", job.seconds)
            job.trial.set_user_attr("weights", trained.weights)
            score = trained.results[-1].val_accuracy
            self._tell(job.trial, *((TrialState.COMPLETE, score) if is_last else (TrialState.PRUNED, None)))
            return
        job.rungs.pop(0)
        job.part = replace(job.part, until=job.rungs[0], state=trained.state, results=trained.results)
        job.starts = 0
        self._submit(job)

    def _settle_error(self, job: Job, error: BaseException) -> None:
        """Begin a part again whose process was killed, and end a trial that cannot be trained."""
        is_of_process = isinstance(error, BrokenExecutor) or type(error).__name__ == "KilledWorker"  # of a cluster
        if is_of_process and job.starts < MAX_STARTS:
            self._submit(job)
        elif is_of_process:
            self._fail(job.trial, f"its process was ended {MAX_STARTS} times, perhaps for want of memory")
        elif isinstance(error, DivergenceError):  # the sampler is to keep away from there
            self._fail(job.trial, str(error), TrialState.PRUNED)
        elif isinstance(error, MnistError | MemoryError | RuntimeError):
            self._fail(job.trial, first_line(error))
        else:
            self.study.put_back(job.trial)
            raise error

    def _report(self, job: Job, trained: Trained) -> None:
        """Store the scores that the storage does not have; one that was begun again has the same as before."""
        known = self.study.scores(job.trial)
        for result in trained.results:
            if result.epoch not in known:
                job.trial.report(result.val_accuracy, result.epoch)

    def _fail(self, trial: optuna.Trial, reason: str, state: TrialState = TrialState.FAIL) -> None:
        trial.set_user_attr("reason", reason)
        self._tell(trial, state, None)

    def _tell(self, trial: optuna.Trial, state: TrialState, score: float | None) -> None:
        self.study.study.tell(trial, score, state=state, skip_if_finished=True)
