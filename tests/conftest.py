"""Fixtures of several test files: the real data, unpacked once, a small checkpoint, and drawings of digits."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest
import torch
from PIL import Image, ImageDraw
from torch import nn
from typer.testing import CliRunner, Result

from mnist_cli.cli import app
from mnist_cli.config import TrainConfig
from mnist_cli.datasets import dataset, mnist_files
from mnist_cli.datasets.dataset import Digits
from mnist_cli.models import architectures
from mnist_cli.results import EpochResult
from mnist_cli.training import loop, session
from mnist_cli.training.loop import Trainer

Mnist = Callable[..., Result]

RESULTS = [
    EpochResult(1, 0.5, 0.4, 0.9, 1.5, 1e-3, held_out_loss=0.45, train_accuracy=0.85),
    EpochResult(2, 0.3, 0.35, 0.925, 1.25, 1e-5, held_out_loss=0.4, train_accuracy=0.9),
]

# One thread, here and in the programs that tests start: with more, a busy machine makes each wait for the others.
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real MNIST files, as the package unpacks them; tests do not write to it."""
    folder = tmp_path_factory.mktemp("mnist") / "data"
    mnist_files.repair(folder)
    return folder


@pytest.fixture(scope="session")
def val(data_dir: Path) -> Digits:
    return dataset.load(data_dir, "val")


@pytest.fixture(scope="session")
def train(data_dir: Path) -> Digits:
    return dataset.load(data_dir, "train")


@pytest.fixture(scope="session")
def trained(train: Digits, val: Digits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the notes' network after one epoch over 10,000 images."""
    config = TrainConfig(epochs=1, batch_size=64, augment="none")
    model = architectures.build_from(config)
    trainer = loop.Trainer(model, train[:10_000], val, config)
    list(trainer.epochs())
    path = tmp_path_factory.mktemp("trained") / "last.pt"
    session.save(path, trainer)
    return path


@pytest.fixture
def finished(val: Digits) -> Trainer:
    """A run with results, whose model is softmax regression with weights of 2, and a gradient of 1 at each."""
    trainer = Trainer(architectures.build("linear", 0), val[:70], val[:1_000], TrainConfig(epochs=2), held_out=val[:5])
    weight = trainer.model.layers[1].weight
    nn.init.constant_(weight, 2)
    weight.grad = torch.ones_like(weight)
    trainer.results = RESULTS
    trainer.epoch = 2
    return trainer


@pytest.fixture
def mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_dir: Path) -> Mnist:
    """Run the program in an empty directory, with the data in place."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MNIST_DATA_DIR", str(data_dir))
    monkeypatch.setenv("COLUMNS", "80")
    runner = CliRunner()
    return lambda *arguments, **options: runner.invoke(app, list(map(str, arguments)), prog_name="mnist", **options)


@pytest.fixture(autouse=True)
def _same_random_numbers() -> None:
    torch.manual_seed(0)


class SilentReport:
    """A report of a run that shows and writes nothing."""

    def __init__(self, *given: object, **options: object) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...

    def advance(self, images: int) -> None: ...

    def epoch(self, result: EpochResult) -> None: ...

    def finish(self) -> None: ...


def draw_seven(size: int = 200, ink: object = "black", paper: object = "white", mode: str = "RGB") -> Image.Image:
    """Draw a 7 with a thick pen, off the middle of a square page."""
    picture = Image.new(mode, (size, size), paper)
    corners = [(0.2, 0.15), (0.65, 0.15), (0.35, 0.75)]
    ImageDraw.Draw(picture).line([(x * size, y * size) for x, y in corners], fill=ink, width=size // 14, joint="curve")
    return picture
