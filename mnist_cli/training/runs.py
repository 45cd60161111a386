"""A training run on disk: a name, a folder for its checkpoint and one for its curves. Standard library only."""

import os
import re
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count
from pathlib import Path

from mnist_cli.config import CHECKPOINTS_DIR, PRETRAINED, RUNS_DIR, TrainConfig, to_toml
from mnist_cli.errors import CheckpointError, ConfigError
from mnist_cli.files import lock, replacing
from mnist_cli.models import checkpoint_info, pretrained
from mnist_cli.models.checkpoint_info import Header

DEFAULT_VARIABLE = "MNIST_CHECKPOINT"  # environment variable: the checkpoint to use where none is named
LATEST = Path("latest")  # stands for the newest run wherever a checkpoint is named
STUDY_FILES = ("study.json", "journal.log")  # the folder of a search of `mnist tune` has at least one of them
PASSED_OVER = 0.01  # of val accuracy below the model that ships: a run that is worse predicts only when it is named
# The name of a folder: no separator, no leading dot or dash, no trailing dot or space, at most 60 characters.
NAME = re.compile(r"[^\W_]([\w.+= -]{0,58}[\w+=-])?")


@dataclass(frozen=True)
class Run:
    """The name and the folders of a run."""

    name: str
    checkpoint_dir: Path
    descriptor: int | None = field(default=None, repr=False)  # of the folder, which is locked while the run is trained

    @property
    def last_path(self) -> Path:
        """The checkpoint of the last finished epoch."""
        return self.checkpoint_dir / "last.pt"

    @property
    def best_path(self) -> Path:
        """The checkpoint of the epoch with the lowest loss on held-out images, if the run holds out any."""
        return self.checkpoint_dir / "best.pt"

    @property
    def result_path(self) -> Path:
        """The checkpoint to use: that of the best epoch, or of the last one if none is selected."""
        return self.best_path if self.best_path.exists() else self.last_path

    @property
    def log_dir(self) -> Path:
        """The folder of the curves, beside that of the checkpoints; absolute unless it is below the current folder."""
        folder = Path(os.path.abspath(self.checkpoint_dir))
        root = folder.parents[1] if folder.parent.name == CHECKPOINTS_DIR.name else folder.parent
        log_dir = root / RUNS_DIR / self.name
        return log_dir.relative_to(Path.cwd()) if log_dir.is_relative_to(Path.cwd()) else log_dir


def of(checkpoint_path: Path) -> Run:
    """Return the run that a checkpoint belongs to."""
    folder = checkpoint_path.parent
    return Run(Path(os.path.abspath(folder)).name, folder)


def take_up(checkpoint_path: Path) -> Run:
    """Return the run that a checkpoint belongs to, locked by this program until it is released.

    Raises ConfigError when another program is training it.
    """
    run = _locked(of(checkpoint_path))
    if run is None:
        raise ConfigError(f"another program is training the run of {checkpoint_path}; wait for it to end")
    return run


def find(checkpoints_dir: Path) -> list[Run]:
    """Return the runs below `checkpoints_dir` that have a checkpoint, the one that was saved last first."""
    found = [(path.stat().st_mtime, path) for path in checkpoints_dir.glob("*/last.pt") if path.is_file()]
    return [of(path) for _, path in sorted(found, reverse=True)]


@dataclass(frozen=True)
class DefaultCheckpoint:
    """What to predict with where no checkpoint is named."""

    path: Path
    passed_over: Header | None = None  # of the newest run, if that is no good


