"""`mnist train`: train a model and save its checkpoint and its curves."""

import os
import shlex
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnist_cli import config as configuration
from mnist_cli.cli.console import (
    DataDir,
    Device,
    check_packages,
    command,
    load_data,
    prepare_data,
    print_result,
    print_status,
    status,
)
from mnist_cli.cli.options import with_hyperparameters
from mnist_cli.errors import ReportedElsewhereError, StoppedError
from mnist_cli.training import early_stopping, fine_tuning, runs

if TYPE_CHECKING:
    from mnist_cli.api import TrainingResult
    from mnist_cli.datasets.data_folder import DataFolder
    from mnist_cli.training.loop import Trainer
    from mnist_cli.training.session import Reporter


Preset = Annotated[
    configuration.Preset | None,
    typer.Option(
        help="A named set of values, which other options override.",
        show_default="default",
        rich_help_panel="Recipe",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.toml",
        exists=True,
        dir_okay=False,
        help="Read values from this file, such as runs/NAME/config.toml, which repeats that run.",
        rich_help_panel="Recipe",
    ),
]
Resumed = Annotated[
    Path | None,
    typer.Option(
        metavar="CHECKPOINT|RUN",
        readable=False,
        help="Resume a run that was stopped, or, with --epochs, extend a finished one.",
        rich_help_panel="Run",
    ),
]
Name = Annotated[
    str | None, typer.Option(help="Name of the run.", show_default="model and time", rich_help_panel="Run")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace an existing run of that name.", rich_help_panel="Run")
]
Seeds = Annotated[
    int | None,
    typer.Option(
        min=2,
        help="Train so many times, with --seed and the seeds after it, and print mean, standard deviation and 95 % "
        "interval of the val accuracy; the runs are NAME-seed0, NAME-seed1 and so on.",
        show_default="once",
        rich_help_panel="Run",
    ),
]
Watch = Annotated[
    bool,
    typer.Option(
        "--watch",
        help="Open a page in the browser that shows the training live: curves, weights, mistakes; it can pause and stop the "
        "run, and change the learning rate. Needs the extra serve.",
        rich_help_panel="Run",
    ),
]
Report = Annotated[
    bool,
    typer.Option(
        "--report",
        help="At the end write runs/NAME/report.html, as `mnist evaluate --report` does.",
        rich_help_panel="Run",
    ),
]


