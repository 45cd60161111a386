"""The trials of a search in Optuna's storage: a journal file, or a database that several machines share.

The trials are a queue with the numbers 0, 1, 2 and so on. One that is taken from it is RUNNING; when the search that took
it is gone, it goes back into the queue with its values, so that it is run again and counted once.
"""

import json
import logging
import os
import re
import secrets
import socket
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from mnist_cli.errors import ConfigError, MnistError, first_line, missing
from mnist_cli.files import lock, naming
from mnist_cli.hyperparameters import MAX_SHOWN_CHARACTERS
from mnist_cli.tuning.space import Pruner, Sampler

try:
    import optuna
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
    from optuna.trial import FrozenTrial, TrialState
except ModuleNotFoundError as error:
    raise missing("`mnist tune`", error, "tune") from error

BEAT_SECONDS = 10.0  # between two signs of life of a search
LOST_SECONDS = 60.0  # without one, after which the trials of a search on another machine are taken over

State = Literal["waiting", "running", "complete", "pruned", "failed"]
JOURNAL = b'{"op_code":'  # how each line of a journal begins
MADE_BY_ANOTHER = re.compile("already exists|duplicate|unique", re.IGNORECASE)
STATES: dict[TrialState, State] = {
    TrialState.WAITING: "waiting",
    TrialState.RUNNING: "running",
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


@dataclass(frozen=True)
class Record:
    """What is known of a trial."""

    number: int
    state: State
    values: dict[str, Any] = field(default_factory=dict)  # of the hyperparameters that the search varies
    scores: dict[int, float] = field(default_factory=dict)  # accuracy on held-out images after some epochs
    seconds: float = 0.0  # of training
    config: str = ""  # as TOML
    weights: str = ""  # SHA-256 of the model
    reason: str = ""  # why it failed

    @property
    def score(self) -> float | None:
        """The accuracy after the last epoch of a trial that was trained to its end."""
        return self.scores[max(self.scores)] if self.state == "complete" and self.scores else None


class Study:
    """A queue of trials that this search, and others beside it, work on."""

    def __init__(self, storage: optuna.storages.BaseStorage, name: str, pruner: optuna.pruners.BasePruner) -> None:
        """Open the study of that name, or make it; `is_new` is true for the one search that made it."""
        try:
            self.study = optuna.create_study(storage=storage, study_name=name, direction="maximize", pruner=pruner)
            self.is_new = True
        except optuna.exceptions.DuplicatedStudyError:
            self.study = optuna.load_study(storage=storage, study_name=name, pruner=pruner)
            self.is_new = False
        self.storage = self.study._storage
        self.runner = f"{_machine()} {os.getpid()} {secrets.token_hex(4)}"  # this search
        self._beaten = -BEAT_SECONDS
        self._seen: dict[str, tuple[object, float]] = {}  # the last sign of life of each search, and when it came here

    def check(self, **facts: str) -> None:
        """Store what all searches of this study have in common; raises ConfigError when the study has something else."""
        for name, value in facts.items():
            stored = self.study.user_attrs.get(name)
            if stored is None:
                self.study.set_user_attr(name, value)
            elif stored != value:
                raise ConfigError(
                    f"the study {self.study.study_name!r} was begun with another {name}: {_difference(stored, value)}; "
                    "give this one another --name"
                )

    def take(self, below: float) -> optuna.Trial | None:
        """Take a trial with a number below `below` from the queue, or a new one; None when there is none."""
        trials = self._trials()
        if len(trials) >= below and not any(one.state == TrialState.WAITING and one.number < below for one in trials):
            return None
        trial = self.study.ask()
        trial.set_user_attr("runner", self.runner)
        if trial.number < below:
            return trial
        self.put_back(trial)  # another search took the last one in the same moment
        return None

    def add(self, values: dict[str, Any]) -> None:
        """Put a trial with these values into the queue of a new study."""
        if self.is_new:
            self.study.enqueue_trial(values)

    def put_back(self, trial: optuna.Trial) -> None:
        """Put a trial that was not trained to its end back into the queue."""
        self._requeue(trial._trial_id)

    def scores(self, trial: optuna.Trial) -> dict[int, float]:
        """Return the scores of a trial that the storage has, by epoch."""
        return dict(self.storage.get_trial(trial._trial_id).intermediate_values)

    def beat(self) -> None:
        """Give a sign of life, from time to time."""
        if time.monotonic() > self._beaten + BEAT_SECONDS:
            self._beaten = time.monotonic()
            self.study.set_user_attr(f"beat {self.runner}", time.time())

    def requeue_lost(self) -> None:
        """Put the trials of searches that are gone back into the queue."""
        beats = self.study.user_attrs
        for trial in self._trials():
            runner = trial.user_attrs.get("runner", "")
            if trial.state != TrialState.RUNNING or runner == self.runner:
                continue
            key = runner or f"trial {trial.number}"
            if self._is_gone(key, beats.get(f"beat {runner}")):
                now = self.storage.get_trial(trial._trial_id)
                if now.state == TrialState.RUNNING and now.user_attrs.get("runner", "") == runner:
                    self._requeue(trial._trial_id)

    def is_finished(self, below: float) -> bool:
        """Whether all the trials with numbers below `below` have ended."""
        return sum(trial.state.is_finished() for trial in self._trials() if trial.number < below) == below

    def is_idle(self) -> bool:
        """Whether no search trains a trial."""
        return not any(trial.state == TrialState.RUNNING for trial in self._trials())

    def records(self) -> list[Record]:
        """Return what is known of the trials that were begun, in the order of their numbers."""
        begun = (trial for trial in self._trials() if trial.state != TrialState.WAITING)
        return sorted((_record(trial) for trial in begun), key=lambda record: record.number)

    def importances(self) -> dict[str, float]:
        """Return the importance of each hyperparameter, most important first, by PED-ANOVA (Watanabe et al. 2023).

        It is empty where there are too few trials to say anything.
        """
        try:
            with warnings.catch_warnings(action="ignore"):
                evaluator = optuna.importance.PedAnovaImportanceEvaluator()
                return dict(optuna.importance.get_param_importances(self.study, evaluator=evaluator))
        except (ValueError, RuntimeError):
            return {}

    def _trials(self) -> list[FrozenTrial]:
        return self.study.get_trials(deepcopy=False)

    def _requeue(self, trial_id: int) -> None:
        try:
            self.storage.set_trial_user_attr(trial_id, "runner", "")
            self.storage.set_trial_state_values(trial_id, TrialState.WAITING)
        except optuna.exceptions.UpdateFinishedTrialError:
            pass  # another search has finished it meanwhile

    def _is_gone(self, runner: str, beat: object) -> bool:
        """Whether a search has ended: at once for one of this machine, else after some time without a sign of life."""
        machine, _, rest = runner.partition(" ")
        if machine == _machine() and not _is_alive(int(rest.split()[0])):
            return True
        before, since = self._seen.get(runner, (None, 0.0))
        if before != (beat,):
            self._seen[runner] = ((beat,), time.monotonic())
            return False
        return time.monotonic() > since + LOST_SECONDS


def log_to(handler: logging.Handler) -> None:
    """Let `handler` have what Optuna logs."""
    logging.getLogger("optuna").handlers[:] = [handler]


def open_storage(place: str) -> optuna.storages.BaseStorage:
    """Return the storage at a database URL, or in a journal file at a path; raises MnistError when it cannot be used."""
    optuna.logging.disable_default_handler()  # which writes every trial to stderr
    with naming_storage(place):
        if "://" in place:
            return _open_database(place)
        path = Path(place)
        path.parent.mkdir(parents=True, exist_ok=True)
        _check_journal(path)
        return optuna.storages.JournalStorage(JournalFileBackend(str(path), JournalLock(path)))


def _open_database(url: str) -> optuna.storages.BaseStorage:
    """Return the storage at a URL, in which the first search makes the tables."""
    for is_last in (False, False, False, True):
        try:
            return optuna.storages.get_storage(url)
        except ImportError as error:
            package = error.name or "a driver"
            raise MnistError(
                f"the storage {without_password(url)} needs {package}, which is not installed; type: pip install {package}"
            ) from error
        except Exception as error:
            if is_last or not MADE_BY_ANOTHER.search(str(error)):
                raise
            time.sleep(1)  # for another search, which makes the tables in the same moment
    raise AssertionError("unreachable")


@contextmanager
def naming_storage(place: str) -> Iterator[None]:
    """Raise what a database or a journal raises in the block as a MnistError that names it."""
    try:
        yield
    except (OSError, MnistError):
        raise
    except Exception as error:
        of_database = type(error).__module__.startswith(("sqlalchemy.", "psycopg", "alembic.", "optuna."))
        of_journal = isinstance(error, json.JSONDecodeError | UnicodeDecodeError) or "Invalid log format" in str(error)
        if not (of_database or of_journal):
            raise
        why = re.sub(r"^\([\w.]+\) ", "", first_line(error))
        raise MnistError(f"the storage {without_password(place)} cannot be used: {why}") from error


def without_password(url: str) -> str:
    """Return a database URL as it may be shown."""
    return re.sub(r"(://[^:/@]*):[^@]*@", r"\1:***@", url)


def make_pruner(kind: Pruner, epochs: int) -> optuna.pruners.BasePruner:
    """Return what stops trials early; of those that reach a rung the best third goes on."""
    first, factor = first_rung(epochs), FACTOR
    if kind == "halving" and epochs > 1:
        return optuna.pruners.SuccessiveHalvingPruner(min_resource=first, reduction_factor=factor)
    if kind == "hyperband" and epochs > 1:
        return optuna.pruners.HyperbandPruner(min_resource=first, max_resource=epochs, reduction_factor=factor)
    return optuna.pruners.NopPruner()


FACTOR = 3  # of a rung only a third of the trials goes on, for three times the epochs


def first_rung(epochs: int) -> int:
    """Return the epoch after which trials are compared first: a ninth of the run."""
    return max(1, epochs // FACTOR**2)


def rungs(kind: Pruner, epochs: int) -> list[int]:
    """Return the epochs after which trials are compared, the last one at the end."""
    found = []
    rung = first_rung(epochs)
    while kind != "none" and rung < epochs:
        found.append(rung)
        rung *= FACTOR
    return [*found, epochs]


def make_sampler(kind: Sampler, seed: int) -> optuna.samplers.BaseSampler:
    """Return what proposes values; raises MnistError when its package is missing."""
    with warnings.catch_warnings(action="ignore"):  # of experimental features, for the authors of libraries
        if kind == "tpe":
            return optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        try:
            import cmaes  # noqa: F401
        except ImportError as error:
            raise missing("--sampler cmaes", error, "tune") from error
        return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)


class JournalLock(JournalFileOpenLock):
    """A lock that the system releases when its process ends, however it does; Optuna's own would be waited for.

    Who has it writes behind whole lines: behind one that a kill, a full disk or a power cut left nothing could be read.
    """

    def __init__(self, path: Path) -> None:
        """Prepare to lock the journal at `path`."""
        super().__init__(str(path))
        self.journal, self.path = path, path.with_name(f"{path.name}.lock")
        self.file: IO[bytes] | None = None

    def acquire(self) -> bool:
        """Wait for the lock, and remove the end of a line from the journal if it was not written to its end."""
        with naming(self.path):
            self.file = self.path.open("ab")
        is_locked = lock(self.file.fileno(), wait=True)
        try:
            _remove_partial_line(self.journal)
        except OSError:
            self.release()
            raise
        return is_locked

    def release(self) -> None:
        """Release the lock."""
        if self.file:
            self.file.close()


def _check_journal(path: Path) -> None:
    """Raise MnistError for a file that is no journal of Optuna, to which nothing may be written."""
    if not path.exists():
        return
    with naming(path), path.open("rb") as file:
        start = file.read(len(JOURNAL))
    if not JOURNAL.startswith(start):
        raise MnistError(f"the storage {path} cannot be used: it is not a journal of Optuna; name another file")


def _remove_partial_line(journal: Path) -> None:
    with naming(journal), journal.open("rb+") as file:
        if not file.seek(0, os.SEEK_END):
            return
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":
            file.seek(0)
            file.truncate(file.read().rfind(b"\n") + 1)


def _record(trial: FrozenTrial) -> Record:
    return Record(
        trial.number,
        "failed" if "reason" in trial.user_attrs else STATES[trial.state],
        dict(trial.params),
        dict(sorted(trial.intermediate_values.items())),
        trial.user_attrs.get("seconds", 0.0),
        trial.user_attrs.get("config", ""),
        trial.user_attrs.get("weights", ""),
        trial.user_attrs.get("reason", ""),
    )


def _machine() -> str:
    """Return a name of this machine since it was started, or of this container: within it process ids are unique."""
    parts = [socket.gethostname()]
    for read in (
        lambda: Path("/proc/sys/kernel/random/boot_id").read_text()[:8],
        lambda: os.readlink("/proc/self/ns/pid"),
    ):
        parts.append(_or_nothing(read))
    return "/".join(parts).replace(" ", "-")


def _or_nothing(read: Callable[[], str]) -> str:
    try:
        return read()
    except OSError:
        return ""


def _is_alive(process: int) -> bool:
    if os.name == "nt":  # where signal 0 is Ctrl-C
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # of another user
        return True
    return True


def _difference(before: str, now: str) -> str:
    """Return the first lines in which two texts differ."""
    old, new = before.splitlines(), now.splitlines()
    only_old = next((line for line in old if line not in new), "nothing")
    only_new = next((line for line in new if line not in old), "nothing")
    return f"{only_old[:MAX_SHOWN_CHARACTERS]} rather than {only_new[:MAX_SHOWN_CHARACTERS]}"
