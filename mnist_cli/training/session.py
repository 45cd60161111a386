"""A training run, from its configuration to its checkpoint."""

from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import torch

from mnist_cli.config import TrainConfig
from mnist_cli.datasets import dataset, labelled_pictures
from mnist_cli.errors import CheckpointError, DivergenceError, first_line
from mnist_cli.models import architectures, checkpoints
from mnist_cli.models.checkpoints import Checkpoint
from mnist_cli.results import EpochResult
from mnist_cli.training import distributed, runs
from mnist_cli.training.loop import Trainer
from mnist_cli.training.runs import Run


class Reporter(Protocol):
    """Shows a run while it is trained."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End, also after an error."""

    def advance(self, images: int) -> object:
        """Show that so many more images were trained on."""

    def epoch(self, result: EpochResult) -> None:
        """Show a finished epoch."""

    def finish(self) -> None:
        """Show the end of a run that was not stopped."""


def save(path: Path, trainer: Trainer) -> None:
    """Write a checkpoint of `trainer` to `path`, from which `resume` goes on to the same weights."""
    checkpoints.save(path, trainer.model, trainer.config, trainer.results, trainer.state_dict())


def resume(checkpoint: Checkpoint, trainer: Trainer) -> None:
    """Let `trainer`, which has the model of `checkpoint`, go on where that was saved.

    Raises CheckpointError when it was saved nowhere that it could be.
    """
    try:
        trainer.load_state_dict(checkpoint.trainer, checkpoint.metrics)
    # Whatever is wrong with a stranger's file, that is what has to be said.
    except Exception as error:
        raise CheckpointError(
            f"{checkpoint.path} holds a model but no run to go on with: {first_line(error)}"
        ) from error


def prepare(
    config: TrainConfig, device: torch.device, data_dir: Path | None, checkpoint: Checkpoint | None = None
) -> Trainer:
    """Bring model and digits together on a device, where `checkpoint` left off if there is one."""
    train_digits, held_out = dataset.select(dataset.load(data_dir, "train"), config)
    if config.extra:
        train_digits = dataset.joined(train_digits, dataset.from_arrays(*labelled_pictures.load(Path(config.extra))))
    trainer = Trainer(
        (checkpoint.model if checkpoint else architectures.build_from(config)).to(device),
        train_digits.to(device),
        dataset.load(data_dir, "val").to(device),
        config,
        held_out.to(device) if held_out else None,
        distributed.join(device),
    )
    if checkpoint:
        resume(checkpoint, trainer)
    return trainer


def train_and_save(trainer: Trainer, run: Run, reporter: Reporter) -> None:
    """Train to the end, or until the trainer is stopped, with a checkpoint and a report after every epoch."""
    try:
        with reporter as report:
            for result in trainer.epochs(report.advance):
                save(run.last_path, trainer)
                if result is trainer.best():
                    save(run.best_path, trainer)
                elif not trainer.held_out:
                    run.best_path.unlink(missing_ok=True)  # that of a run which this one replaced
                report.epoch(result)
            if trainer.is_stopped:
                save(run.last_path, trainer)
            else:
                report.finish()
    except DivergenceError as error:
        kept = f"{run.last_path} holds epoch {trainer.epoch}" if trainer.results else "there is nothing to keep"
        raise DivergenceError(f"{error}; {kept}") from error
    finally:
        runs.release(run)