def find_default() -> DefaultCheckpoint:
    """Return what to predict with where none is named: the value of MNIST_CHECKPOINT, else the newest good run, else PRETRAINED.

    A run whose val accuracy is more than PASSED_OVER below that of the model that ships is not good: most likely it was
    an experiment. Neither is one without a finished epoch. A run on other data than MNIST is not compared. A checkpoint that
    cannot be read counts as good, so that whoever opens it reports what is wrong with it.
    """
    if named := os.environ.get(DEFAULT_VARIABLE):
        return DefaultCheckpoint(find_checkpoint(named))
    passed_over = None
    for run in find(CHECKPOINTS_DIR):
        try:
            header = checkpoint_info.read(run.result_path)
        except CheckpointError:
            return DefaultCheckpoint(run.result_path, passed_over)
        if _is_good(header):
            return DefaultCheckpoint(run.result_path, passed_over)
        passed_over = passed_over or header
    return DefaultCheckpoint(PRETRAINED, passed_over)


def _is_good(header: Header) -> bool:
    """Return whether a run has finished an epoch and, of MNIST, is not much less accurate than the model that ships."""
    if header.val_accuracy is None:
        return False
    return header.config.data != TrainConfig.data or header.val_accuracy >= _accuracy_of_pretrained() - PASSED_OVER


@cache
def _accuracy_of_pretrained() -> float:
    return checkpoint_info.read(pretrained.CHECKPOINT).val_accuracy or 0.0


def find_newest(checkpoints_dir: Path) -> Path:
    """Return the checkpoint of the run below `checkpoints_dir` that was saved last.

    Where there is none, that is the model that ships with the program.
    """
    found = find(checkpoints_dir)
    return found[0].result_path if found else PRETRAINED


def find_checkpoint(name: str | Path | None, to_resume: bool = False) -> Path:
    """Return the checkpoint that `name` stands for: the path of a file, a run or its folder, LATEST, or PRETRAINED itself.

    A file of that name takes precedence. Without a name it is the value of MNIST_CHECKPOINT, else the newest run, else
    PRETRAINED. Of a run it is the best checkpoint, or, `to_resume`, the one of the last epoch.

    Raises CheckpointError when there is no such run, ConfigError for PRETRAINED `to_resume`.
    """
    name = name or os.environ.get(DEFAULT_VARIABLE)
    if not name:
        return find_newest(CHECKPOINTS_DIR)
    path = Path(name)
    if pretrained.resolve(path).is_file():
        if to_resume and pretrained.resolve(path) != path:
            raise ConfigError("the model that ships has no run to resume; start a run with `mnist train`")
        return path
    for folder in (path, CHECKPOINTS_DIR / path):
        run = Run(folder.name, folder)
        if run.last_path.is_file():
            return run.last_path if to_resume else run.result_path
    if path == LATEST and (found := find(CHECKPOINTS_DIR)):
        return found[0].last_path if to_resume else found[0].result_path
    if path.exists() or path.suffix or len(path.parts) > 1:  # a path; opening it gives a better error
        return path
    raise CheckpointError(
        f"there is neither a file nor a run {str(name)!r} here; `mnist runs` lists the runs, `mnist train` makes one"
    )


def check_name(name: str | None) -> None:
    """Raise ConfigError for an invalid `name`; None stands for a generated one."""
    if name is not None and not NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot name a run; use letters, digits and . _ + = - like `--name first-try`")


def release(run: Run) -> None:
    """Unlock the run, and remove its folders if it ended without a checkpoint."""
    with suppress(OSError):  # the folder is not empty: there is a checkpoint
        for temporary in run.checkpoint_dir.glob(".*.pt.*.tmp"):  # of a program that was killed
            temporary.unlink()
        run.checkpoint_dir.rmdir()
        shutil.rmtree(run.log_dir)
    unlock(run)


def unlock(run: Run) -> None:
    """Unlock the run."""
    if run.descriptor is not None:
        os.close(run.descriptor)


def holds_study(folder: Path) -> bool:
    """Return whether a folder below `runs` is that of a search, whose trials no run may replace."""
    return any((folder / name).exists() for name in STUDY_FILES)


def folders(run: Run) -> list[Path]:
    """Return the folders of a run; one below `runs` that belongs to a search of the same name is none of them."""
    return [folder for folder in (run.checkpoint_dir, run.log_dir) if folder.exists() and not holds_study(folder)]


