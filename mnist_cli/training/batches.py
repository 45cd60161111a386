"""The batches of an epoch: shuffled, augmented, and split among the processes of a run."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from mnist_cli.config import TrainConfig
from mnist_cli.datasets.dataset import Digits
from mnist_cli.training.augmentation import Augmenter
from mnist_cli.training.distributed import ALONE, Group

AUGMENTED_AT_ONCE = 2_048  # images, at least; so many share the cost of starting each operation


class Batches:
    """The batches of any epoch of a run.

    The order of the images and what augmentation makes of each follow from the seed, the epoch and the image's place in
    that order alone, so they are the same however many processes share a batch.
    """

    def __init__(self, digits: Digits, config: TrainConfig, group: Group = ALONE) -> None:
        """Prepare the batches of the process with the rank of `group`, which has all the digits."""
        self.digits, self.config, self.group = digits, config, group
        self.augment: Callable[..., Tensor] = Augmenter(config.augment, digits.labels.device)

    def seed(self, epoch: int) -> int:
        """Return the seed of an epoch."""
        return (self.config.seed << 20) + epoch

    def of_epoch(self, epoch: int) -> Iterator[tuple[Digits, int]]:
        """Yield this process's part of each batch, and how many images the batch has in all processes together."""
        size, device = self.config.batch_size, self.digits.labels.device
        order = torch.Generator().manual_seed(self.seed(epoch))
        amounts = torch.Generator(device).manual_seed(self.seed(epoch) << 12)
        for some in self.digits.shuffled(order).batches(size * max(1, AUGMENTED_AT_ONCE // size)):
            parts = self._parts(len(some))
            mine = slice(None) if self.group.size == 1 else torch.cat(parts).to(device)
            part_images = self.augment(some.images, amounts, mine).split([len(part) for part in parts])
            part_labels = some.labels[mine].split([len(part) for part in parts])
            for number, (images, labels) in enumerate(zip(part_images, part_labels, strict=True)):
                yield Digits(images, labels), min(size, len(some) - number * size)

    def _parts(self, count: int) -> list[Tensor]:
        """Return for each batch of `count` images which of them are this process's: every second one of two processes."""
        size = self.config.batch_size
        starts = range(0, count, size)
        return [torch.arange(start + self.group.rank, min(start + size, count), self.group.size) for start in starts]
