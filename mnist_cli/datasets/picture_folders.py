"""Folders of labelled pictures: a folder for each class, as torchvision's ImageFolder has it, or a `labels.csv`."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mnist_cli.datasets import labelled_pictures
from mnist_cli.errors import DataError
from mnist_cli.pictures import folders

TRAIN = ("train", "training")
VAL = ("val", "valid", "validation", "test", "testing")


@dataclass(frozen=True)
class LabelledPath:
    """A picture file and the name of its class."""

    path: Path
    label: str


def find(folder: Path) -> list[list[LabelledPath]]:
    """Return the labelled pictures of a folder, or, of one with the folders `train` and `val` or `test`, those of each.

    Raises DataError when there are none, when a class has none, or when one picture has two labels.
    """
    subfolders = {path.name.lower(): path for path in _subfolders(folder)}
    train, val = (next((subfolders[name] for name in names if name in subfolders), None) for names in (TRAIN, VAL))
    if train and val:
        return [_find_part(train), _find_part(val)]
    return [_find_part(folder)]


def _find_part(folder: Path) -> list[LabelledPath]:
    return _in_table(folder) if (folder / labelled_pictures.LABELS).exists() else _in_class_folders(folder)


def _in_table(folder: Path) -> list[LabelledPath]:
    """Return the pictures of a `labels.csv`, of those that are listed several times with one label only the first."""
    found: dict[str, LabelledPath] = {}
    for row in labelled_pictures.read_rows(folder / labelled_pictures.LABELS):
        if not row.label:
            raise DataError(f"{row.position} has no label")
        listed = found.setdefault(os.path.normpath(row.path), LabelledPath(row.path, row.label))
        if listed.label != row.label:
            raise DataError(f"{row.position} has the label {row.label}, but in an earlier row {listed.label}")
    if not found:
        raise DataError(f"{folder / labelled_pictures.LABELS} has no pictures")
    return list(found.values())


def _in_class_folders(folder: Path) -> list[LabelledPath]:
    classes = list(_subfolders(folder))
    found = {path.name: folders.find(path) for path in classes}
    if not any(found.values()):
        loose = len(folders.find(folder))
        what = f"{loose:,} pictures without labels" if loose else "no pictures"
        raise DataError(
            f"{folder} has {what}; expected a folder of pictures for each class, or {labelled_pictures.LABELS}"
        )
    for path in classes:
        if not found[path.name]:
            raise DataError(f"{path} is a class without pictures; add some, or remove the folder")
    return [LabelledPath(Path(name), label) for label, names in found.items() for name in names]


def _subfolders(folder: Path) -> Iterator[Path]:
    yield from (path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith("."))
