"""A training run, from its configuration to its checkpoint."""

import hashlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from textwrap import shorten
from types import TracebackType
from typing import Protocol, Self

import torch

from mnist_cli import cores
from mnist_cli.config import TrainConfig, to_toml
from mnist_cli.datasets.dataset import Digits
from mnist_cli.errors import (
    CheckpointError,
    ConfigError,
    DivergenceError,
    ProcessError,
    ReportedElsewhereError,
    first_line,
)
from mnist_cli.hyperparameters import MAX_SHOWN_CHARACTERS
from mnist_cli.models import architectures, checkpoints
from mnist_cli.models.architectures import Classifier
from mnist_cli.models.checkpoints import Checkpoint
from mnist_cli.results import EpochResult
from mnist_cli.training import runs, training_data
from mnist_cli.training.distributed import ALONE, Group
from mnist_cli.training.loop import Trainer
from mnist_cli.training.runs import Run

# Seconds within which a second signal repeats the first one: the terminal sends it to all, and torchrun forwards it.
SAME_SIGNAL = 0.5


class Reporter(Protocol):
    """Shows a run while it is trained."""

    def __enter__(self) -> Self:
        """Start."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Finish, also after an error."""

    def advance(self, images: int) -> object:
        """Advance the progress by this many images."""

    def epoch(self, result: EpochResult) -> None:
        """Show a finished epoch."""

    def finish(self) -> None:
        """Show the end of a run that was not stopped."""


class Stoppable(Protocol):
    """What a signal stops."""

    def stop(self) -> None:
        """Stop soon."""


def save(path: Path, trainer: Trainer) -> None:
    """Save a checkpoint of `trainer` to `path`, from which `resume` reaches the same weights."""
    checkpoints.save(path, trainer.model, trainer.config, trainer.results, trainer.state_dict())


def resume(checkpoint: Checkpoint, trainer: Trainer) -> None:
    """Restore the state of `trainer`, whose model is that of `checkpoint`, from the checkpoint.

    Raises CheckpointError when the checkpoint holds no valid state.
    """
    try:
        trainer.load_state_dict(checkpoint.trainer, checkpoint.metrics)
    # An untrusted file may raise anything; all of it means that the file is unusable.
    except Exception as error:
        raise CheckpointError(f"{checkpoint.path} holds a model but cannot be resumed: {first_line(error)}") from error


def prepare(
    config: TrainConfig,
    device: torch.device,
    data_dir: Path | None,
    checkpoint: Checkpoint | None = None,
    group: Group = ALONE,
) -> Trainer:
    """Return a trainer for the model and the digits on a device, resumed from `checkpoint` if there is one."""
    data = training_data.load(config, data_dir, checkpoint.model.classes if checkpoint else None)
    model = checkpoint.model if checkpoint else _new_model(config, data.classes)
    trainer = Trainer(
        model.to(device),
        data.train.to(device),
        data.val.to(device),
        config,
        data.held_out.to(device) if data.held_out else None,
        group,
        _teacher(config, model.classes).to(device) if config.teacher else None,
        data.is_known,
    )
    if checkpoint:
        resume(checkpoint, trainer)
    return trainer


def _new_model(config: TrainConfig, classes: Sequence[str]) -> Classifier:
    if not config.from_:
        return architectures.build_from(config, classes)
    path = runs.find_checkpoint(Path(config.from_))
    return architectures.adapted(checkpoints.load(path).model, classes, config.seed)


def _teacher(config: TrainConfig, classes: Sequence[str]) -> Classifier:
    """Return the model whose probabilities are learned; raises ConfigError unless its classes are those to learn."""
    teacher = checkpoints.load(runs.find_checkpoint(Path(config.teacher))).model
    if teacher.classes != tuple(classes):
        theirs, ours = (shorten(", ".join(names), MAX_SHOWN_CHARACTERS) for names in (teacher.classes, classes))
        raise ConfigError(f"--teacher {config.teacher} has the classes {theirs}, and not those to learn, {ours}")
    return teacher.requires_grad_(False)


def begin(
    config: TrainConfig,
    name: str | None,
    overwrite: bool,
    device: torch.device,
    data_dir: Path | None,
    group: Group = ALONE,
) -> tuple[Run, Trainer]:
    """Return a new run, whose folders the first process of `group` creates, and the trainer of this process.

    Raises ConfigError when the name is taken, or when the processes differ in configuration or data.
    """
    config = _with_threads(config, group.gather(cores.available())[0])
    trainer = group.run_in_all(lambda: prepare(config, device, data_dir, group=group))
    _check_same(trainer)
    return _in_first_process(group, lambda: runs.create(name, config, overwrite)), trainer


def take_up(
    path: Path, epochs: int | None, device: torch.device, data_dir: Path | None, group: Group = ALONE
) -> tuple[Run, Trainer]:
    """Return the run of the checkpoint at `path`, and its trainer; `epochs`, if given, is the new total number of epochs.

    The run is locked before its checkpoint is read, so no other program can change it in between.

    Raises ConfigError when it has that many epochs already, or another program is training it.
    """
    run = _in_first_process(group, lambda: runs.take_up(path))
    try:
        usable = group.gather(cores.available())[0]

        def load() -> Trainer:
            checkpoint = checkpoints.load(path)
            config = _with_threads(_extended(checkpoint, epochs), usable)
            return prepare(config, device, data_dir, checkpoint, group)

        trainer = group.run_in_all(load)
        _check_same(trainer)
    except BaseException:
        if group.rank == 0:
            runs.unlock(run)
        raise
    return run, trainer


