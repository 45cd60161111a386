"""MNIST in memory: a split is two tensors, a batch is an index into them."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from mnist_cli import idx
from mnist_cli.config import TrainConfig
from mnist_cli.errors import ConfigError, DataError

Split = Literal["train", "val"]
SPLITS: dict[Split, tuple[idx.IdxFile, idx.IdxFile]] = {
    "train": (idx.TRAIN_IMAGES, idx.TRAIN_LABELS),
    "val": (idx.VAL_IMAGES, idx.VAL_LABELS),
}
UINT8 = 8  # the type code of IDX for unsigned bytes


@dataclass(frozen=True)
class Digits:
    """Images of digits and what they show, all on one device."""

    images: Tensor  # uint8 (N, 1, 28, 28), 0 = paper, 255 = ink
    labels: Tensor  # int64 (N,), 0 to 9

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: Tensor | slice) -> "Digits":
        return Digits(self.images[index], self.labels[index])

    def to(self, device: torch.device) -> "Digits":
        """Return the same digits on `device`."""
        return Digits(self.images.to(device), self.labels.to(device))

    def shuffled(self, generator: torch.Generator) -> "Digits":
        """Return the digits in a new order, drawn on the CPU so that every device sees the same one."""
        return self[torch.randperm(len(self), generator=generator).to(self.labels.device)]

    def batches(self, batch_size: int) -> Iterator["Digits"]:
        """Yield the digits in order, `batch_size` at a time; the last batch may be smaller."""
        for start in range(0, len(self), batch_size):
            yield self[start : start + batch_size]


def split_off(digits: Digits, count: int, seed: int) -> tuple[Digits, Digits]:
    """Return `count` of the digits, each of the ten in its share, and the rest; the same seed chooses the same.

    Raises ConfigError when there are not that many.
    """
    if count > len(digits):
        raise ConfigError(f"there are only {len(digits):,} images to choose {count:,} from")
    order = torch.randperm(len(digits), generator=torch.Generator().manual_seed(seed))
    labels = digits.labels.cpu()[order]
    # Place each image by how far down it stands among its own digit's: a stratified order to cut anywhere.
    position = torch.empty(len(digits))
    for digit in labels.unique():
        places = (labels == digit).nonzero().flatten()
        position[places] = (torch.arange(len(places)) + 0.5) / len(places)
    order = order[position.argsort(stable=True)].to(digits.labels.device)
    return digits[order[:count].sort().values], digits[order[count:].sort().values]


def select(digits: Digits, config: TrainConfig) -> tuple[Digits, Digits | None]:
    """Return the images to train on and those to hold out, as `config` wants; the seed chooses them.

    Raises ConfigError when there are not enough.
    """
    held_out = None
    if config.held_out:
        held_out, digits = split_off(digits, config.held_out, config.seed)
    if config.train_size:
        digits, _ = split_off(digits, config.train_size, config.seed)
    return digits, held_out


def load(data_dir: Path, split: Split) -> Digits:
    """Return the 60,000 training or the 10,000 val digits from verified files.

    Raises DataError when a file is missing or damaged; `idx.repair` mends both.
    """
    images_file, labels_file = SPLITS[split]
    images = parse_idx(idx.read(data_dir, images_file), source=images_file.name)
    labels = parse_idx(idx.read(data_dir, labels_file), source=labels_file.name)
    return Digits(images.unsqueeze(1), labels.long())


def parse_idx(raw: bytes, source: str) -> Tensor:
    """Return the uint8 tensor stored in an IDX file: (N, 28, 28) for images, (N,) for labels.

    Layout: two zero bytes, a type code (8 = uint8), the number of axes, then one big-endian uint32 per axis, then the
    values, last axis fastest (LeCun, Cortes and Burges, "The MNIST database of handwritten digits").

    Raises DataError, naming `source`, when the header and the length of `raw` disagree.
    """
    if len(raw) < 4 or raw[:3] != bytes([0, 0, UINT8]):
        raise DataError(f"{source} is not an IDX file of unsigned bytes")
    axes = raw[3]
    header = 4 + 4 * axes  # bytes
    if len(raw) < header:
        raise DataError(f"{source} ends inside its header")
    shape = struct.unpack_from(f">{axes}I", raw, offset=4)
    expected = 1
    for length in shape:
        expected *= length
    if len(raw) - header != expected:
        raise DataError(f"{source} has {len(raw) - header:,} values, its header says {expected:,}")
    # A bytearray, because a tensor may be written to and bytes may not.
    return torch.frombuffer(bytearray(raw), dtype=torch.uint8)[header:].reshape(shape)
