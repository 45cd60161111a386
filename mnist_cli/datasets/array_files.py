"""Files of labelled arrays: IDX, as MNIST has it, and NumPy's .npz."""

import re
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_cli.arrays import FRAME, Frames
from mnist_cli.datasets import mnist_files
from mnist_cli.datasets.labelled_images import DataSet, LabelledImages, named_labels
from mnist_cli.errors import DataError
from mnist_cli.labels import DIGITS
from mnist_cli.pictures import normalize

MAX_BYTES = 8_000_000_000  # of an unpacked file; 10 million images have as many
MAX_SHOWN_CHARACTERS = 60  # of a cell that an error quotes
CLASSES = "classes.txt"  # the names of the classes beside IDX files, a line for each, in the order of the labels
IDX_IMAGES = re.compile(r"(.*)images([-.])idx3-ubyte(\.gz|\.xz)?")
IS_VAL = re.compile(r"(t10k|test|val|valid|validation)", re.IGNORECASE)
PIXELS = FRAME**2
# The keys of images and labels in an .npz file, of the training and of the validation part: ours and Keras', and MedMNIST's.
NPZ_TRAIN = (("x_train", "y_train"), ("train_images", "train_labels"), ("images", "labels"), ("x", "y"))
NPZ_VAL = (("x_test", "y_test"), ("x_val", "y_val"), ("test_images", "test_labels"), ("val_images", "val_labels"))
INTEGERS = {12: ">i4"}  # the type codes of IDX that labels have beside unsigned bytes


def find_idx(path: Path) -> list[Path]:
    """Return the IDX files of images that `path` is or, in torchvision's layout too, has."""
    if path.is_file():
        return [path] if IDX_IMAGES.fullmatch(path.name) else []
    folders = [path, path / "raw", *sorted(path.glob("*/raw"))]
    found = [file for folder in folders if folder.is_dir() for file in sorted(folder.iterdir())]
    return list({IDX_IMAGES.sub(r"\1", file.name): file for file in found if IDX_IMAGES.fullmatch(file.name)}.values())


def labels_beside(images: Path) -> Path:
    """Return the file of the labels of a file of images: of the same name, packed in any way, or of QMNIST.

    Raises DataError when there is none.
    """
    match = IDX_IMAGES.fullmatch(images.name)
    assert match
    names = [f"{match[1]}labels{match[2]}{kind}" for kind in ("idx1-ubyte", "idx2-int")]
    paths = [images.with_name(f"{name}{suffix}") for name in names for suffix in ("", ".gz", ".xz")]
    for path in paths:
        if path.is_file():
            return path
    raise DataError(f"{images} has no labels: {paths[0].name} is missing beside it")


def read_idx(name: str, files: Sequence[Path], classes: Sequence[str] | None = None) -> DataSet:
    """Return the data set of IDX files of images, whose labels are beside them: one for training, one for validation.

    Raises DataError when they are not images of 28x28 pixels with a label for each.
    """
    names = files[0].with_name(CLASSES)
    if classes is None and names.is_file():
        classes = names.read_text("utf-8").splitlines()
    parts = {bool(IS_VAL.search(path.name)): idx_part(path) for path in files}
    if len(parts) < len(files):
        raise DataError(f"{files[0].parent} has several data sets; name one of its files, such as {files[0]}")
    return data_set_of(name, parts.get(False), parts.get(True), classes, str(files[0]))


def idx_part(path: Path) -> LabelledImages:
    """Return the images of an IDX file, and their labels, which are beside it; raises DataError when they do not fit."""
    labels = labels_beside(path)
    images = frames_of(mnist_files.parse(mnist_files.unpack(path, MAX_BYTES), str(path)), str(path))
    return labelled(images, _parse_labels(mnist_files.unpack(labels, MAX_BYTES), labels), str(labels))


def _parse_labels(raw: bytes, source: Path) -> NDArray[np.int64]:
    """Return the labels (N,) of an IDX file; of several columns, as QMNIST has them, the first."""
    if len(raw) >= 4 and raw[2] in INTEGERS and raw[3] in (1, 2) and len(raw) >= 4 + 4 * raw[3]:
        shape = struct.unpack_from(f">{raw[3]}I", raw, 4)
        values = np.frombuffer(raw, INTEGERS[raw[2]], offset=4 + 4 * raw[3])
        if values.size == np.prod(shape):
            columns: NDArray[np.int64] = values.reshape(shape[0], -1)[:, 0].astype(np.int64)
            return columns
    return mnist_files.parse(raw, str(source)).astype(np.int64)


