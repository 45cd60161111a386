import threading

import pytest
import torch

from mnist_cli.config import TrainConfig
from mnist_cli.training import batches
from mnist_cli.training.batches import Batches
from mnist_cli.training.distributed import Group


def of_rank(digits, rank, size, **config):
    return Batches(digits, TrainConfig(batch_size=64, **config), Group(rank, size))


@pytest.mark.parametrize("augment", ["none", "affine", "elastic"])
@pytest.mark.parametrize("size", [2, 3])
def test_the_processes_of_a_group_have_together_what_one_process_has(train, augment, size):
    some = train[:5_000]  # more than are augmented at once, and a last batch of 8
    whole = of_rank(some, 0, 1, augment=augment).of_epoch(3)
    parts = [of_rank(some, rank, size, augment=augment).of_epoch(3) for rank in range(size)]
    number = 0
    for (batch, count), *shared in zip(whole, *parts, strict=True):
        assert {images for _, images in shared} == {count} == {len(batch)}
        together = torch.empty_like(batch.images)
        for rank, (part, _) in enumerate(shared):
            together[rank::size] = part.images
            assert torch.equal(batch.labels[rank::size], part.labels)
        # One grey level may differ where a product of matrices of another size was rounded the other way.
        differences = (together.int() - batch.images.int()).abs()
        assert differences.max() <= 1
        assert differences.float().mean() < 1e-3
        number += 1
    assert number == 79


def test_every_image_is_in_one_batch_of_each_epoch_and_each_epoch_has_its_own_order(train):
    some = train[:300]
    batches = of_rank(some, 0, 1, augment="none")
    orders = [torch.cat([batch.labels for batch, _ in batches.of_epoch(epoch)]) for epoch in (0, 1, 0)]
    assert torch.equal(orders[0].sort().values, some.labels.sort().values)
    assert torch.equal(orders[0], orders[2])
    assert not torch.equal(orders[0], orders[1])


@pytest.mark.parametrize("augment", ["none", "elastic"])
def test_the_next_images_are_prepared_in_a_thread_and_are_those_that_would_be_prepared_without(
    train, monkeypatch, augment
):
    some = train[:5_000]
    monkeypatch.setattr(batches, "one_ahead", map)
    expected = list(of_rank(some, 0, 1, augment=augment).of_epoch(2))
    monkeypatch.undo()
    threads, ahead = set(), of_rank(some, 0, 1, augment=augment)
    augmented = ahead.augment

    def watched(*arguments):
        threads.add(threading.current_thread())
        return augmented(*arguments)

    ahead.augment = watched
    for (batch, count), (other, other_count) in zip(ahead.of_epoch(2), expected, strict=True):
        torch.rand(3)  # as dropout draws meanwhile
        assert torch.equal(batch.images, other.images)
        assert torch.equal(batch.labels, other.labels)
        assert count == other_count
    assert threading.main_thread() not in threads
    assert len(threads) == 1


def test_an_error_while_the_next_images_are_prepared_ends_the_epoch(train):
    broken = of_rank(train[:5_000], 0, 1, augment="none")
    broken.augment = lambda *arguments: 1 / 0
    with pytest.raises(ZeroDivisionError):
        next(broken.of_epoch(0))
