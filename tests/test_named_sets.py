import bz2

import numpy as np
import pytest
from test_array_files import idx
from torchvision_or_skip import import_torchvision

from mnist_cli.datasets import data_sources, named_sets
from mnist_cli.errors import DataError

NAMES = sorted(set(named_sets.SETS) - {"usps"})


def write(folder, name, shift=0):
    """Write a data set with an image for each class, whose first row is bright, and return its images."""
    it = named_sets.SETS[name]
    raw = folder / it.folder / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    images = np.zeros((len(it.classes), 28, 28), np.uint8)
    images[:, 3] = 200
    labels = np.arange(len(it.classes)) + it.first_label + shift
    for file in it.images:
        (raw / file).write_bytes(idx(images))
        of_labels = file.replace("images", "labels").replace(
            "idx3-ubyte", "idx2-int" if name == "qmnist" else "idx1-ubyte"
        )
        content = idx(np.stack([labels] * 8, axis=1), 12, ">i4") if name == "qmnist" else idx(labels)
        (raw / of_labels).write_bytes(content)
    return images


@pytest.mark.parametrize("name", NAMES)
def test_a_data_set_is_read_from_the_layout_of_torchvision(tmp_path, name):
    written = write(tmp_path, name)
    data = data_sources.load(name, tmp_path)
    stored = written.swapaxes(1, 2) if name.startswith("emnist") else written
    assert np.array_equal(data.train.images[:, 0], stored)
    assert data.val.labels.tolist() == list(range(len(data.classes)))


def test_emnist_is_turned_and_its_letters_count_from_one(tmp_path):
    write(tmp_path, "emnist-letters")
    data = named_sets.load("emnist-letters", tmp_path)
    assert (data.classes[0], data.classes[-1], len(data.classes)) == ("a", "z", 26)
    assert data.train.images[0, 0, :, 3].tolist() == [200] * 28  # the bright row is a column


@pytest.mark.parametrize(("name", "shift"), [("emnist-letters", -1), ("emnist-letters", 1), ("fashion-mnist", 1)])
def test_labels_without_a_class_are_refused(tmp_path, name, shift):
    write(tmp_path, name, shift)
    with pytest.raises(DataError, match=r"labels-idx1-ubyte has labels from \d+ to \d+, expected [01] to "):
        named_sets.load(name, tmp_path)


def test_the_pixels_of_usps_are_enlarged_to_the_size_of_a_digit_of_mnist(tmp_path):
    line = "8 " + " ".join(f"{pixel}:{1 if pixel % 16 == 4 else -1}" for pixel in range(1, 257)) + "\n"
    for file in named_sets.USPS_FILES:
        (tmp_path / file).write_bytes(bz2.compress(line.encode()))
    data = named_sets.load("usps", tmp_path)
    assert data.train.labels.tolist() == [7]
    rows, columns = np.nonzero(data.train.images[0, 0] > 100)
    assert (rows.min(), rows.max()) == (4, 23)
    assert set(columns.tolist()) <= {7, 8, 9}


def test_a_file_of_usps_of_another_kind_is_refused(tmp_path):
    for file in named_sets.USPS_FILES:
        (tmp_path / file).write_bytes(bz2.compress(b"7 1:x"))
    with pytest.raises(DataError, match=r"usps\.bz2 is not a packed file of USPS"):
        named_sets.load("usps", tmp_path)


def test_a_data_set_that_is_not_there_names_the_command_that_fetches_it(tmp_path):
    with pytest.raises(DataError, match=r"of kmnist is not in .*KMNIST/raw.*; `mnist download kmnist` fetches it"):
        named_sets.load("kmnist", tmp_path)


def test_classes_are_those_that_torchvision_names():
    datasets = import_torchvision().datasets
    assert list(named_sets.SETS["fashion-mnist"].classes) == datasets.FashionMNIST.classes
    assert list(named_sets.SETS["kmnist"].classes) == datasets.KMNIST.classes
    for split in ("letters", "balanced", "bymerge", "byclass", "digits", "mnist"):
        names = [name for name in datasets.EMNIST.classes_split_dict[split] if name != "N/A"]
        assert list(named_sets.SETS[f"emnist-{split}"].classes) == names