def read_npz(path: Path) -> DataSet:
    """Return the data set of an .npz file, as Keras and MedMNIST have it, with a list `classes` or without.

    Raises DataError when it has no images of 28x28 pixels or no label for each.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_BYTES:
                raise DataError(f"{path} has more than {MAX_BYTES:,} bytes")
        with np.load(path, allow_pickle=False) as stored:
            arrays = {key.lower(): stored[key] for key in stored.files}
    except (ValueError, zipfile.BadZipFile, EOFError, KeyError) as error:
        raise DataError(f"{path} is not an .npz file of plain arrays: {error}") from error
    found = {
        is_val: keys
        for is_val, keys in ((False, _npz_keys(arrays, NPZ_TRAIN)), (True, _npz_keys(arrays, NPZ_VAL)))
        if keys
    }
    if not found:
        shown = ", ".join(arrays)[:MAX_SHOWN_CHARACTERS]
        raise DataError(
            f"{path} has no arrays `x_train` and `y_train`, nor `images` and `labels`, but {shown or 'none'}"
        )
    classes = tuple(map(str, arrays["classes"])) if "classes" in arrays else None
    labels = [_column(arrays[keys[1]]) for keys in found.values()]
    if labels[0].dtype.kind in "US":
        classes, every = named_labels(np.concatenate(labels).astype(str).tolist(), classes or ())
        labels = np.split(every, [len(labels[0])])
    parts = {
        is_val: labelled(frames_of(arrays[keys[0]], f"{path}: {keys[0]}"), of_part, f"{path}: {keys[1]}")
        for (is_val, keys), of_part in zip(found.items(), labels, strict=False)
    }
    return data_set_of(path.name, parts.get(False), parts.get(True), classes, str(path))


def _column(labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels of shape (N, 1) as (N,), and any others as they are."""
    return labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels


def _npz_keys(arrays: Mapping[str, Any], keys: Sequence[tuple[str, str]]) -> tuple[str, str] | None:
    return next((pair for pair in keys if pair[0] in arrays and pair[1] in arrays), None)


def labelled(images: Frames, labels: NDArray[Any], source: str) -> LabelledImages:
    """Return images and their labels (N,), of which `source` names the file.

    Raises DataError when the labels are not whole numbers from 0 on, or not as many as the images.
    """
    if labels.ndim != 1 or labels.dtype.kind not in "iufb" or (labels != labels.astype(np.int64)).any():
        raise DataError(
            f"{source} has labels of shape {labels.shape} and type {labels.dtype}, expected a whole number each"
        )
    if len(labels) != len(images):
        raise DataError(f"{source} has {len(labels):,} labels for {len(images):,} images")
    if not len(labels):
        raise DataError(f"{source} has no images")
    if labels.min() < 0:
        raise DataError(f"{source} has the label {labels.min()} in row {int(labels.argmin()) + 1:,}; labels begin at 0")
    return LabelledImages(images, labels.astype(np.int64))


def frames_of(values: NDArray[Any], source: str) -> Frames:
    """Return values of shape (N, 28, 28), with an axis of one channel anywhere, or (N, 784) as frames with dark paper.

    They may be whole numbers to 255 or fractions to 1. Raises DataError, naming `source`, for others.
    """
    count = len(values) if values.ndim else 0
    if (
        values.ndim < 2
        or (values.squeeze().shape[-2:] != (FRAME, FRAME) and values.shape[1:] != (PIXELS,))
        or values.size != count * PIXELS
    ):
        raise DataError(
            f"{source} has shape {values.shape}, expected (N, {FRAME}, {FRAME}); pictures of another size can be in a folder"
        )
    levels = levels_of(values.reshape(-1, 1, FRAME, FRAME), source)
    return normalize.upright(levels)


def levels_of(values: NDArray[Any], source: str) -> NDArray[np.uint8]:
    """Return grey levels from 0 to 255, from whole numbers to 255 or fractions to 1; raises DataError for others."""
    if values.dtype == np.uint8 and values.max(initial=0) > 1:
        return values
    if values.dtype.kind not in "biuf":
        raise DataError(f"{source} has values of type {values.dtype}, expected numbers from 0 to 255 or from 0 to 1")
    low, high = float(values.min(initial=0)), float(values.max(initial=0))
    if not (low >= 0 and high <= 255):  # true for NaN, too
        raise DataError(f"{source} has values from {low:g} to {high:g}, expected 0 to 255 or 0 to 1")
    return (values * (255 if high <= 1 else 1)).round().astype(np.uint8)


def data_set_of(
    name: str, train: LabelledImages | None, val: LabelledImages | None, classes: Sequence[str] | None, source: str
) -> DataSet:
    """Return a data set of parts whose labels are the indices of `classes`, or of digits, or of numbers without names.

    A validation part alone is measured, and trained on, as a whole. Raises DataError for labels without a name.
    """
    parts = [part for part in (train, val) if part]
    highest = max(int(part.labels.max()) for part in parts)
    names = tuple(classes or (DIGITS if highest < len(DIGITS) else map(str, range(highest + 1))))
    if len(set(names)) < len(names):
        raise DataError(f"{source} names a class twice")
    if highest >= len(names):
        raise DataError(
            f"{source} has the label {highest}, but the names of {len(names)} classes only, 0 to {len(names) - 1}"
        )
    empty = [name for index, name in enumerate(names) if not any((part.labels == index).any() for part in parts)]
    notes = (f"{name}: no images of {', '.join(empty)[:MAX_SHOWN_CHARACTERS]}.",) if empty else ()
    return DataSet(name, names, parts[0], parts[1] if len(parts) > 1 else None, notes)
