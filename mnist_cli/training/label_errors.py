"""Labels that are probably wrong, found by a cross-validated model (Northcutt, Jiang and Chuang 2021, "Confident learning").

Each image is predicted by a model that was not trained on it. It is a suspect when another class is predicted for it with at
least the mean confidence that images of that class have in their own.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from mnist_cli.config import TrainConfig
from mnist_cli.datasets import dataset
from mnist_cli.datasets.labelled_images import LabelledImages
from mnist_cli.models import architectures
from mnist_cli.models.interface import logits_of
from mnist_cli.training.loop import Trainer

FOLDS = 4
EPOCH_IMAGES = 6_000  # at least, as for the runs of small data sets
LARGE = 20_000  # images, from which on one epoch is enough
CONFIG = TrainConfig(model="cnn", hidden=(16, 32, 64), epochs=2, batch_size=64, augment="shift", learning_rate=1e-2)


def log_probabilities(
    images: LabelledImages,
    classes: tuple[str, ...],
    progress: Callable[[int, int], object],
    config: TrainConfig = CONFIG,
) -> NDArray[np.float64]:
    """Return the logarithm of the probability of each class for each image, (N, classes), by a model that did not see it."""
    digits = dataset.from_arrays(images.images, images.labels)
    if len(digits) > LARGE:
        config = replace(config, epochs=1)
    fold = torch.randint(FOLDS, (len(digits),), generator=torch.Generator().manual_seed(config.seed))
    found = np.empty((len(digits), len(classes)))
    for number in range(FOLDS):
        others, mine = digits[fold != number], digits[fold == number]
        if len(mine):
            model = architectures.build_from(config, classes)
            train = dataset.repeated(others, EPOCH_IMAGES)
            for _ in Trainer(model, train, mine, config).epochs():
                pass
            logits = logits_of(model, mine.arrays()[0]).astype(np.float64)
            found[(fold == number).numpy()] = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
        progress(number + 1, FOLDS)
    return found


def suspects(log_probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the indices of images whose label is probably wrong, the least likely label first."""
    probabilities = np.exp(log_probabilities)
    counts = np.bincount(labels, minlength=probabilities.shape[1])
    own = probabilities[np.arange(len(labels)), labels]
    threshold = np.bincount(labels, weights=own, minlength=len(counts)) / counts.clip(
        1
    )  # the mean confidence of each class
    confident = np.where((probabilities >= threshold) & (counts > 0), probabilities, 0)
    predicted = confident.argmax(axis=1)
    found = np.flatnonzero((predicted != labels) & (confident.max(axis=1) > 0))
    return found[np.argsort(own[found], kind="stable")]
