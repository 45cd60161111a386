"""What is in a data set: how many images of each class, and which of them are there twice."""

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from mnist_cli.datasets.labelled_images import DataSet


@dataclass(frozen=True)
class Overview:
    """Counts of a data set."""

    train: list[int]  # images of each class
    val: list[int]
    duplicates: int  # images whose pixels an earlier image has
    leaked: int  # of the validation part, those that are in the training part, too
    contradictory: list[list[int]]  # the indices of images with the same pixels and different labels


def of(data: DataSet) -> Overview:
    """Return the counts of a data set; an index counts through the training images and then those for validation."""
    places: dict[bytes, list[int]] = defaultdict(list)
    for index, found in enumerate(data.all.hashes()):
        places[found].append(index)
    labels, begin = data.all.labels, len(data.train)
    same = [indices for indices in places.values() if len(indices) > 1]
    return Overview(
        np.bincount(data.train.labels, minlength=len(data.classes)).tolist(),
        np.bincount(data.val.labels, minlength=len(data.classes)).tolist() if data.val else [0] * len(data.classes),
        sum(len(indices) - 1 for indices in same),
        sum(sum(index >= begin for index in indices) for indices in same if indices[0] < begin),
        [indices for indices in same if len(set(labels[indices].tolist())) > 1],
    )