@with_hyperparameters
def train(
    preset: Preset = None,
    config: ConfigFile = None,
    resume: Resumed = None,
    name: Name = None,
    overwrite: Overwrite = False,
    seeds: Seeds = None,
    report: Report = False,
    watch: Watch = False,
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
    if resume and (set(options) - {"epochs"} or preset or config or name or overwrite or seeds):
        raise typer.BadParameter(
            "--resume continues with the configuration of the run; only --epochs, --report and --watch can be combined with it."
        )
    if overwrite and not name:
        raise typer.BadParameter("--overwrite needs the --name of the run to replace.")
    if watch and seeds:
        raise typer.BadParameter("--watch shows a single run; leave --seeds or --watch out.")
    if seeds and os.environ.get("WORLD_SIZE", "1") != "1":
        raise typer.BadParameter("--seeds trains in one process; start it without torchrun, or leave it out.")
    if watch:
        check_packages("`mnist train --watch`")
    options = {name: tuple(value) if name == "data" else value for name, value in options.items()}
    settings = None if resume else fine_tuning.resolve(preset, config, options)
    longer: configuration.TrainOptions = {"epochs": options["epochs"]} if resume and "epochs" in options else {}
    runs.check_name(name)

    with status("Loading torch"):
        from mnist_cli import api
        from mnist_cli.models import devices
        from mnist_cli.pictures import decode

    devices.silence_compiler()
    decode.silence_libraries()
    resume = runs.find_checkpoint(resume, to_resume=True) if resume else None
    folder: DataFolder | Path | None = data_dir
    if settings is None or fine_tuning.needs_mnist(settings):
        folder = prepare_data(data_dir, "train", "val", extra=settings.extra if settings else "")
    if settings and settings.data != configuration.TrainConfig.data:
        _describe_data(settings, folder)
    given = partial(api.train, overwrite=overwrite, device=device, data_dir=folder)
    if settings and seeds:
        several = [_train(given, config=one, name=of_seed) for of_seed, one in _seeds_of(settings, name, seeds).items()]
        _tell_of_seeds(several, device, folder, report)
        return
    trained = _train(given, watch, config=settings, resume=resume, name=name, **longer)
    if os.environ.get("RANK", "0") == "0":
        _tell(trained, device, folder, report)


def _train(given: "Callable[..., TrainingResult]", watch: bool = False, **more: Any) -> "TrainingResult":
    """Train while the terminal shows it; a signal and what another process has told end the program."""
    loading = ExitStack()

    def report_on_terminal(run: runs.Run, trainer: "Trainer") -> "Reporter":
        loading.close()
        return _on_page(run, trainer) if watch else _on_terminal(run, trainer)

    try:
        with loading:
            loading.enter_context(status("Loading the images"))
            return given(reporter=report_on_terminal, **more)
    except StoppedError as stopped:
        print_status(f"Stopped in epoch {stopped.epoch}. Resume with:")
        print_status("  " + command("train", "--resume", stopped.path))
        raise typer.Exit(128 + stopped.number) from None
    except ReportedElsewhereError:
        raise typer.Exit(1) from None


def _seeds_of(
    settings: configuration.TrainConfig, name: str | None, seeds: int
) -> dict[str, configuration.TrainConfig]:
    """Return the configuration for each of several seeds, by the name of its run."""
    stem = name or f"{settings.model}-{time.strftime('%Y%m%d-%H%M%S')}"
    named = {f"{stem}-seed{seed}": replace(settings, seed=seed) for seed in range(settings.seed, settings.seed + seeds)}
    for of_seed in named:
        runs.check_name(of_seed)
    return named


def _describe_data(settings: configuration.TrainConfig, folder: "DataFolder | Path | None") -> None:
    """Decode the pictures of a run, and say what it trains on and is measured on."""
    whole = load_data(settings.data, folder, settings.max_unreadable)
    split = whole.split()
    assert split.val
    if len(settings.data) > 1:
        part = "others"
    elif whole.val:
        part = "of its validation part"
    else:
        part = "of them, too few to hold any out" if split.train is split.val else "held out of them"
    count = min(settings.train_size or len(split.train), len(split.train) - settings.holdout)
    print_status(f"{whole.name}: {count:,} images to train on, measured on {len(split.val):,} {part}.")


def _on_terminal(run: runs.Run, trainer: "Trainer") -> "Reporter":
    """Return what shows a run on the terminal and keeps its folder."""
    from mnist_cli.models import devices
    from mnist_cli.reporting.run import RunReport

    print_status(f"Training {trainer.config.model} on {trainer.device} as {run.name}.")
    if trainer.config.precision == "bf16" and not devices.has_fast_bfloat16(trainer.device):
        print_status(
            f"{trainer.device} has no instructions for bfloat16, so this is slow; --precision fp32 is faster here."
        )
    return RunReport(run.log_dir, trainer)


def _on_page(run: runs.Run, trainer: "Trainer") -> "Reporter":
    """Return what shows a run on a page too."""
    from mnist_cli.serving import watch

    def announce(url: str) -> None:
        print_status(f"Watch it on {url}")
        if sys.stderr.isatty():
            watch.open_page(url)

    return watch.Watched(_on_terminal(run, trainer), run, trainer, announce)


def _tell(trained: "TrainingResult", device: str | None, folder: "DataFolder | Path | None", report: bool) -> None:
    """Print what came of a run, and what to do next; write its report, if that is wanted."""
    if early_stopping.is_due(trained.results, trained.config.patience):
        print_status(f"Stopped after {trained.config.patience} epochs without a better held-out loss.")
    if best := early_stopping.best_of(trained.results):
        print_status(f"{trained.run.best_path} is epoch {best.epoch}, with the lowest held-out loss.")
    print_result(str(trained.path))
    log_dir = trained.run.log_dir
    if report:
        print_status(f"{_write_report(trained, device, folder)} shows where it fails.")
    print_status("Next, try:")
    others = [source for source in trained.config.data if trained.config.data != configuration.TrainConfig.data]
    words = [word for source in others for word in ("--data", source)]
    if others and trained.config.max_unreadable:
        words += ["--max-unreadable", str(trained.config.max_unreadable)]
    print_status("  " + command("evaluate", trained.path, *words))
    print_status("  " + command("predict", "--checkpoint", trained.path, "YOUR-PICTURE.png"))
    if find_spec("tensorboard"):
        print_status("  " + shlex.join(["tensorboard", "--logdir", str(log_dir.parent)]))


def _tell_of_seeds(
    several: "list[TrainingResult]", device: str | None, folder: "DataFolder | Path | None", report: bool
) -> None:
    """Print what came of the runs with several seeds, and what to do next."""
    from mnist_cli.evaluation.seeds import Sample

    for trained in several:
        print_result(str(trained.path))
        if report:
            _write_report(trained, device, folder)
    sample = Sample([trained.val_accuracy for trained in several])
    print_status(f"Val accuracy with {len(several)} seeds: {sample.describe()}.")
    print_status("Next, try:")
    print_status("  " + command("runs", "--seeds"))


def _write_report(trained: "TrainingResult", device: str | None, folder: "DataFolder | Path | None") -> Path:
    """Write into the folder of a run what its model makes of the val images."""
    from mnist_cli import api
    from mnist_cli.reporting import html_report

    config = trained.config
    measured = api.evaluate(
        trained.path, device=device, data_dir=folder, data=config.data, max_unreadable=config.max_unreadable
    )
    return html_report.write(trained.run.log_dir, [measured])
