"""Metrics of predictions for labelled images: confusions, precision and recall, calibration, coverage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_cli.arrays import Frames
from mnist_cli.labels import DIGITS, digit_in, short_name
from mnist_cli.models.interface import Model, logits_of
from mnist_cli.results import Evaluation

BINS = 15  # of confidence, as in Guo et al. (2017)
MAX_CONFUSIONS = 5  # that are listed

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class ClassScores:
    """The scores of one class, each a fraction from 0 to 1, and 0 where it has no images."""

    digit: int | None  # None for a class that is none
    precision: float  # of the images predicted as this class, the fraction that show it
    recall: float  # of the images that show this class, the fraction predicted as it
    f1: float  # the harmonic mean of the two
    images: int  # that show it
    label: str  # the name of the class


@dataclass(frozen=True)
class Confusion:
    """Images of one class, the `truth`, that were predicted as another; these names are keys of `mnist evaluate --json`.

    A digit is a number, another class its name.
    """

    truth: int | str
    answer: int | str  # the predicted class
    times: int


@dataclass(frozen=True)
class Bin:
    """The predictions whose confidence is in one interval."""

    confidence: float  # their mean, 0 to 1
    accuracy: float  # 0 to 1; the same if the model is calibrated
    images: int


@dataclass(frozen=True)
class Predictions:
    """The predictions of a model for N labelled images."""

    log_probabilities: Floats  # (N, classes)
    labels: Integers  # (N,), indices of classes
    names: Sequence[str] = DIGITS  # the names of the classes

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def probabilities(self) -> Floats:
        """The probability of each class for each image, (N, classes)."""
        probabilities: Floats = np.exp(self.log_probabilities)
        return probabilities

    @cached_property
    def digits(self) -> Integers:
        """The index of the likeliest class of each image, (N,): of digits, the digit."""
        likeliest: Integers = self.log_probabilities.argmax(axis=1)
        return likeliest

    @cached_property
    def confidence(self) -> Floats:
        """The probability of the likeliest class of each image, (N,)."""
        highest: Floats = self.probabilities.max(axis=1)
        return highest

    @cached_property
    def right(self) -> NDArray[np.bool_]:
        """Whether each prediction is right, (N,)."""
        right: NDArray[np.bool_] = self.digits == self.labels
        return right

    @property
    def evaluation(self) -> Evaluation:
        """Loss and accuracy, as training reports them."""
        loss = -self.log_probabilities[np.arange(len(self)), self.labels].mean()
        return Evaluation(float(loss), int((~self.right).sum()), len(self))

    def confusion_matrix(self) -> Integers:
        """Return the confusion matrix (classes, classes), true classes in rows and predicted classes in columns."""
        classes = len(self.names)
        pairs = self.labels * classes + self.digits
        return np.bincount(pairs, minlength=classes**2).reshape(classes, classes)

    def classes(self) -> list[ClassScores]:
        """Return the scores of each class."""
        matrix = self.confusion_matrix()
        right, predicted, shown = matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1)
        columns = (right / predicted.clip(1), right / shown.clip(1), 2 * right / (predicted + shown).clip(1), shown)
        return [
            ClassScores(digit_in(name), float(precision), float(recall), float(f1), int(images), name)
            for name, precision, recall, f1, images in zip(self.names, *columns, strict=True)
        ]

    def most_common_confusions(self, count: int = MAX_CONFUSIONS) -> list[Confusion]:
        """Return the `count` most frequent confusions, or all if there are fewer."""
        wrong = self.confusion_matrix()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:count]
        names = [short_name(name) for name in self.names]
        pairs = [(*divmod(int(cell), len(names)), int(wrong.flat[cell])) for cell in order]
        found = [Confusion(names[truth], names[answer], times) for truth, answer, times in pairs]
        return [confusion for confusion in found if confusion.times]

    def commonest_confusions(self, count: int = MAX_CONFUSIONS) -> list[Confusion]:
        """The former name of `most_common_confusions`, which older notebooks use."""
        return self.most_common_confusions(count)

    def mistakes(self) -> Integers:
        """Return the indices of the wrong predictions, the most confident first."""
        wrong = np.flatnonzero(~self.right)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")]

    def calibration(self) -> list[Bin]:
        """Return the predictions in bins of confidence of equal width, without empty bins."""
        bins = (self.confidence * BINS).astype(int).clip(max=BINS - 1)
        members = [bins == number for number in np.unique(bins)]
        return [
            Bin(float(self.confidence[some].mean()), float(self.right[some].mean()), int(some.sum()))
            for some in members
        ]

    def calibration_error(self) -> float:
        """Return the expected calibration error, 0 to 1 (Naeini et al. 2015; Guo et al. 2017).

        It is the mean over the images of the difference between the confidence and the accuracy of their bin.
        """
        bins = self.calibration()
        return sum(abs(each.confidence - each.accuracy) * each.images for each in bins) / len(self)

    def coverage(self) -> tuple[Floats, Floats]:
        """Return for k = 1 to N the coverage k/N and the accuracy on the k images with the highest confidence."""
        counts = np.arange(1, len(self) + 1)
        order = np.argsort(-self.confidence, kind="stable")
        return counts / len(self), self.right[order].cumsum() / counts

    def summary(self) -> dict[str, Any]:
        """Return all metrics as plain values, for JSON."""
        evaluation = self.evaluation
        return {
            "loss": evaluation.loss,
            "accuracy": evaluation.accuracy,
            "errors": evaluation.errors,
            "images": evaluation.images,
            "interval": list(evaluation.interval()),
            "calibration_error": self.calibration_error(),
            "classes": [vars(scores) for scores in self.classes()],
            "confusions": [vars(confusion) for confusion in self.most_common_confusions()],
            "confusion_matrix": self.confusion_matrix().tolist(),
        }


@dataclass(frozen=True)
class ModelEvaluation:
    """A model or an ensemble, with its predictions for the val images, or for those of another data set."""

    name: str
    val_predictions: Predictions
    corrupted: Mapping[str, float] = field(default_factory=dict)  # the error, 0 to 1, on images with each corruption
    data: str = "mnist"  # the data set, as the user named it
    part: str = "val images"  # the part of it that was measured
    images: Frames | None = field(default=None, repr=False)  # that were predicted, (N, 1, 28, 28)

    @property
    def accuracy(self) -> float:
        """The fraction of right predictions for the val images, 0 to 1."""
        return self.val_predictions.evaluation.accuracy

    @property
    def clean_error(self) -> float:
        """The fraction of wrong predictions for the val images, 0 to 1."""
        return 1 - self.accuracy

    @property
    def mean_corrupted_error(self) -> float:
        """The mean of the errors on corrupted images, 0 to 1."""
        return sum(self.corrupted.values()) / len(self.corrupted)


def predict(model: Model, images: Frames, labels: NDArray[np.integer]) -> Predictions:
    """Return the predictions of a model for images (N, 1, 28, 28) that show its classes `labels` (N,)."""
    logits = logits_of(model, images).astype(np.float64)
    log_probabilities = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return Predictions(log_probabilities, labels.astype(np.int64), model.classes)


def mcnemar(one: Predictions, other: Predictions) -> float:
    """Return the p-value of McNemar's exact test (1947): how probable so large a difference is if neither model is better.

    The test counts the images that only one of the two models predicts correctly.
    """
    from scipy import stats  # slow to import, and not needed for a single model

    only_one = int((one.right & ~other.right).sum())
    only_other = int((other.right & ~one.right).sum())
    if only_one + only_other == 0:
        return 1.0
    return float(stats.binomtest(only_one, only_one + only_other).pvalue)
