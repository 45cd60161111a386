"""`mnist tune`: a search for hyperparameters, which many machines can join."""

import logging
import math
import shlex
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mnist_cli import config as configuration
from mnist_cli import cores
from mnist_cli.cli.console import (
    DataDir,
    Device,
    command,
    load_data,
    prepare_data,
    print_result,
    print_status,
    status,
)
from mnist_cli.cli.options import with_hyperparameters
from mnist_cli.config import CHECKPOINTS_DIR, RUNS_DIR, TrainConfig, to_toml
from mnist_cli.errors import ConfigError, first_line
from mnist_cli.files import replacing
from mnist_cli.training import fine_tuning, runs
from mnist_cli.tuning import space as search_space
from mnist_cli.tuning.space import Pruner, Sampler

if TYPE_CHECKING:
    from mnist_cli.tuning.pools import Pool
    from mnist_cli.tuning.tuner import Finalist, Plan, Tuner

TRIALS = 50  # where neither a number nor a time is given


Preset = Annotated[
    configuration.Preset | None,
    typer.Option(
        help="A named set of values around which to search.", show_default="default", rich_help_panel="Recipe"
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.toml",
        exists=True,
        dir_okay=False,
        help="Search around the values of this file, such as runs/NAME/config.toml.",
        rich_help_panel="Recipe",
    ),
]
Searched = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=VALUES",
        help="What to vary, for example learning_rate=1e-4..1e-1,log or augment=affine,elastic or "
        "hidden=128,128/256,256; may be repeated.",
        show_default="what matters most for the model",
        rich_help_panel="Search",
    ),
]
Trials = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Trials in all, those of an earlier search of this name included.",
        show_default=f"{TRIALS}, without --minutes",
        rich_help_panel="Search",
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        min=0, help="Begin no trial after so many minutes.", show_default="no limit", rich_help_panel="Search"
    ),
]
SamplerToUse = Annotated[
    Sampler,
    typer.Option(help="What proposes values: tpe, or cmaes, for numbers alone.", rich_help_panel="Search"),
]
PrunerToUse = Annotated[
    Pruner,
    typer.Option(
        help="What stops weak trials early, in a search with several epochs: successive halving, which keeps the best "
        "third after a ninth and a third of the epochs; hyperband, which begins later for some; none.",
        rich_help_panel="Search",
    ),
]
Jobs = Annotated[
    int | None,
    typer.Option(
        min=1, help="Trials at once on this machine.", show_default="one for each core", rich_help_panel="Hardware"
    ),
]
Storage = Annotated[
    str | None,
    typer.Option(
        metavar="URL|FILE",
        help="Keep the trials in this database, which several machines can share, or in this journal file.",
        show_default="runs/STUDY/journal.log",
        rich_help_panel="Run",
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        metavar="tcp://HOST:PORT", help="Train on the workers of this Dask scheduler.", rich_help_panel="Hardware"
    ),
]
Name = Annotated[
    str | None,
    typer.Option(
        metavar="STUDY",
        help="Name of the study.",
        show_default="model and a hash of what is searched",
        rich_help_panel="Run",
    ),
]


@partial(with_hyperparameters, hidden=True)
def tune(
    preset: Preset = None,
    config: ConfigFile = None,
    search: Searched = None,
    trials: Trials = None,
    minutes: Minutes = None,
    sampler: SamplerToUse = "tpe",
    pruner: PrunerToUse = "halving",
    jobs: Jobs = None,
    storage: Storage = None,
    cluster: Cluster = None,
    name: Name = None,
    device: Device = None,
    data_dir: DataDir = None,
    **hyperparameters: Any,
) -> None:
    """Search for better hyperparameters than those of a preset, a file or other options.

    The options for hyperparameters that `mnist train` has, such as --model, --epochs, --data and --from, are options here,
    too: they set the base around which is searched. Each trial is trained in a process of its own and judged on images that
    are held out of those for training. At the end the best three and the base are trained again with fresh seeds. The
    configuration to use is runs/STUDY/best.toml, and its path is all that is printed on stdout. The same command goes on
    with a search that was stopped or killed, or joins it.

    \b
      mnist tune --preset fast --minutes 30
      mnist tune --model mlp --epochs 5 --search learning_rate=1e-4..1e-1,log --search augment=affine,elastic
      mnist tune --trials 200 --storage postgresql://me@server/mnist --name shared
    """  # noqa: D301  (a backspace, which keeps the lines below it as they are)
    options = {name: value for name, value in hyperparameters.items() if value is not None}
    resolve = partial(_resolve, preset, config, options)
    base = resolve({})
    # What every trial learns from is the same, also where `latest` later is another.
    options |= {name: source for name in ("from_", "teacher") if (source := getattr(base, name))}
    if base.patience:
        raise ConfigError(
            "a search has no early stopping, which would choose by the images that judge; omit --patience"
        )
    if cluster and jobs:
        raise typer.BadParameter("--jobs is for this machine; on a cluster each worker trains a trial.")
    space = search_space.parse(search, base) if search else search_space.default(base)
    runs.check_name(name)
    with status("Loading torch"):
        from mnist_cli.tuning import tuner
    study_name = name or tuner.default_name(base, space, sampler, pruner)
    folder = RUNS_DIR / study_name
    _check_folder(folder, study_name)
    data = _data(base, data_dir, cluster)
    plan = tuner.Plan(
        study_name,
        resolve,
        space,
        storage or str(folder / "journal.log"),
        trials or (TRIALS if minutes is None else math.inf),
        math.inf if minutes is None else minutes,
        sampler,
        pruner,
        device,
        data,
        _holdout(base, data),
    )
    pool = _pool(cluster, jobs, plan)
    try:
        _run(plan, pool, folder)
    finally:
        pool.stop()


