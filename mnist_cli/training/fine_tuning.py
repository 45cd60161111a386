"""The configuration of a run that learns from another model: from its weights, or from its probabilities. Without torch."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from mnist_cli import config as configuration
from mnist_cli.config import TrainConfig
from mnist_cli.errors import CheckpointError, ConfigError
from mnist_cli.models import checkpoint_info
from mnist_cli.models.checkpoint_info import Header
from mnist_cli.training import runs

ARCHITECTURE = ("model", "hidden", "activation", "dropout")  # what is that of the checkpoint
KEPT = ("loss", "augment")  # what is that of the checkpoint unless another is given
GENTLER = 0.1  # times the default learning rate of the architecture
EPOCHS = 5


def resolve(preset: str | None, file: Path | None, options: Mapping[str, Any]) -> TrainConfig:
    """Return what `config.resolve` does, with the defaults of fine-tuning where a checkpoint is given as `from_`.

    Raises ConfigError when the architecture is to be another one, CheckpointError when there is no such checkpoint.
    """
    config = _with_defaults(preset, file, options)
    return replace(config, from_=frozen(config.from_), teacher=frozen(config.teacher))


def _with_defaults(preset: str | None, file: Path | None, options: Mapping[str, Any]) -> TrainConfig:
    """Return what `config.resolve` does, with the defaults of fine-tuning."""
    in_file = configuration.values_in(file) if file else {}
    source = options.get("from_", in_file.get("from_"))
    if not source:
        return configuration.resolve(preset, file, options)
    header = header_of(str(source))
    fixed = {"model": header.model, **header.arguments, "hidden": tuple(header.arguments["hidden"])}
    default = configuration.resolve(None, None, {"model": header.model}).learning_rate
    gentle = {"learning_rate": GENTLER * default, "epochs": EPOCHS}
    kept = {name: getattr(header.config, name) for name in KEPT}
    config = configuration.resolve(preset, file, options, base={**kept, **gentle, **fixed})
    for name in ARCHITECTURE:
        if getattr(config, name) != fixed[name]:
            raise ConfigError(f"--from {source} has another --{name}, {_text(fixed[name])}, which cannot be changed")
    return config


def frozen(name: str) -> str:
    """Return the path of the checkpoint that `name` stands for now, later perhaps another; raises CheckpointError when it is none."""
    return str(header_of(name).path) if name else ""


def needs_mnist(config: TrainConfig) -> bool:
    """Return whether a run reads MNIST: as its data, or as those that the checkpoint was trained on."""
    original = header_of(config.from_).config.data if config.from_ and config.mix else ()
    return "mnist" in config.data or "mnist" in original


def learned_by(path: Path) -> tuple[set[str], set[str]]:
    """Return the data sets whose training part a model has learned, and those of which it has learned all images.

    They are those of its own training and those of the checkpoints that it was fine-tuned from, as far as these still exist.
    """
    parts: set[str] = set()
    wholes: set[str] = set()
    seen: set[Path] = set()
    while path not in seen:
        seen.add(path)
        try:
            config = checkpoint_info.read(path).config
        except CheckpointError:
            break
        parts |= set(config.data)
        wholes |= {config.extra} if config.extra else set()
        path = Path(config.from_) if config.from_ else path
    return parts, wholes


def header_of(source: str) -> Header:
    """Return the metadata of the checkpoint to learn from; raises CheckpointError when it is none."""
    return checkpoint_info.read(runs.find_checkpoint(Path(source)))


def _text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
