"""A training run on disk: a name, a folder for its checkpoint and one for its curves. Standard library only."""

import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from mnist_cli.config import CHECKPOINTS_DIR, RUNS_DIR
from mnist_cli.errors import ConfigError

NAME = re.compile(r"[^\W_][\w.+= -]{0,99}")  # a folder name on any system: no separator, no leading dot or dash


@dataclass(frozen=True)
class Run:
    """Where a run keeps its files."""

    name: str

    @property
    def checkpoint_path(self) -> Path:
        """The file that holds the model after the last finished epoch."""
        return CHECKPOINTS_DIR / self.name / "last.pt"

    @property
    def log_dir(self) -> Path:
        """The folder of the TensorBoard events."""
        return RUNS_DIR / self.name


def create(name: str | None, model: str, overwrite: bool = False) -> Run:
    """Claim the folders of a new run; without a name it is called after its model and the time.

    With `overwrite` an existing run loses its curves at once and its checkpoint when there is a new one.

    Raises ConfigError when the name cannot be a folder's, or is taken.
    """
    if name is None:
        return _create_unnamed(f"{model}-{time.strftime('%Y%m%d-%H%M%S')}")
    if not NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot name a run; use letters, digits and . _ + = - like `--name first-try`")
    run = Run(name)
    if overwrite:
        shutil.rmtree(run.log_dir, ignore_errors=True)
    try:
        _claim(run, exist_ok=overwrite)
    except FileExistsError as error:
        raise ConfigError(
            f"there is a run {name!r} already; give another --name, or --overwrite to replace it"
        ) from error
    return run


def _create_unnamed(stem: str) -> Run:
    """Claim `stem`, or `stem-2`, `stem-3` and so on when another run started in the same second."""
    run, number = Run(stem), 1
    while True:
        try:
            _claim(run)
            return run
        except FileExistsError:
            number += 1
            run = Run(f"{stem}-{number}")


def _claim(run: Run, exist_ok: bool = False) -> None:
    """Make the run's folders; of two programs that claim one name at once, one gets FileExistsError."""
    run.checkpoint_path.parent.mkdir(parents=True, exist_ok=exist_ok)
    run.log_dir.mkdir(parents=True, exist_ok=True)
