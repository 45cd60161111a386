"""What a model's answers on labelled images are worth: confusions, precision and recall, calibration, coverage."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_cli.arrays import CLASSES, Frames
from mnist_cli.models.interface import Model, logits_of
from mnist_cli.results import Evaluation

BINS = 15  # of confidence, as Guo et al. (2017) have them
COMMONEST = 5  # confusions that are worth a line

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class ClassScores:
    """How one digit is told from the others, each a share from 0 to 1; 0 where there is nothing to share."""

    digit: int
    precision: float  # of the images answered with it, those that show it
    recall: float  # of the images that show it, those answered with it
    f1: float  # the harmonic mean of the two
    images: int  # that show it


@dataclass(frozen=True)
class Confusion:
    """An error that was made `times` times."""

    truth: int
    answer: int
    times: int


@dataclass(frozen=True)
class Bin:
    """The answers of about the same confidence."""

    confidence: float  # their mean, 0 to 1
    accuracy: float  # 0 to 1; the same if the model is honest
    images: int


@dataclass(frozen=True)
class Answers:
    """What a model said of N labelled images."""

    log_probabilities: Floats  # (N, 10)
    labels: Integers  # (N,)

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def probabilities(self) -> Floats:
        """The probability of each digit for each image, (N, 10)."""
        shares: Floats = np.exp(self.log_probabilities)
        return shares

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
        """Whether each image was answered right, (N,)."""
        right: NDArray[np.bool_] = self.digits == self.labels
        return right

    @property
    def evaluation(self) -> Evaluation:
        """Loss and accuracy, as training reports them."""
        loss = -self.log_probabilities[np.arange(len(self)), self.labels].mean()
        return Evaluation(float(loss), int((~self.right).sum()), len(self))

    def confusion_matrix(self) -> Integers:
        """Return how often each digit (the row) was answered with each (the column), (10, 10)."""
        pairs = self.labels * CLASSES + self.digits
        return np.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES)

    def classes(self) -> list[ClassScores]:
        """Return the scores of each digit."""
        matrix = self.confusion_matrix()
        right, answered, shown = matrix.diagonal(), matrix.sum(axis=0), matrix.sum(axis=1)
        columns = (right / answered.clip(1), right / shown.clip(1), 2 * right / (answered + shown).clip(1), shown)
        return [ClassScores(digit, *(column[digit].item() for column in columns)) for digit in range(CLASSES)]

    def commonest_confusions(self, count: int = COMMONEST) -> list[Confusion]:
        """Return the errors that were made most often, at most `count`."""
        wrong = self.confusion_matrix()
        np.fill_diagonal(wrong, 0)
        order = np.argsort(-wrong, axis=None, kind="stable")[:count]
        found = [Confusion(*divmod(int(place), CLASSES), int(wrong.flat[place])) for place in order]
        return [confusion for confusion in found if confusion.times]

    def mistakes(self) -> Integers:
        """Return the indices of the images that were answered wrong, the most confident first."""
        wrong = np.flatnonzero(~self.right)
        return wrong[np.argsort(-self.confidence[wrong], kind="stable")]

    def calibration(self) -> list[Bin]:
        """Return the answers by their confidence, in bins of the same width; empty ones are left out."""
        place = (self.confidence * BINS).astype(int).clip(max=BINS - 1)
        members = [place == number for number in np.unique(place)]
        return [
            Bin(float(self.confidence[some].mean()), float(self.right[some].mean()), int(some.sum()))
            for some in members
        ]

    def calibration_error(self) -> float:
        """Return how far confidence and accuracy are apart, the mean over the images (Naeini et al. 2015; Guo et al. 2017)."""
        bins = self.calibration()
        return sum(abs(each.confidence - each.accuracy) * each.images for each in bins) / len(self)

    def coverage(self) -> tuple[Floats, Floats]:
        """Return for k = 1 to N the share k/N and the accuracy on the k images that the model is surest of."""
        counts = np.arange(1, len(self) + 1)
        order = np.argsort(-self.confidence, kind="stable")
        return counts / len(self), self.right[order].cumsum() / counts

    def summary(self) -> dict[str, Any]:
        """Return all of it as plain values, for JSON."""
        evaluation = self.evaluation
        return {
            "loss": evaluation.loss,
            "accuracy": evaluation.accuracy,
            "errors": evaluation.errors,
            "images": evaluation.images,
            "interval": list(evaluation.interval()),
            "calibration_error": self.calibration_error(),
            "classes": [vars(scores) for scores in self.classes()],
            "confusions": [vars(confusion) for confusion in self.commonest_confusions()],
            "confusion_matrix": self.confusion_matrix().tolist(),
        }


@dataclass(frozen=True)
class Measured:
    """A model, or several as one, and what it said of the val images."""

    name: str
    answers: Answers
    corrupted: Mapping[str, float] = field(default_factory=dict)  # the error, 0 to 1, on images with each corruption

    @property
    def accuracy(self) -> float:
        """The share of the val images that were answered right, 0 to 1."""
        return self.answers.evaluation.accuracy

    @property
    def clean_error(self) -> float:
        """The share of the val images that were answered wrong, 0 to 1."""
        return 1 - self.accuracy

    @property
    def mean_corrupted_error(self) -> float:
        """The mean of the errors on corrupted images, 0 to 1."""
        return sum(self.corrupted.values()) / len(self.corrupted)


def ask(model: Model, images: Frames, labels: NDArray[np.integer]) -> Answers:
    """Return what a model says of images (N, 1, 28, 28) that show `labels` (N,)."""
    logits = logits_of(model, images).astype(np.float64)
    return Answers(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True), labels.astype(np.int64))


def mcnemar(one: Answers, other: Answers) -> float:
    """Return how probable so large a difference between two models is if neither is better: the p-value.

    The exact test of McNemar (1947) on the images that one of them alone answered right.
    """
    from scipy import stats  # takes a while, and most have one model

    only_one = int((one.right & ~other.right).sum())
    only_other = int((other.right & ~one.right).sum())
    if only_one + only_other == 0:
        return 1.0
    return float(stats.binomtest(only_one, only_one + only_other).pvalue)
