"""`mnist train`: teach a model, keep its checkpoint and its curves."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnist_cli import config as configuration
from mnist_cli.cli.console import DataDir, Device, command, prepare_data, say
from mnist_cli.cli.options import with_hyperparameters
from mnist_cli.config import TrainConfig, means_pretrained
from mnist_cli.errors import ConfigError
from mnist_cli.training import runs

if TYPE_CHECKING:
    from mnist_cli.models.checkpoints import Checkpoint
    from mnist_cli.training.loop import Trainer


@with_hyperparameters
def train(
    preset: Annotated[
        configuration.Preset | None,
        typer.Option(
            help="A named set of values to start from; options beside it win.",
            show_default="default",
            rich_help_panel="Recipe",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.toml",
            exists=True,
            dir_okay=False,
            help="Read values from this file, such as runs/NAME/config.toml, which repeats that run.",
            rich_help_panel="Recipe",
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            metavar="CHECKPOINT|RUN",
            readable=False,
            help="Go on with a run that was stopped, or, with --epochs, make a finished one longer.",
            rich_help_panel="Run",
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the run.", show_default="model and time", rich_help_panel="Run")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an existing run of that name.", rich_help_panel="Run")
    ] = False,
    report: Annotated[
        bool,
        typer.Option(
            "--report",
            help="At the end write runs/NAME/report.html, as `mnist evaluate --report` does.",
            rich_help_panel="Run",
        ),
    ] = False,
    device: Device = None,
    data_dir: DataDir = None,
    **hyperparameters: Any,
) -> None:
    """Train a classifier and save it after every epoch.

    The checkpoint is checkpoints/NAME/last.pt, and its path is all that is printed on stdout. In
    runs/NAME are loss.png, accuracy.png, metrics.csv, the log for TensorBoard, and config.toml, from which --config
    repeats the run. Ctrl-C saves and stops.
    """
    options = {name: value for name, value in hyperparameters.items() if value is not None}
    if resume and (set(options) - {"epochs"} or preset or config or name or overwrite):
        raise typer.BadParameter(
            "--resume goes on as the run began; of the other options only --epochs and --report go with it."
        )
    if overwrite and not name:
        raise typer.BadParameter("--overwrite needs the --name of the run to replace.")
    runs.check_name(name)
    settings = configuration.resolve(preset, config, options)

    from mnist_cli.models import checkpoints, devices
    from mnist_cli.reporting.run import RunReport
    from mnist_cli.training import distributed, session

    if resume and means_pretrained(resume):
        raise ConfigError("the model that ships is no run to go on with; begin one with `mnist train`")
    checkpoint = checkpoints.load(runs.find_checkpoint(resume, to_resume=True)) if resume else None
    if checkpoint:
        settings = _made_longer(checkpoint, options)
    place = devices.choose(device, settings.deterministic)
    data_dir = prepare_data(data_dir, "train", "val", extra=settings.extra)
    trainer = session.prepare(settings, place, data_dir, checkpoint)
    try:
        if trainer.group.rank > 0:  # one of several processes, and not the one that prints and writes
            with _stopping_on_signals(trainer):
                list(trainer.epochs())
            return
        run = runs.take_up(checkpoint.path) if checkpoint else runs.create(name, settings, overwrite)
        say(f"Training {settings.model} on {place} as {run.name}.")
        with _stopping_on_signals(trainer) as signals:
            session.train_and_save(trainer, run, RunReport(run.log_dir, trainer))
    finally:
        distributed.leave()
    if trainer.is_stopped:
        say(f"Stopped in epoch {trainer.epoch + 1}. Go on with:")
        say("  " + command("train", "--resume", run.last_path))
        raise typer.Exit(128 + (signals[0] if signals else signal.SIGTERM))  # which another process of ours got
    if trainer.has_lost_patience():
        say(f"Stopped after {trainer.config.patience} epochs without a better held-out loss.")
    if best := trainer.best():
        say(f"{run.best_path} is epoch {best.epoch}, with the lowest held-out loss.")
    finished = run.result_path
    typer.echo(finished)
    if report:
        say(f"{_write_report(finished, trainer, run.log_dir)} shows where it fails.")
    say("Next, try:")
    say("  " + command("evaluate", finished))
    say("  " + command("predict", "--checkpoint", finished, "YOUR-PICTURE.png"))
    if find_spec("tensorboard"):
        say(f"  tensorboard --logdir {run.log_dir.parent}")


def _made_longer(checkpoint: "Checkpoint", options: dict[str, Any]) -> TrainConfig:
    """Return the configuration of a run that is to be taken up again."""
    settings = replace(checkpoint.config, **options)
    done = len(checkpoint.metrics)
    if done >= settings.epochs:
        has = f"all its {done}" if done == settings.epochs else f"{done}"
        raise ConfigError(f"{checkpoint.path} has {has} epochs; train longer with --epochs {2 * done}")
    return settings


def _write_report(path: Path, trainer: "Trainer", folder: Path) -> Path:
    """Write into `folder` what the model in the checkpoint at `path` makes of the val images."""
    from mnist_cli.evaluation import metrics
    from mnist_cli.models import checkpoints
    from mnist_cli.reporting import html_report

    images, labels = trainer.val.arrays()
    answers = metrics.predict(checkpoints.load(path).model.to(trainer.device), images, labels)
    return html_report.write(folder, [metrics.Measured(str(path), answers)], images)


@contextmanager
def _stopping_on_signals(trainer: "Trainer") -> Iterator[list[int]]:
    """Let Ctrl-C and SIGTERM finish the step instead of breaking it; yields the list of signals that came.

    A second Ctrl-C is not waited for.
    """
    received: list[int] = []

    def stop(number: int, frame: object) -> None:
        received.append(number)
        trainer.stop()
        signal.signal(number, signal.default_int_handler)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
