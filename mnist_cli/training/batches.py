"""The batches of an epoch: shuffled, augmented, and split among the processes of a run."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from mnist_cli.config import TrainConfig
from mnist_cli.datasets.dataset import Digits
from mnist_cli.prefetch import one_ahead
from mnist_cli.training.augmentation import Augmenter
from mnist_cli.training.distributed import ALONE, Group

AUGMENTED_AT_ONCE = 2_048  # images, at least, over which the overhead of launching an operation is spread


class Batches:
    """The batches of any epoch of a run.

    The order of the images and their augmentation depend only on the seed, the epoch and the position in that order, so
    they are the same for any number of processes.
    """

    def __init__(self, digits: Digits, config: TrainConfig, group: Group = ALONE) -> None:
        """Prepare the batches of the process with the rank of `group`, which has all the digits."""
        self.digits, self.config, self.group = digits, config, group
        self.device = digits.labels.device
        self.augment: Callable[..., Tensor] = Augmenter(config.augment, self.device)

    def seed(self, epoch: int) -> int:
        """Return the seed of an epoch."""
        return (self.config.seed << 20) + epoch

    def of_epoch(self, epoch: int) -> Iterator[tuple[Digits, int]]:
        """Yield this process's part of each batch, and how many images the batch has in all processes together.

        On the CPU a background thread prepares the next images.
        """
        order = torch.Generator().manual_seed(self.seed(epoch))
        amounts = torch.Generator(self.device).manual_seed(self.seed(epoch) << 12)
        size = self.config.batch_size
        chunks = self.digits.shuffled(order).batches(size * max(1, AUGMENTED_AT_ONCE // size))
        # Other devices compute asynchronously anyway, and nothing else may run while a CUDA graph is captured.
        prepare = one_ahead if self.device.type == "cpu" else map
        for batches in prepare(lambda chunk: self._of_chunk(chunk, amounts), chunks):
            yield from batches

    def _of_chunk(self, chunk: Digits, amounts: torch.Generator) -> list[tuple[Digits, int]]:
        """Return the batches of some images that are augmented together."""
        size = self.config.batch_size
        parts = self._parts(len(chunk))
        mine = slice(None) if self.group.size == 1 else torch.cat(parts).to(self.device)
        part_images = self.augment(chunk.images, amounts, mine).split([len(part) for part in parts])
        part_labels = chunk.labels[mine].split([len(part) for part in parts])
        return [
            (Digits(images, labels), min(size, len(chunk) - number * size))
            for number, (images, labels) in enumerate(zip(part_images, part_labels, strict=True))
        ]

    def _parts(self, count: int) -> list[Tensor]:
        """Return for each batch of `count` images the indices of this process: with two processes, every second one."""
        size = self.config.batch_size
        starts = range(0, count, size)
        return [torch.arange(start + self.group.rank, min(start + size, count), self.group.size) for start in starts]
