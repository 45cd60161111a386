"""MNIST in memory: a split is two tensors, a batch is an index into them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mnist_cli.arrays import Frames
from mnist_cli.config import TrainConfig
from mnist_cli.datasets import mnist_files
from mnist_cli.datasets.mnist_files import Split
from mnist_cli.errors import ConfigError


@dataclass(frozen=True)
class Digits:
    """Images of digits, or of what else a data set has, and their labels, all on one device."""

    images: Tensor  # uint8 (N, 1, 28, 28), 0 = paper, 255 = ink
    labels: Tensor  # int64 (N,), indices of classes: of digits 0 to 9

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor | slice) -> "Digits":
        return Digits(self.images[index], self.labels[index])

    def to(self, device: torch.device) -> "Digits":
        """Return the same digits on `device`."""
        return Digits(self.images.to(device), self.labels.to(device))

    def arrays(self) -> tuple[Frames, NDArray[np.int64]]:
        """Return images and labels as NumPy arrays."""
        return self.images.cpu().numpy(), self.labels.cpu().numpy()

    def shuffled(self, generator: torch.Generator) -> "Digits":
        """Return the digits in random order, drawn on the CPU so that it is the same for every device."""
        return self[torch.randperm(len(self), generator=generator).to(self.labels.device)]

    def batches(self, batch_size: int) -> Iterator["Digits"]:
        """Yield the digits in order, `batch_size` at a time; the last batch may be smaller."""
        for start in range(0, len(self), batch_size):
            yield self[start : start + batch_size]


def split_off(digits: Digits, count: int, seed: int) -> tuple[Digits, Digits]:
    """Return a random subset of `count` digits, stratified by label, and the rest; the same seed gives the same subset.

    Raises ConfigError when there are fewer than `count`.
    """
    if count > len(digits):
        raise ConfigError(f"there are only {len(digits):,} images to choose {count:,} from")
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(seed))
    labels = digits.labels.cpu()[order]
    # The position of each image among those of its label, 0 to 1. In the order of these, any prefix is stratified.
    position = torch.empty(len(digits))
    for digit in labels.unique():
        indices = (labels == digit).nonzero().flatten()
        position[indices] = (torch.arange(len(indices)) + 0.5) / len(indices)
    order = order[position.argsort(stable=True)].to(digits.labels.device)
    return digits[order[:count].sort().values], digits[order[count:].sort().values]


def select(digits: Digits, config: TrainConfig) -> tuple[Digits, Digits | None]:
    """Return the images to train on and the held-out ones, as many as `config` sets; its seed selects them.

    Raises ConfigError when there are too few images.
    """
    held_out = None
    if config.held_out:
        # Early stopping holds out a sixth of a small data set, unless the number is given.
        count = config.holdout or min(config.held_out, len(digits) // 6)
        held_out, digits = split_off(digits, count, config.seed)
    if config.train_size:
        digits, _ = split_off(digits, config.train_size, config.seed)
    return digits, held_out


def load(data_dir: Path | None, split: Split) -> Digits:
    """Return the 60,000 training or the 10,000 val digits from verified files, which `mnist_files.read` finds.

    Raises DataError when a file is missing or corrupted; `mnist_files.repair` replaces it.
    """
    return from_arrays(*mnist_files.load(data_dir, split))


def from_arrays(images: Frames, labels: NDArray[np.integer[Any]]) -> Digits:
    """Return the digits in NumPy arrays, images (N, 1, 28, 28) and labels (N,)."""
    return Digits(torch.from_numpy(images), torch.from_numpy(labels).long())


def repeated(digits: Digits, least: int) -> Digits:
    """Return the digits as often, one copy behind the other, as it takes to have at least `least` images."""
    return joined(*[digits] * max(1, -(-least // len(digits))))


def joined(*parts: Digits) -> Digits:
    """Return the digits of all parts, concatenated."""
    return Digits(torch.cat([part.images for part in parts]), torch.cat([part.labels for part in parts]))
