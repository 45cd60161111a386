import numpy as np
import pytest

from mnist_cli.datasets import labelled_images
from mnist_cli.datasets.labelled_images import DataSet, LabelledImages, named_labels
from mnist_cli.errors import DataError
from mnist_cli.labels import DIGITS


def some(*labels, seed=0):
    """Return an image of noise for each label."""
    images = np.random.default_rng(seed).integers(0, 255, (len(labels), 1, 28, 28), np.uint8)
    return LabelledImages(images, np.array(labels, np.int64))


def letters(*labels, seed=0):
    return DataSet("letters", ("a", "b"), some(*labels, seed=seed))


def test_a_fifth_of_each_class_is_held_out():
    split = letters(*[0] * 100, *[1] * 10).split()
    assert np.bincount(split.val.labels).tolist() == [20, 2]
    assert np.bincount(split.train.labels).tolist() == [80, 8]


def test_an_image_stays_on_its_side_in_any_order_and_with_its_copies():
    images = some(*[0] * 50)
    turned = images[::-1]
    twice = labelled_images.concatenated([images, turned])
    held_out = [set(DataSet("x", ("a", "b"), part).split().val.hashes()) for part in (images, turned, twice)]
    assert held_out[0] == held_out[1] == held_out[2]
    split = DataSet("x", ("a", "b"), twice).split()
    assert not set(split.val.hashes()) & set(split.train.hashes())


def test_the_validation_part_that_the_data_bring_is_kept():
    whole = DataSet("x", ("a", "b"), some(0, 1), some(1, seed=1))
    assert whole.split() is whole


def test_of_one_image_of_each_class_none_can_be_held_out():
    split = letters(0, 1).split()
    assert split.train is split.val


def test_names_that_are_digits_make_the_ten_digits_and_others_are_sorted():
    classes, labels = named_labels(["7", "1"])
    assert classes == DIGITS
    assert labels.tolist() == [7, 1]
    classes, labels = named_labels(["cat", "ant", "cat"])
    assert classes == ("ant", "cat")
    assert labels.tolist() == [1, 0, 1]


def test_joined_sets_have_the_classes_of_all_and_each_holds_out_its_own():
    digits = DataSet("digits", DIGITS, some(*[7] * 10), some(7, seed=1))
    both = labelled_images.joined([digits, letters(*[1] * 10, seed=2)])
    assert both.classes == (*DIGITS, "a", "b")
    assert np.unique(both.train.labels).tolist() == [7, 11]
    assert both.val.labels.tolist() == [7, 11, 11]


def test_labels_follow_the_order_of_a_model_that_knows_more_classes():
    assert letters(0, 1, 1).labelled_as(("b", "c", "a")).train.labels.tolist() == [2, 0, 0]


def test_classes_that_a_model_does_not_know_are_named():
    with pytest.raises(DataError, match="letters has classes that the model does not know: b; it knows a, c"):
        letters(0, 1).labelled_as(("a", "c"))
