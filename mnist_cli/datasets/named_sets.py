"""The data sets that torchvision knows, beside MNIST: their classes, their files, and what is special about them."""

import bz2
import string
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mnist_cli.arrays import FRAME
from mnist_cli.config import DATA_DIR
from mnist_cli.datasets import array_files, data_folder
from mnist_cli.datasets.labelled_images import DataSet, LabelledImages
from mnist_cli.errors import DataError
from mnist_cli.labels import DIGITS

FASHION = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
LETTERS = tuple(string.ascii_lowercase)
MERGED = (*DIGITS, *string.ascii_uppercase, *"abdefghnqrt")  # letters whose capitals look the same are one class
USPS_FILES = ("usps.bz2", "usps.t.bz2")
USPS_SIDE = 16  # px
MAX_USPS_BYTES = 100_000_000  # unpacked


@dataclass(frozen=True)
class NamedSet:
    """A data set in torchvision's layout."""

    folder: str  # of torchvision's class, in which `raw` is; empty for files in the folder of the data itself
    classes: tuple[str, ...]
    images: tuple[str, str]  # the files of the training and of the validation images, without a suffix such as .gz
    is_transposed: bool = False  # rows and columns are exchanged in the files, as in EMNIST
    first_label: int = 0


MNIST_FILES = ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte")


def _emnist(split: str, classes: tuple[str, ...], first_label: int = 0) -> NamedSet:
    train, test = (f"emnist-{split}-{part}-images-idx3-ubyte" for part in ("train", "test"))
    return NamedSet("EMNIST", classes, (train, test), is_transposed=True, first_label=first_label)


SETS = {
    "fashion-mnist": NamedSet("FashionMNIST", FASHION, MNIST_FILES),
    "kmnist": NamedSet("KMNIST", ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"), MNIST_FILES),
    "qmnist": NamedSet("QMNIST", DIGITS, ("qmnist-train-images-idx3-ubyte", "qmnist-test-images-idx3-ubyte")),
    "emnist-digits": _emnist("digits", DIGITS),
    "emnist-mnist": _emnist("mnist", DIGITS),
    "emnist-letters": _emnist("letters", LETTERS, first_label=1),
    "emnist-balanced": _emnist("balanced", MERGED),
    "emnist-bymerge": _emnist("bymerge", MERGED),
    "emnist-byclass": _emnist("byclass", (*DIGITS, *string.ascii_uppercase, *string.ascii_lowercase)),
    "usps": NamedSet("", DIGITS, USPS_FILES),
}


def load(name: str, data_dir: Path | None) -> DataSet:
    """Return the data set of a name in SETS, from the first of `data_dir`, `data` and the user's cache folder that has it.

    Raises DataError when its files are in none of these, or are others.
    """
    it = SETS[name]
    train, val = (_find(name, it, file, data_dir) for file in it.images)
    if name == "usps":
        return DataSet(name, it.classes, _read_usps(train), _read_usps(val))
    parts = []
    for path in (train, val):
        part = array_files.idx_part(path)
        images = part.images.swapaxes(2, 3) if it.is_transposed else part.images
        parts.append(LabelledImages(np.ascontiguousarray(images), part.labels - it.first_label))
        _check_labels(parts[-1], path, it)
    return DataSet(name, it.classes, parts[0], parts[1])


def folders(data_dir: Path | None) -> list[Path]:
    """Return the folders in which data sets are looked for, in this order."""
    return list(dict.fromkeys(path for path in (data_dir, DATA_DIR, data_folder.cache_dir()) if path))


def _find(name: str, it: NamedSet, file: str, data_dir: Path | None) -> Path:
    places = [
        place for folder in folders(data_dir) for place in (folder / it.folder / "raw", folder / it.folder, folder)
    ]
    for place in places:
        for suffix in ("", ".gz", ".xz"):
            # In the folder itself its files are told from those of another set by their names alone.
            is_told = place.name == "raw" or place.name == it.folder or not file.startswith(("train", "t10k"))
            if is_told and (place / f"{file}{suffix}").is_file():
                return place / f"{file}{suffix}"
    looked = " nor ".join(str(folder / it.folder / "raw" if it.folder else folder) for folder in folders(data_dir))
    raise DataError(f"{file} of {name} is not in {looked}; `mnist download {name}` fetches it")


def _check_labels(part: LabelledImages, path: Path, it: NamedSet) -> None:
    low, high = int(part.labels.min()), int(part.labels.max())
    if low < 0 or high >= len(it.classes):
        first, last = it.first_label, it.first_label + len(it.classes) - 1
        found = f"{low + it.first_label} to {high + it.first_label}"
        raise DataError(f"{array_files.labels_beside(path)} has labels from {found}, expected {first} to {last}")


def _read_usps(path: Path) -> LabelledImages:
    """Return the digits of a file in the format of LIBSVM: a label from 1 to 10, then `index:value`, from -1 to 1, for 256 pixels.

    The 16x16 pixels are enlarged to 20x20, as large as a digit is in MNIST, in the middle of the frame.
    """
    from PIL import Image

    try:
        with bz2.open(path) as file:
            content = file.read(MAX_USPS_BYTES).decode()
        rows = [line.split() for line in content.splitlines()]
        labels = np.array([float(row[0]) for row in rows]).astype(np.int64) - 1
        values = np.array([[float(cell.partition(":")[2]) for cell in row[1:]] for row in rows], np.float32)
        levels = ((values.reshape(-1, USPS_SIDE, USPS_SIDE) + 1) / 2 * 255).clip(0, 255).round().astype(np.uint8)
    except (ValueError, IndexError, EOFError, OSError) as error:
        raise DataError(f"{path} is not a packed file of USPS in the format of LIBSVM: {error}") from error
    frames = np.zeros((len(rows), 1, FRAME, FRAME), np.uint8)
    for frame, digit in zip(frames, levels, strict=True):
        frame[0, 4:24, 4:24] = np.asarray(Image.fromarray(digit).resize((20, 20), Image.Resampling.BICUBIC))
    return array_files.labelled(frames, labels, str(path))


def names() -> Sequence[str]:
    """Return the names of all data sets, MNIST first."""
    return ["mnist", *SETS]