def remove(run: Run) -> None:
    """Delete the folders of a run; raises ConfigError while a program is training it."""
    locked = _locked(run)
    if locked is None:
        raise ConfigError(f"another program is training the run {run.name!r}; stop it before you remove the run")
    try:
        for folder in folders(run):
            shutil.rmtree(folder)
    finally:
        unlock(locked)


def create(name: str | None, config: TrainConfig, overwrite: bool = False) -> Run:
    """Create the folders of a new run and write config.toml; by default it is named after its model and the time.

    With `overwrite` the curves of an existing run are removed at once, its checkpoint when there is a new one.

    Raises ConfigError when the name is invalid or taken, or when the run would replace one from which it learns.
    """
    if name is None:
        run = _create_unnamed(f"{config.model}-{time.strftime('%Y%m%d-%H%M%S')}")
    else:
        run = _create_named(name, config, overwrite)
    write_config(run, config)
    return run


def write_config(run: Run, config: TrainConfig) -> None:
    """Write config.toml, from which `mnist train --config` repeats the run."""
    with replacing(run.log_dir / "config.toml") as file:
        file.write(to_toml(config).encode())


def _create_named(name: str, config: TrainConfig, overwrite: bool) -> Run:
    """Claim `name`, if it is free, or not that of a checkpoint from which the run that replaces it learns."""
    check_name(name)
    for option, source in (("--from", config.from_), ("--teacher", config.teacher)):
        if overwrite and source and Path(source).resolve().parent == (CHECKPOINTS_DIR / name).resolve():
            raise ConfigError(f"{option} {source} is of the run that --overwrite replaces; give another --name")
    run = _claim(Run(name, CHECKPOINTS_DIR / name), overwrite)
    if run is None and holds_study(RUNS_DIR / name):
        raise ConfigError(f"there is a study {name!r} already, which no run replaces; give another --name")
    if run is None and overwrite:
        raise ConfigError(f"another program is training the run {name!r}; wait for it to end, or give another --name")
    if run is None:
        raise ConfigError(f"there is a run {name!r} already; give another --name, or --overwrite to replace it")
    return run


def _create_unnamed(stem: str) -> Run:
    """Claim `stem`, or `stem-2`, `stem-3` and so on when another run started in the same second."""
    for number in count(1):
        name = stem if number == 1 else f"{stem}-{number}"
        if run := _claim(Run(name, CHECKPOINTS_DIR / name)):
            return run
    raise AssertionError("unreachable")


def _claim(run: Run, overwrite: bool = False) -> Run | None:
    """Create the folders of a run and lock them, or return None when the run exists.

    A run that was killed in its first epoch is overwritten, a study never. Of two programs that claim a name at once, one
    gets it.
    """
    if holds_study(run.log_dir) or (not (overwrite or run.checkpoint_dir.exists()) and run.log_dir.exists()):
        return None
    run.checkpoint_dir.mkdir(parents=True, exist_ok=True)
    claimed = _locked(run)
    if claimed is None:
        return None
    if not overwrite and (any(run.checkpoint_dir.glob("[!.]*")) or (run.log_dir / "metrics.csv").exists()):
        unlock(claimed)
        return None
    try:
        shutil.rmtree(run.log_dir, ignore_errors=True)
        run.log_dir.mkdir(parents=True, exist_ok=True)
    except OSError:
        release(claimed)
        raise
    return claimed


def _locked(run: Run) -> Run | None:
    """Return the run with its folder locked until the program ends in any way; None when another program has the lock."""
    try:
        descriptor = os.open(run.checkpoint_dir, os.O_RDONLY)
    except OSError:  # folders cannot be opened on Windows
        return run
    if lock(descriptor):
        return replace(run, descriptor=descriptor)
    os.close(descriptor)
    return None
