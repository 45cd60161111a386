"""What a user may name as data: the one place where SOURCE becomes a data set.

SOURCE is a name, such as `fashion-mnist`; a folder with a folder of pictures for each class, with `labels.csv`, or with IDX
files; or an .npz, .csv or .parquet file.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mnist_cli.datasets import (
    array_files,
    decode_cache,
    labelled_images,
    mnist_files,
    named_sets,
    picture_folders,
    picture_frames,
    table_files,
)
from mnist_cli.datasets.decode_cache import Arrays
from mnist_cli.datasets.labelled_images import DataSet, LabelledImages, named_labels
from mnist_cli.datasets.picture_frames import Progress
from mnist_cli.errors import DataError
from mnist_cli.hyperparameters import did_you_mean
from mnist_cli.labels import DIGITS

MNIST = "mnist"
MAX_SHOWN = 3  # files that an error names


def load(
    source: str, data_dir: Path | None, max_unreadable: float = 0.0, progress: Progress = picture_frames.ignore
) -> DataSet:
    """Return the data set that `source` names; MNIST is read from `data_dir`, the others of a name from there or `data`.

    At most the fraction `max_unreadable` of the pictures may be unreadable; these are left out and listed in its notes.

    Raises DataError when there is no such data set, or it cannot be used.
    """
    if source == MNIST:
        train, val = (_mnist_part(data_dir, split) for split in ("train", "val"))
        return DataSet(MNIST, DIGITS, train, val)
    if source in named_sets.SETS:
        return named_sets.load(source, data_dir)
    path = Path(source)
    if not path.exists():
        meant = did_you_mean(source, named_sets.names())
        raise DataError(f"there is no folder or file {source}, and no data set of that name{meant}")
    if path.is_dir() and not (files := array_files.find_idx(path)):
        return _from_pictures(path, data_dir, max_unreadable, progress)
    if path.is_dir() or array_files.find_idx(path):
        return array_files.read_idx(source, files if path.is_dir() else [path])
    readers: dict[str, Callable[[], DataSet]] = {
        ".npz": lambda: array_files.read_npz(path),
        ".csv": lambda: _from_table(path, data_dir, max_unreadable, progress),
        ".parquet": lambda: _from_table(path, data_dir, max_unreadable, progress),
    }
    if path.suffix.lower() not in readers:
        raise DataError(f"{source} is not a data set: expected a folder, IDX files, or a file .npz, .csv or .parquet")
    return replace(readers[path.suffix.lower()](), name=source)


def load_mnist_val(data_dir: Path | None) -> DataSet:
    """Return MNIST's val images as the only part of a data set, without reading the others."""
    return DataSet(MNIST, DIGITS, _mnist_part(data_dir, "val"))


def load_all(
    sources: Sequence[str],
    data_dir: Path | None,
    max_unreadable: float = 0.0,
    progress: Progress = picture_frames.ignore,
) -> DataSet:
    """Return the data set that several sources make together, as `load` returns each."""
    return labelled_images.joined([load(source, data_dir, max_unreadable, progress) for source in sources])


def is_same(one: str, other: str) -> bool:
    """Return whether two sources are the same data set."""
    names = {MNIST, *named_sets.SETS}
    return one == other or (not {one, other} & names and Path(one).resolve() == Path(other).resolve())


def _mnist_part(data_dir: Path | None, split: mnist_files.Split) -> LabelledImages:
    images, labels = mnist_files.load(data_dir, split)
    return LabelledImages(images, labels.astype(np.int64))


