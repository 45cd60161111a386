"""What a training run is made of, and where its files go. Standard library only."""

import math
from dataclasses import dataclass
from pathlib import Path

from mnist_cli.errors import ConfigError

DATA_DIR = Path("data")
CHECKPOINTS_DIR = Path("checkpoints")
RUNS_DIR = Path("runs")


@dataclass(frozen=True)
class TrainConfig:
    """The hyperparameters of a run; the defaults are the recipe of the notes this project grew from.

    Raises ConfigError for values that no run can have.
    """

    model: str = "mlp"
    epochs: int = 10  # passes over the training images
    batch_size: int = 64  # images per optimizer step
    learning_rate: float = 1e-3  # step size of Adam
    seed: int = 0  # decides the first weights and the order of the images

    def __post_init__(self) -> None:
        """Check the values."""
        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise ConfigError(f"learning_rate must be a number above 0, not {self.learning_rate}")
