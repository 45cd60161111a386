"""Metrics of predictions for labelled images: confusions, precision and recall, calibration, coverage."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_cli.arrays import CLASSES, Frames
from mnist_cli.models.interface import Model, logits_of
from mnist_cli.results import Evaluation

BINS = 15  # of confidence, as in Guo et al. (2017)
MAX_CONFUSIONS = 5  # that are listed

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class ClassScores:
    """The scores of one digit, each a fraction from 0 to 1, and 0 where it has no images."""

    digit: int
    precision: float  # of the images predicted as this digit, the fraction that show it
    recall: float  # of the images that show this digit, the fraction predicted as it
    f1: float  # the harmonic mean of the two
    images: int  # that show it


@dataclass(frozen=True)
class Confusion:
    """Images of one digit, the `truth`, that were predicted as another; these names are keys of `mnist evaluate --json`."""

    truth: int
    answer: int  # the predicted digit
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

    log_probabilities: Floats  # (N, 10)
    labels: Integers  # (N,)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def probabilities(self) -> Floats:
        """The probability of each digit for each image, (N, 10)."""
        probabilities: Floats = np.exp(self.log_probabilities)
        return probabilities

    @cached_property
    def digits(self) -> Integers:
        """The likeliest digit of each image, (N,)."""
        likeliest: Integers = self.log_probabilities.argmax(axis=1)
        return likeliest

    @cached_property
    def confidence(self) -> Floats:
        """The probability of the likeliest digit of each image, (N,)."""
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
        """Return the confusion matrix (10, 10), true digits in rows and predicted digits in columns."""
        pairs = self.labels * CLASSES + self.digits
        return np.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES)

    def classes(self) -> list[ClassScores]:
        """Return the scores of each digit."""
        matrix = self.confusion_matrix()
        right, predicted, shown = matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1)
        columns = (right / predicted.clip(1), right / shown.clip(1), 2 * right / (predicted + shown).clip(1), shown)
        return [ClassScores(digit, *(column[digit].item() for column in columns)) for digit in range(CLASSES)]

    def most_common_confusions(self, count: int = MAX_CONFUSIONS) -> list[Confusion]:
        """Return the `count` most frequent confusions, or all if there are fewer."""
        wrong = self.confusion_matrix()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:count]
        found = [Confusion(*divmod(int(cell), CLASSES), int(wrong.flat[cell])) for cell in order]
        return [confusion for confusion in found if confusion.times]

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
    """A model or an ensemble, with its predictions for the val images."""

    name: str
    val_predictions: Predictions
    corrupted: Mapping[str, float] = field(default_factory=dict)  # the error, 0 to 1, on images with each corruption

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
    """Return the predictions of a model for images (N, 1, 28, 28) that show `labels` (N,)."""
    logits = logits_of(model, images).astype(np.float64)
    return Predictions(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True), labels.astype(np.int64))


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