def _from_pictures(folder: Path, data_dir: Path | None, max_unreadable: float, progress: Progress) -> DataSet:
    """Return the data set of a folder of pictures, from the cache where they were decoded before."""
    parts = picture_folders.find(folder)
    every = [picture for part in parts for picture in part]
    classes, labels = named_labels(picture.label for picture in every)

    def make() -> Arrays:
        read = picture_frames.read([picture.path for picture in every], classes == DIGITS, progress)
        return {
            "frames": read.frames,
            "indices": read.indices,
            "unreadable": np.array([f"{every[index].path}: {why}" for index, why in read.unreadable.items()], str),
        }

    key = decode_cache.fingerprint((picture.path for picture in every), classes == DIGITS)
    arrays = decode_cache.load_or_make(decode_cache.folder_for(data_dir), folder, key, make)
    notes = _check_readable(str(folder), arrays["unreadable"].tolist(), len(every), max_unreadable)
    return _in_parts(str(folder), classes, labels, [len(part) for part in parts], arrays, notes)


def _from_table(path: Path, data_dir: Path | None, max_unreadable: float, progress: Progress) -> DataSet:
    """Return the data set of a CSV or Parquet file, and of the one for validation beside it, from the cache if it is there."""
    files = [file for file in (path, table_files.val_beside(path)) if file]

    def make() -> Arrays:
        return _joined([_table(file, progress) for file in files])

    key = decode_cache.fingerprint(files)
    arrays = decode_cache.load_or_make(decode_cache.folder_for(data_dir), path, key, make)
    classes, labels = named_labels(arrays["labels"].tolist())
    notes = _check_readable(str(path), arrays["unreadable"].tolist(), len(labels), max_unreadable)
    return _in_parts(str(path), classes, labels, arrays["lengths"].tolist(), arrays, notes)


def _table(path: Path, progress: Progress) -> Arrays:
    if path.suffix.lower() == ".csv":
        frames, names = table_files.read_csv(path, progress)
        unreadable: list[str] = []
        indices = np.arange(len(frames))
    else:
        read, names = table_files.read_parquet(path, progress)
        frames, indices = read.frames, read.indices
        unreadable = [f"{path}, row {index + 1:,}: {why}" for index, why in read.unreadable.items()]
    return {"frames": frames, "indices": indices, "labels": np.array(names), "unreadable": np.array(unreadable, str)}


def _joined(tables: Sequence[Arrays]) -> Arrays:
    """Return the arrays of several tables one behind the other, with the number of rows of each."""
    lengths = [len(table["labels"]) for table in tables]
    starts = np.cumsum([0, *lengths[:-1]])
    indices = [table["indices"] + start for table, start in zip(tables, starts, strict=True)]
    joined = {name: np.concatenate([table[name] for table in tables]) for name in ("frames", "labels", "unreadable")}
    return {**joined, "indices": np.concatenate(indices), "lengths": np.array(lengths)}


def _in_parts(
    name: str,
    classes: tuple[str, ...],
    labels: "np.ndarray[tuple[int, ...], np.dtype[np.int64]]",
    lengths: Sequence[int],
    arrays: Arrays,
    notes: tuple[str, ...],
) -> DataSet:
    """Return the data set of frames, of which the first ones are for training if there are two `lengths`."""
    indices = arrays["indices"]
    whole = LabelledImages(arrays["frames"], labels[indices])
    if not len(whole):
        raise DataError(f"{name} has no picture that can be read")
    if len(lengths) == 1:
        return DataSet(name, classes, whole, None, notes)
    is_val = indices >= lengths[0]
    return DataSet(name, classes, whole[~is_val], whole[is_val], notes)


def _check_readable(name: str, unreadable: Sequence[str], total: int, allowed: float) -> tuple[str, ...]:
    """Return a line for each picture that cannot be read; raises DataError when they are more than is allowed."""
    if not unreadable:
        return ()
    count = f"{len(unreadable):,} of {total:,} pictures in {name} cannot be read"
    if len(unreadable) > allowed * total:
        more = f" and {len(unreadable) - MAX_SHOWN:,} more" if len(unreadable) > MAX_SHOWN else ""
        raise DataError(
            f"{count}: {'; '.join(unreadable[:MAX_SHOWN])}{more}; remove them, or allow them with --max-unreadable "
            f"{-(-1000 * len(unreadable) // total) / 1000:g}"
        )
    return (f"{count} and are left out:", *(f"  {line}" for line in unreadable))