def train_and_save(trainer: Trainer, run: Run, make_reporter: Callable[[Run, Trainer], Reporter]) -> None:
    """Train to the end, or until the trainer is stopped; the first process saves and reports after every epoch."""
    try:
        if trainer.group.rank == 0:
            with make_reporter(run, trainer) as report:
                _train_and_report(trainer, run, report)
        else:
            for _ in trainer.epochs():
                pass
    except DivergenceError as error:
        if trainer.group.rank > 0:
            raise ReportedElsewhereError(str(error)) from error
        kept = f"{run.last_path} holds epoch {trainer.epoch}" if trainer.results else "no epoch was saved"
        raise DivergenceError(f"{error}; {kept}") from error
    except ProcessError as error:
        can_resume = run.last_path.exists()
        advice = (
            f"resume with `mnist train --resume {run.last_path}`" if can_resume else "no epoch was saved, start again"
        )
        raise ProcessError(f"{error}; {advice}") from error
    finally:
        if trainer.group.rank == 0:
            runs.release(run)


@contextmanager
def stopping_on_signals(stoppable: Stoppable) -> Iterator[list[int]]:
    """Make Ctrl-C and SIGTERM stop a run, after the current step, or a search; yields the signal that was received, in a list.

    A second one raises KeyboardInterrupt at once. Outside the main thread, where Python handles no signals, this does nothing.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return

    first = 0.0  # seconds, the time of the first one

    def stop(number: int, frame: object) -> None:
        nonlocal first
        if not received:
            first = time.monotonic()
            received.append(number)
            stoppable.stop()
        elif time.monotonic() > first + SAME_SIGNAL:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _train_and_report(trainer: Trainer, run: Run, report: Reporter) -> None:
    for result in trainer.epochs(report.advance):
        save(run.last_path, trainer)
        if result is trainer.best():
            save(run.best_path, trainer)
        elif not trainer.held_out:
            run.best_path.unlink(missing_ok=True)  # of the run that this one replaces
        report.epoch(result)
    if trainer.is_stopped:
        save(run.last_path, trainer)
        if trainer.best() is None:  # stopped in the first epoch
            run.best_path.unlink(missing_ok=True)
    else:
        report.finish()


def _with_threads(config: TrainConfig, usable: int) -> TrainConfig:
    """Return `config` with a fixed number of threads, on which rounding depends, where it is automatic.

    Convolutions are faster on all `usable` cores; the small matrix products of the other models are not.
    """
    chosen = usable if config.model == "cnn" else 1
    return replace(config, threads=config.threads or chosen)


def _extended(checkpoint: Checkpoint, epochs: int | None) -> TrainConfig:
    """Return the configuration of a run to resume, with a new number of epochs if given."""
    planned, done = checkpoint.config.epochs, len(checkpoint.metrics)
    longer = f"train longer with --epochs {2 * done}"
    if epochs is not None and epochs <= done:
        more = f"more than --epochs {epochs}" if epochs < done else "as --epochs says"
        rest = f"leave --epochs out to go on to its {planned}" if done < planned else longer
        raise ConfigError(f"{checkpoint.path} has {done} epochs already, {more}; {rest}")
    if epochs is None and done >= planned:
        raise ConfigError(f"{checkpoint.path} has all its {done} epochs; {longer}")
    return replace(checkpoint.config, epochs=epochs or planned)


def _check_same(trainer: Trainer) -> None:
    """Raise ConfigError unless all processes have the same configuration, data and weights: else they would wait for one another forever."""
    group = trainer.group
    if group.size == 1:
        return
    fingerprints = group.gather(_fingerprint(trainer))
    others = [rank for rank, fingerprint in enumerate(fingerprints) if fingerprint != fingerprints[0]]
    if others:
        message = (
            f"rank {others[0]} of this run differs from rank 0 in its configuration, data or checkpoint; "
            "start all processes with the same command and files"
        )
        raise ConfigError(message) if group.rank == 0 else ReportedElsewhereError(message)


def _fingerprint(trainer: Trainer) -> str:
    """Return a hash of everything that determines the result of a training run."""
    hashed = hashlib.sha256(f"{to_toml(trainer.config)}{trainer.epoch} {trainer.batch}".encode())
    teacher = trainer.step.teacher
    tensors = [*trainer.model.state_dict().values(), *(teacher.state_dict().values() if teacher else ())]
    for digits in (trainer.train, trainer.val, trainer.held_out):
        if isinstance(digits, Digits):
            tensors += [digits.images, digits.labels]
    for tensor in tensors:
        hashed.update(tensor.cpu().contiguous().numpy())
    return hashed.hexdigest()


def _in_first_process(group: Group, claim: Callable[[], Run]) -> Run:
    """Claim a run in the first process, and return it in all of them."""
    run = group.run_in_all(lambda: claim() if group.rank == 0 else None)
    name, folder = group.gather((run.name, run.checkpoint_dir) if run else ("", Path()))[0]
    return run or Run(name, folder)
