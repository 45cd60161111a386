import pytest
import torch
from torchvision_or_skip import import_torchvision

from mnist_cli.config import TrainConfig
from mnist_cli.datasets import dataset
from mnist_cli.datasets.dataset import Digits
from mnist_cli.errors import ConfigError


@pytest.fixture
def ten():
    """Ten images, each with its own label."""
    labels = torch.arange(10)
    return Digits(labels.to(torch.uint8).reshape(10, 1, 1, 1).expand(10, 1, 28, 28), labels)


@pytest.mark.parametrize(("split", "count", "first_labels"), [("train", 60_000, [5, 0, 4]), ("val", 10_000, [7, 2, 1])])
def test_a_split_has_its_images_and_labels(data_dir, split, count, first_labels):
    digits = dataset.load(data_dir, split)
    assert digits.images.shape == (count, 1, 28, 28)
    assert digits.images.dtype == torch.uint8
    assert digits.labels.dtype == torch.int64
    assert digits.labels[:3].tolist() == first_labels
    assert len(digits) == count


def test_torchvision_opens_the_folder_and_sees_the_same_digits(data_dir, val):
    torchvision = import_torchvision()
    theirs = torchvision.datasets.MNIST(str(data_dir), train=False)
    assert torch.equal(theirs.data.unsqueeze(1), val.images)
    assert torch.equal(theirs.targets, val.labels)


def test_an_epoch_has_every_image_once_in_a_new_order_with_its_label(ten):
    generator = torch.Generator().manual_seed(1)
    orders = []
    for _ in range(2):
        batches = list(ten.shuffled(generator).batches(4))
        assert [len(batch) for batch in batches] == [4, 4, 2]
        labels = torch.cat([batch.labels for batch in batches])
        assert torch.equal(torch.cat([batch.images for batch in batches])[:, 0, 0, 0].long(), labels)
        assert sorted(labels.tolist()) == list(range(10))
        orders.append(labels.tolist())
    assert orders[0] != orders[1]
    assert list(range(10)) not in orders


def test_batches_keep_the_order(ten):
    assert [batch.labels.tolist() for batch in ten.batches(5)] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]


@pytest.mark.parametrize("count", [0, 1, 10, 105, 5_000])
def test_split_off_is_stratified_and_returns_the_rest(val, count):
    some, rest = dataset.split_off(val, count, seed=1)
    assert (len(some), len(rest)) == (count, 10_000 - count)
    expected = val.labels.bincount(minlength=10) * count / 10_000
    assert (some.labels.bincount(minlength=10) - expected).abs().max() <= 1
    both = torch.cat([some.images, rest.images]).flatten(1).long().sum(dim=1).sort().values
    assert torch.equal(both, val.images.flatten(1).long().sum(dim=1).sort().values)


def test_the_split_is_determined_by_the_seed(val):
    one, two, other = (dataset.split_off(val, 500, seed)[0].images for seed in (1, 1, 2))
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


def test_more_than_there_is_cannot_be_split_off(ten):
    with pytest.raises(ConfigError, match="only 10 images to choose 11 from"):
        dataset.split_off(ten, 11, seed=0)


def test_select_holds_out_before_it_takes_a_subset(train):
    part, held_out = dataset.select(train, TrainConfig(train_size=1_000, patience=2))
    assert (len(part), len(held_out)) == (1_000, 5_000)
    assert dataset.select(train, TrainConfig()) == (train, None)
