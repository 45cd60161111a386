"""The metadata of a checkpoint, read without its weights and without torch, and so quickly, from hundreds of files."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mnist_cli.config import TrainConfig
from mnist_cli.errors import CheckpointError, first_line
from mnist_cli.files import open_regular
from mnist_cli.labels import DIGITS
from mnist_cli.models import pretrained
from mnist_cli.models.torch_files import ForeignCodeError, TorchFile
from mnist_cli.results import EpochResult
from mnist_cli.version import __version__

FORMAT = "mnist-cli checkpoint"
VERSION = 1
MAX_CLASSES = 10_000
MAX_NAME_CHARACTERS = 200  # of a class
# Suffixes of the names of parameters; the buffers of batch norm and preprocessing have others.
LEARNED = (".weight", ".bias")

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Header:
    """The metadata of a checkpoint: all but the values of its tensors."""

    path: Path
    model: str  # the architecture
    arguments: dict[str, Any]  # from which the model is built
    classes: tuple[str, ...]  # in the order of its logits
    shapes: dict[str, Shape]  # of its weights and buffers
    parameters: int  # the number of learned parameters
    config: TrainConfig
    metrics: list[EpochResult]  # one per finished epoch
    versions: dict[str, str]  # of the programs that wrote it

    @property
    def epochs(self) -> int:
        """The number of finished epochs."""
        return self.metrics[-1].epoch if self.metrics else 0

    @property
    def seconds(self) -> float:
        """How long training took, without the evaluations."""
        return sum(result.seconds for result in self.metrics)

    @property
    def val_accuracy(self) -> float | None:
        """The accuracy on the val images after the last finished epoch, 0 to 1; None before the first."""
        return self.metrics[-1].val_accuracy if self.metrics else None


@contextmanager
def open_checkpoint(path: Path) -> Iterator[TorchFile]:
    """Open a checkpoint of this program and format version, whose content is a dict, for as long as the block runs.

    Raises CheckpointError when there is no such file, or it is not one that this version can read.
    """
    file = pretrained.resolve(path)
    if file.is_dir():
        raise CheckpointError(f"{path} is a folder; name the file in it, such as {path / 'last.pt'}")
    if file.suffix in {".onnx", ".pt2"}:
        raise CheckpointError(f"{path} is an exported model; name the checkpoint that it was made from")
    with _opened(file, path) as opened:
        try:
            archive = TorchFile(opened)
        except ForeignCodeError as error:
            raise CheckpointError(
                f"{path} is refused: loading it would run foreign code ({error}), which no checkpoint needs"
            ) from error
        # An untrusted file may raise anything; all of it means that the file is unusable.
        except Exception as error:
            raise CheckpointError(f"{path} is not a checkpoint, or it is corrupted: {first_line(error)}") from error
        _check_format(path, archive.content)
        yield archive


def _opened(file: Path, path: Path) -> BinaryIO:
    try:
        return open_regular(file)
    except FileNotFoundError as error:
        raise CheckpointError(f"checkpoint not found: {path}; `mnist train` writes checkpoints") from error
    except OSError as error:
        raise CheckpointError(f"{path} is not a checkpoint: {error.strerror or error}") from error


def _check_format(path: Path, content: Any) -> None:
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path} is a checkpoint of another program; `mnist train` writes those of this one")
    version = content.get("version")
    if not isinstance(version, int) or version != VERSION:
        raise CheckpointError(f"{path} has a format version that mnist {__version__} does not read; it reads {VERSION}")


def read(path: Path) -> Header:
    """Return the metadata of a checkpoint.

    Raises CheckpointError when there is no such file, or it is not one that this version can read.
    """
    with open_checkpoint(path) as archive:
        return header_of(path, archive.content)


def header_of(path: Path, content: dict[str, Any]) -> Header:
    """Return the metadata in the content of the checkpoint at `path`; raises CheckpointError for invalid metadata."""
    try:
        shapes = {_text(name): tensor.shape for name, tensor in content["weights"].items()}
        return Header(
            path,
            _text(content["model"]["name"]),
            _arguments(**content["model"]["arguments"]),
            check_classes(content.get("classes", DIGITS)),  # the first checkpoints do not have them
            shapes,
            sum(math.prod(shape) for name, shape in shapes.items() if name.endswith(LEARNED)),
            _config(content["config"]),
            [_epoch_result(values) for values in content["metrics"]],
            {_text(program): _text(version) for program, version in content["versions"].items()},
        )
    # An untrusted file may raise anything; all of it means that the file is unusable.
    except Exception as error:
        raise CheckpointError(f"{path} is a corrupted checkpoint: {first_line(error)}") from error


def _config(values: dict[str, Any]) -> TrainConfig:
    lists = {"hidden": tuple(values["hidden"]), "data": tuple(values.get("data", TrainConfig.data))}
    return TrainConfig(**{**values, **lists})


def _epoch_result(values: dict[str, Any]) -> EpochResult:
    result = EpochResult(**values)
    for name, value in vars(result).items():
        if value is None and name in {"held_out_loss", "train_accuracy"}:
            continue
        if type(value) not in (int, float):
            raise TypeError(f"the {name} of an epoch is not a number")
        if not (math.isfinite(value) or name.endswith("loss")):  # a loss may become infinite
            raise ValueError(f"the {name} of an epoch is {value}")
    if not isinstance(result.epoch, int):
        raise TypeError("the number of an epoch is not an integer")
    for accuracy in (result.val_accuracy, result.train_accuracy or 0):
        if not 0 <= accuracy <= 1:
            raise ValueError(f"epoch {result.epoch} has an accuracy of {accuracy:.3g}")
    return result


def _arguments(hidden: list[int], activation: str, dropout: float) -> dict[str, Any]:
    """Return the checked arguments of a model, with the types that a TrainConfig has; `build` checks their values."""
    if not isinstance(hidden, list) or not all(isinstance(width, int) for width in hidden):
        raise TypeError("the widths of its layers are not integers")
    if not 0 <= dropout < 1:  # false for NaN, too
        raise ValueError(f"its dropout is {dropout}")
    return {"hidden": hidden, "activation": _text(activation), "dropout": float(dropout)}


def check_classes(names: Any) -> tuple[str, ...]:
    """Return the names of classes in a file as they are; raises ValueError or TypeError for names that no model has."""
    if not isinstance(names, list | tuple) or not 2 <= len(names) <= MAX_CLASSES:
        raise ValueError("it has no classes, or too many")
    if any(not 0 < len(_text(name)) <= MAX_NAME_CHARACTERS for name in names) or len(set(names)) < len(names):
        raise ValueError("a class has no name, a very long one, or that of another class")
    return tuple(names)


def _text(value: object) -> str:
    """Return a string as it is; raises TypeError for anything else."""
    if not isinstance(value, str):
        raise TypeError(f"a name in it is a {type(value).__name__}")
    return value
