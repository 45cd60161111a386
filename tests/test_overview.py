import numpy as np

from mnist_cli.datasets import overview
from mnist_cli.datasets.labelled_images import DataSet, LabelledImages


def test_images_are_counted_by_class_and_those_that_are_there_twice():
    images = np.zeros((6, 1, 28, 28), np.uint8)
    images[:, 0, 0, 0] = [1, 1, 2, 3, 4, 3]  # 0 and 1 are the same, and so are 3 and 5, of which one is for validation
    labels = np.array([0, 0, 1, 1, 0, 0])
    train, val = (LabelledImages(images[some], labels[some]) for some in (slice(4), slice(4, 6)))
    found = overview.of(DataSet("x", ("a", "b"), train, val))
    assert (found.train, found.val) == ([2, 2], [2, 0])
    assert (found.duplicates, found.leaked) == (2, 1)
    assert found.contradictory == [[3, 5]]


def test_a_data_set_without_a_validation_part_has_no_images_there():
    part = LabelledImages(np.zeros((2, 1, 28, 28), np.uint8), np.array([0, 1]))
    found = overview.of(DataSet("x", ("a", "b"), part))
    assert (found.val, found.leaked, found.contradictory) == ([0, 0], 0, [[0, 1]])