def _resolve(preset: str | None, file: Path | None, options: dict[str, Any], values: dict[str, Any]) -> TrainConfig:
    return fine_tuning.resolve(preset, file, {**options, **values})


def _data(base: TrainConfig, data_dir: Path | None, cluster: str | None) -> Path | None:
    """Return the folder of the data, with MNIST in it if this machine trains on it; the workers of a cluster have their own."""
    if cluster or not fine_tuning.needs_mnist(base):
        return data_dir
    return prepare_data(data_dir, "train", "val", extra=base.extra).path


def _holdout(base: TrainConfig, folder: Path | None) -> int:
    """Return how many images judge a trial where the base holds none out, and decode the pictures that the trials read.

    Raises ConfigError when there are too few.
    """
    from mnist_cli.tuning import tuner

    if base.data == TrainConfig.data:
        return tuner.HOLDOUT
    whole = load_data(base.data, folder, base.max_unreadable).split()
    judging = base.holdout or tuner.held_out_of(len(whole.train))
    if not judging:
        raise ConfigError(f"{whole.name} has {len(whole.train)} images to train on, too few to judge a search by some")
    print_status(f"{whole.name}: {len(whole.train):,} images to train on; {judging:,} of them judge the trials.")
    return judging


def _check_folder(folder: Path, name: str) -> None:
    """Raise ConfigError when the name belongs to a run of `mnist train`."""
    if (folder / "config.toml").exists() or runs.Run(name, CHECKPOINTS_DIR / name).last_path.exists():
        raise ConfigError(f"there is a run {name!r} already; give the study another --name")


def _pool(cluster: str | None, jobs: int | None, plan: "Plan") -> "Pool":
    from mnist_cli.tuning import pools

    if cluster:
        return pools.ClusterPool(cluster)
    from mnist_cli.models import devices

    on_cpu = devices.choose(plan.device).type == "cpu"
    return pools.LocalPool(jobs or (max(1, cores.available() // plan.base.threads) if on_cpu else 1))


class _Saying(logging.Handler):
    """Says on stderr what Optuna logs."""

    def emit(self, record: logging.LogRecord) -> None:
        print_status(first_line(Exception(record.getMessage())))


def _run(plan: "Plan", pool: "Pool", folder: Path) -> None:
    """Search, train the best again, and print what came of it."""
    from mnist_cli.reporting.search import SearchReport
    from mnist_cli.training import session
    from mnist_cli.tuning import studies, tuner

    studies.log_to(_Saying(logging.WARNING))
    with studies.naming_storage(plan.storage):
        tuning = tuner.Tuner(plan, pool)
        print_status(f"Searching as {plan.name}, with up to {pool.capacity()} trials at once.")
        with SearchReport(folder, plan) as report, session.stopping_on_signals(tuning) as signals:
            tuning.search(report.show)
            finalists = []
            if not tuning.is_stopping:
                chosen = tuner.finalists(plan, tuning.study.records())
                finalists = tuning.train_again(chosen, report.show_again)
            report.finish(tuning.study, [] if tuning.is_stopping else finalists)
    if tuning.is_stopping:
        print_status("Stopped. The same command goes on.")
        raise typer.Exit(128 + signals[0])
    _tell(tuning, finalists, folder)


def _tell(tuning: "Tuner", finalists: "list[Finalist]", folder: Path) -> None:
    """Print what came of a search, and what to do next."""
    from mnist_cli.reporting import search_tables
    from mnist_cli.tuning import tuner

    path = folder / "best.toml"
    with replacing(path) as file:
        file.write(to_toml(tuner.best_config(tuning.plan, finalists[0])).encode())
    for line in search_tables.describe(finalists):
        print_status(line)
    print_result(str(path))
    print_status(f"{folder / 'report.html'} shows the search.")
    print_status("Next, try:")
    print_status("  " + command("train", "--config", path, "--seeds", "5"))
    if find_spec("tensorboard"):
        print_status("  " + shlex.join(["tensorboard", "--logdir", str(folder)]))
    if find_spec("optuna_dashboard"):
        print_status("  " + shlex.join(["optuna-dashboard", tuning.plan.storage]))
