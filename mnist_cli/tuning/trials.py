"""The training of a trial, in parts, by the processes of a search, here or on another machine."""

import hashlib
import io
import threading
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from mnist_cli.config import TrainConfig
from mnist_cli.datasets import data_folder
from mnist_cli.models import devices
from mnist_cli.pictures import decode
from mnist_cli.results import EpochResult
from mnist_cli.training import fine_tuning, session
from mnist_cli.training.loop import Trainer

# A process trains one model at a time: dropout draws from torch's global generator, which threads would share.
ALONE = threading.Lock()


@dataclass(frozen=True)
class Part:
    """Some epochs of a training run, as they are sent to a process."""

    config: TrainConfig
    until: int  # the last epoch to train
    device: str | None = None
    data_dir: Path | None = None
    state: bytes = b""  # of the epochs before
    results: tuple[EpochResult, ...] = ()  # of the epochs before
    on_val: bool = False  # whether the scores are those on the val images, not on the held-out ones


@dataclass(frozen=True)
class Trained:
    """What came of a part: the results of all epochs so far, and the state to go on from."""

    results: tuple[EpochResult, ...]
    state: bytes
    weights: str  # SHA-256 of the model, the same for the same weights


def train(part: Part) -> Trained:
    """Train the epochs of `part`; on the CPU the weights are bit by bit those of `mnist train` with this configuration.

    The `val_accuracy` and `val_loss` of the results are those on the held-out images, unless `part` asks for the val
    images, which a search does not see.

    Raises DivergenceError when the loss is no number any more, and ConfigError when nothing can be trained like this.
    """
    decode.silence_libraries()
    devices.silence_compiler()
    with (
        ALONE,
        devices.deterministic_operations(part.config.deterministic),
        devices.computing_threads(part.config.threads),
    ):
        trainer = session.prepare(part.config, devices.choose(part.device), _folder(part))
        if trainer.held_out and not part.on_val:
            trainer.val = trainer.held_out
        if part.state:
            _restore(trainer, part)
        for result in trainer.epochs():
            if result.epoch == part.until:
                break
        is_over = trainer.epoch == part.config.epochs
        state = b"" if is_over else _state_of(trainer)
        return Trained(tuple(trainer.results), state, fingerprint(trainer.model.state_dict()))


def fingerprint(weights: dict[str, torch.Tensor]) -> str:
    """Return the SHA-256 of the weights and buffers of a model, in their order."""
    hashed = hashlib.sha256()
    for tensor in weights.values():
        hashed.update(tensor.detach().cpu().numpy().tobytes())
    return hashed.hexdigest()


def _state_of(trainer: Trainer) -> bytes:
    file = io.BytesIO()
    torch.save({"weights": trainer.model.state_dict(), "trainer": trainer.state_dict()}, file)
    return file.getvalue()


def _restore(trainer: Trainer, part: Part) -> None:
    state: dict[str, Any] = torch.load(io.BytesIO(part.state), map_location=trainer.device, weights_only=True)
    trainer.model.load_state_dict(state["weights"])
    trainer.load_state_dict(state["trainer"], list(part.results))


def _folder(part: Part) -> Path | None:
    """Return the folder of the data on this machine, with verified MNIST files in it if they are needed."""
    return _with_mnist(part.data_dir) if fine_tuning.needs_mnist(part.config) else part.data_dir


@lru_cache(maxsize=1)
def _with_mnist(data_dir: Path | None) -> Path | None:
    """Return the folder of verified MNIST files, which is checked once in a process."""
    return data_folder.prepare(data_dir).path
