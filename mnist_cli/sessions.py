"""A training run, from its configuration to its checkpoint."""

from pathlib import Path

import torch

from mnist_cli import checkpoints, corrections, data, distributed, models, runs
from mnist_cli.checkpoints import Checkpoint
from mnist_cli.config import TrainConfig
from mnist_cli.errors import DivergenceError
from mnist_cli.reporting.run import RunReport
from mnist_cli.runs import Run
from mnist_cli.training import Trainer


def prepare(config: TrainConfig, device: torch.device, data_dir: Path, checkpoint: Checkpoint | None = None) -> Trainer:
    """Bring model and digits together on a device, where `checkpoint` left off if there is one."""
    train_digits, held_out = data.select(data.load(data_dir, "train"), config)
    if config.extra:
        train_digits = data.joined(train_digits, data.from_arrays(*corrections.load(Path(config.extra))))
    trainer = Trainer(
        (checkpoint.model if checkpoint else models.build_from(config)).to(device),
        train_digits.to(device),
        data.load(data_dir, "val").to(device),
        config,
        held_out.to(device) if held_out else None,
        distributed.join(device),
    )
    if checkpoint:
        checkpoints.resume(checkpoint, trainer)
    return trainer


def train_and_save(trainer: Trainer, run: Run) -> None:
    """Train to the end, or until the trainer is stopped, with a checkpoint and a report after every epoch."""
    try:
        with RunReport(run.log_dir, trainer) as report:
            for result in trainer.epochs(report.advance):
                checkpoints.save(run.last_path, trainer)
                if result is trainer.best():
                    checkpoints.save(run.best_path, trainer)
                elif not trainer.held_out:
                    run.best_path.unlink(missing_ok=True)  # that of a run which this one replaced
                report.epoch(result)
            if trainer.is_stopped:
                checkpoints.save(run.last_path, trainer)
            else:
                report.finish()
    except DivergenceError as error:
        kept = f"{run.last_path} holds epoch {trainer.epoch}" if trainer.results else "there is nothing to keep"
        raise DivergenceError(f"{error}; {kept}") from error
    finally:
        runs.release(run)
