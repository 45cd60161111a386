"""Labelled images in memory, and the data set that they are of: its classes, and what is for training and for validation."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mnist_cli.arrays import Frames
from mnist_cli.errors import DataError
from mnist_cli.labels import DIGITS

HELD_OUT = 0.2  # of the images of a data set that has no validation part
MAX_SHOWN = 5  # names that an error lists


@dataclass(frozen=True)
class LabelledImages:
    """Images and the indices of their classes."""

    images: Frames  # (N, 1, 28, 28), 0 = paper .. 255 = ink
    labels: NDArray[np.int64]  # (N,)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: NDArray[np.bool_] | NDArray[np.intp] | slice) -> "LabelledImages":
        return LabelledImages(self.images[index], self.labels[index])

    def hashes(self) -> list[bytes]:
        """Return a hash of the pixels of each image."""
        return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in self.images]


@dataclass(frozen=True)
class DataSet:
    """A named set of labelled images."""

    name: str  # as the user gave it
    classes: tuple[str, ...]  # their names, in the order of the labels
    train: LabelledImages
    val: LabelledImages | None = None  # None when the data have no validation part
    notes: tuple[str, ...] = ()  # what the user should know: what was left out, inverted or held out

    @property
    def all(self) -> LabelledImages:
        """The images of both parts."""
        return concatenated([self.train, self.val]) if self.val else self.train

    def split(self) -> "DataSet":
        """Return the data set with a validation part: its own, or else one that is held out of its images.

        Where no class has two images, all images are in both parts.
        """
        if self.val:
            return self
        is_held_out = _held_out(self.train)
        if not is_held_out.any():
            return replace(self, val=self.train)
        return replace(self, train=self.train[~is_held_out], val=self.train[is_held_out])

    def labelled_as(self, classes: Sequence[str]) -> "DataSet":
        """Return the data set with the labels of a model that knows `classes`; raises DataError when it lacks some."""
        if tuple(classes) == self.classes:
            return self
        if unknown := [name for name in self.classes if name not in classes]:
            raise DataError(
                f"{self.name} has classes that the model does not know: {_listed(unknown)}; it knows {_listed(classes)}"
            )
        index = np.array([classes.index(name) for name in self.classes])
        train, val = (part and LabelledImages(part.images, index[part.labels]) for part in (self.train, self.val))
        assert train is not None
        return replace(self, classes=tuple(classes), train=train, val=val)


def named_labels(names: Iterable[str], others: Iterable[str] = ()) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return the classes of labels that are given by name, and their indices (N,); `others` are classes without images.

    Where all names are digits, the classes are all ten.
    """
    names = list(names)
    found = {*names, *others}
    classes = DIGITS if found <= set(DIGITS) else tuple(sorted(found))
    index = {name: number for number, name in enumerate(classes)}
    return classes, np.array([index[name] for name in names], np.int64)


def concatenated(parts: Sequence[LabelledImages]) -> LabelledImages:
    """Return the images of all parts."""
    return LabelledImages(
        np.concatenate([part.images for part in parts]), np.concatenate([part.labels for part in parts])
    )


def joined(sets: Sequence[DataSet]) -> DataSet:
    """Return several data sets as one, with the classes of all; one without a validation part has some images held out."""
    if len(sets) == 1:
        return sets[0]
    classes = _classes_of(sets)
    parts = [one.split().labelled_as(classes) for one in sets]
    return DataSet(
        " + ".join(one.name for one in sets),
        classes,
        concatenated([part.train for part in parts]),
        concatenated([part.val for part in parts if part.val]),
        tuple(_notes(parts)),
    )


def joined_wholes(sets: Sequence[DataSet]) -> DataSet:
    """Return the training parts of several data sets as one that has only this part, with the classes of all."""
    classes = _classes_of(sets)
    parts = [one.labelled_as(classes) for one in sets]
    train = concatenated([part.train for part in parts])
    return DataSet(" + ".join(one.name for one in sets), classes, train, None, tuple(_notes(parts)))


def _classes_of(sets: Sequence[DataSet]) -> tuple[str, ...]:
    names = [name for one in sets for name in one.classes]
    return DIGITS if set(names) <= set(DIGITS) else tuple(dict.fromkeys(names))


def _notes(sets: Sequence[DataSet]) -> list[str]:
    return [note for one in sets for note in one.notes]


def _held_out(part: LabelledImages) -> NDArray[np.bool_]:
    """Return which images to hold out, (N,): of each class the fraction HELD_OUT whose pixels have the smallest hashes.

    So an image stays where it is when others are added or files renamed, and copies of one are on the same side.
    """
    hashes = np.array(part.hashes(), dtype="S16")
    chosen = np.zeros(len(part), bool)
    for label in np.unique(part.labels):
        indices = np.flatnonzero(part.labels == label)
        count = max(round(HELD_OUT * len(indices)), 1)
        if len(indices) > 1:
            chosen[indices] = hashes[indices] <= np.sort(hashes[indices])[count - 1]
    return chosen


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_SHOWN} more" if len(names) > MAX_SHOWN else ""
    return ", ".join(names[:MAX_SHOWN]) + more
