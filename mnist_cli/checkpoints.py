"""A trained model in one file: how to rebuild it, its weights, and how it came about.

The file is what `torch.save` makes of a dict of tensors and plain values, so `torch.load(path, weights_only=True)`
opens it and no code of a stranger ever runs.
"""

import io
import platform
import zipfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from mnist_cli import __version__, models
from mnist_cli.config import PRETRAINED, TrainConfig
from mnist_cli.errors import CheckpointError
from mnist_cli.files import replacing
from mnist_cli.models import Classifier
from mnist_cli.training import EpochResult, Trainer

FORMAT = "mnist-cli checkpoint"
VERSION = 1
# Of a model that was never calibrated; the first checkpoints do not have these.
CALIBRATION = {"temperature": torch.tensor(models.UNCALIBRATED), "least_score": torch.tensor(models.ANYTHING)}
BUNDLED = Path(__file__).with_name("bundled") / "pretrained.pt"


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint file holds, with the model rebuilt."""

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


def save(path: Path, trainer: Trainer) -> None:
    """Write where `trainer` is to `path`, replacing the checkpoint that was there only when the new one is whole."""
    model = trainer.model
    content = {
        "format": FORMAT,
        "version": VERSION,
        "model": {"name": model.name, "arguments": model.arguments},
        "weights": _on_cpu(model.state_dict()),
        "config": asdict(trainer.config),
        "metrics": [asdict(result) for result in trainer.results],
        "trainer": _on_cpu(trainer.state_dict()),
        "versions": {
            "mnist_cli": __version__,
            "torch": str(torch.__version__),  # a str subclass, which weights_only would refuse
            "python": platform.python_version(),
        },
    }
    # Into memory first: when the disk is full, torch.save raises errors of its own.
    whole = io.BytesIO()
    torch.save(content, whole)
    with replacing(path) as file:
        file.write(whole.getbuffer())


def _on_cpu(value: Any) -> Any:
    """Return nested dicts and lists with every tensor on the CPU, so that any machine can open the file."""
    if isinstance(value, torch.Tensor):
        return value.cpu()
    if isinstance(value, dict):
        return {key: _on_cpu(item) for key, item in value.items()}
    return [_on_cpu(item) for item in value] if isinstance(value, list) else value


def load(path: Path) -> Checkpoint:
    """Rebuild the model of a checkpoint, or, from PRETRAINED, the one that ships with the program.

    Raises CheckpointError when there is no such file, or it is not one that this version can read.
    """
    content = _read(BUNDLED if path == PRETRAINED and not path.exists() else path)
    try:
        model = models.build(content["model"]["name"], **content["model"]["arguments"])
        model.load_state_dict({**CALIBRATION, **content["weights"]})
        config = TrainConfig(**{**content["config"], "hidden": tuple(content["config"]["hidden"])})
        metrics = [EpochResult(**result) for result in content["metrics"]]
        if not all(isinstance(result.val_accuracy, float) for result in metrics):
            raise TypeError("an accuracy is not a number")
        if not all(tensor.isfinite().all() for tensor in model.state_dict().values()):
            raise ValueError("it holds weights that are not numbers")
        return Checkpoint(path, model.eval(), config, metrics, content["trainer"], content["versions"])
    # Whatever is wrong with a stranger's file, that is what has to be said.
    except Exception as error:
        raise CheckpointError(f"{path} is a damaged checkpoint: {_first_line(error)}") from error


def _read(path: Path) -> dict[str, Any]:
    """Return the dict in a checkpoint file of this program, its checksums and format version verified."""
    if not path.exists():
        raise CheckpointError(f"there is no file {path}; `mnist train` makes checkpoints")
    # torch.save writes a zip; insisting on one keeps bare pickles out before anything looks inside.
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; name the file in it, such as {path / 'last.pt'}")
    if not path.is_file() or not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path} is not a checkpoint, or not a whole one; `mnist train` makes checkpoints")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        content = torch.load(path, map_location="cpu", weights_only=True)
    # Torch and zipfile raise a dozen kinds of error on broken files, some of them by accident.
    except Exception as error:
        if wanted := _wanted_code(path):
            raise CheckpointError(
                f"{path} is refused: opening it would run code of its own ({wanted}), and a checkpoint needs none"
            ) from error
        raise CheckpointError(f"{path} is not a checkpoint, or a damaged one: {_first_line(error)}") from error
    if damaged:
        raise CheckpointError(f"{path} is damaged: the checksum of {damaged} is wrong")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path} is a checkpoint of another program; `mnist train` makes ours")
    version = content.get("version")
    if not isinstance(version, int) or version != VERSION:
        raise CheckpointError(f"{path} has a format version that mnist {__version__} does not read; it reads {VERSION}")
    return content


def _wanted_code(path: Path) -> str:
    """Name the functions and classes that a pickle asks for and no checkpoint needs; empty when none can be told."""
    try:
        return ", ".join(torch.serialization.get_unsafe_globals_in_checkpoint(path))
    except Exception:  # noqa: BLE001  (the list is a courtesy, and the file is broken anyway)
        return ""


def _first_line(error: Exception) -> str:
    """Return what an error says, short of the details torch lists below it."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
