"""Checkpoints: the architecture, weights, configuration and scores of a trained model in one file.

The file is a dict of tensors and plain values, written by `torch.save`, so that `torch.load(path, weights_only=True)`
opens it and no foreign code ever runs.
"""

import io
import platform
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from mnist_cli.arrays import ACCEPT_ALL
from mnist_cli.config import TrainConfig
from mnist_cli.errors import CheckpointError, first_line
from mnist_cli.files import replacing
from mnist_cli.models import architectures, checkpoint_info
from mnist_cli.models.architectures import Classifier
from mnist_cli.models.checkpoint_info import Header
from mnist_cli.models.torch_files import Storage, StoredTensor, TorchFile
from mnist_cli.results import EpochResult
from mnist_cli.version import __version__

# The first checkpoints lack these buffers.
UNCALIBRATED = {"temperature": torch.tensor(architectures.UNCALIBRATED), "least_score": torch.tensor(ACCEPT_ALL)}
MAX_WEIGHT = 1e18  # the product of two larger numbers overflows float32


@dataclass(frozen=True)
class Checkpoint:
    """The content of a checkpoint file, with the model rebuilt."""

    path: Path
    model: Classifier  # on the CPU, in evaluation mode
    config: TrainConfig
    metrics: list[EpochResult]  # one per finished epoch
    trainer: dict[str, Any]  # Trainer.state_dict()
    versions: dict[str, str]

    @property
    def val_accuracy(self) -> float | None:
        """The accuracy on the val images after the last finished epoch, 0 to 1; None before the first."""
        return self.metrics[-1].val_accuracy if self.metrics else None

    @property
    def parameters(self) -> int:
        """The number of learned parameters."""
        return sum(weights.numel() for weights in self.model.parameters())


def save(
    path: Path, model: Classifier, config: TrainConfig, metrics: Sequence[EpochResult], trainer: dict[str, Any]
) -> None:
    """Write a checkpoint to `path`, replacing an existing one only when the new one is complete.

    `metrics` are those of the finished epochs, and `trainer` is what `Trainer.state_dict` returned, to resume from.
    """
    content = {
        "format": checkpoint_info.FORMAT,
        "version": checkpoint_info.VERSION,
        "model": {"name": model.name, "arguments": model.arguments},
        "classes": list(model.classes),
        "weights": _on_cpu(model.state_dict()),
        "config": asdict(config),
        "metrics": [asdict(result) for result in metrics],
        "trainer": _on_cpu(trainer),
        "versions": {
            "mnist_cli": __version__,
            "torch": str(torch.__version__),  # a str subclass, which weights_only would refuse
            "python": platform.python_version(),
        },
    }
    # To memory first, since torch.save raises its own kind of error when the disk is full.
    whole = io.BytesIO()
    torch.save(content, whole)
    with replacing(path) as file:
        file.write(whole.getbuffer())


def is_whole(tensor: torch.Tensor) -> bool:
    """Return whether a tensor is within its storage; otherwise kernels that rely on it read and write out of bounds."""
    end = (tensor.storage_offset() + tensor.numel()) * tensor.element_size()
    return bool(end <= tensor.untyped_storage().nbytes())


def _on_cpu(value: Any) -> Any:
    """Return nested dicts and lists with every tensor on the CPU, so that any machine can open the file."""
    return _replaced(value, torch.Tensor, torch.Tensor.cpu)


def load(path: Path) -> Checkpoint:
    """Rebuild the model of a checkpoint, or, from PRETRAINED, the one that ships with the program.

    Raises CheckpointError when there is no such file, or it is not one that this version can read.
    """
    with checkpoint_info.open_checkpoint(path) as file:
        header = checkpoint_info.header_of(path, file.content)
        try:
            content = _with_tensors(file)
            weights = {**UNCALIBRATED, **content["weights"]}
            _check_weights(header, weights)
            model = architectures.build(header.model, **header.arguments, classes=header.classes)
            model.load_state_dict(weights)
            return Checkpoint(path, model.eval(), header.config, header.metrics, content["trainer"], header.versions)
        # An untrusted file may raise anything; all of it means that the file is unusable.
        except Exception as error:
            raise CheckpointError(f"{path} is a corrupted checkpoint: {first_line(error)}") from error


def _with_tensors(file: TorchFile) -> dict[str, Any]:
    """Return the content of a file with its tensors, made of the bytes that were checked."""
    storages: dict[Storage, torch.Tensor] = {}

    def tensor(stored: StoredTensor) -> torch.Tensor:
        if stored.storage not in storages:
            content = file.numbers(stored.storage)
            kind: torch.dtype = getattr(torch, stored.storage.kind)
            storages[stored.storage] = torch.frombuffer(content, dtype=kind) if content else torch.empty(0, dtype=kind)
        return storages[stored.storage].as_strided(stored.shape, stored.stride, stored.offset)

    content: dict[str, Any] = _replaced(file.content, StoredTensor, tensor)
    return content


def _replaced(value: Any, kind: type, replace: Callable[[Any], Any]) -> Any:
    """Return nested dicts and lists in which every value of a type is replaced by `replace` of it."""
    if isinstance(value, kind):
        return replace(value)
    if isinstance(value, dict):
        return {key: _replaced(item, kind, replace) for key, item in value.items()}
    return [_replaced(item, kind, replace) for item in value] if isinstance(value, list) else value


def _check_weights(header: Header, weights: dict[str, torch.Tensor]) -> None:
    """Raise ValueError unless the weights match the model, before it is built: a few bytes of a file can declare terabytes."""
    if len(header.arguments["hidden"]) > len(weights):
        raise ValueError("it has more layers than weights")
    with torch.device("meta"):
        wanted = architectures.build(header.model, **header.arguments, classes=header.classes).state_dict()
    if set(wanted) != set(weights):
        raise ValueError(f"missing or unexpected tensors: {', '.join(sorted(map(str, set(wanted) ^ set(weights))))}")
    for name, tensor in weights.items():
        kind = wanted[name]
        if not isinstance(tensor, torch.Tensor) or (tensor.layout, tensor.device.type) != (torch.strided, "cpu"):
            raise TypeError(f"its {name} is not a plain tensor")
        if (tensor.shape, tensor.dtype) != (kind.shape, kind.dtype):
            raise ValueError(
                f"its {name} is {tuple(tensor.shape)} of {tensor.dtype}, expected {tuple(kind.shape)} of {kind.dtype}"
            )
        if not is_whole(tensor):
            raise ValueError(f"its {name} has fewer numbers than its shape requires")
        if not tensor.abs().max() < MAX_WEIGHT:  # true for NaN, too
            raise ValueError(f"its {name} has values that are infinite, NaN or beyond {MAX_WEIGHT:g}")
    for name in ("temperature", "pixel_std"):
        if not weights[name] > 0:
            raise ValueError(f"its {name} is {float(weights[name]):g}, expected above 0")
