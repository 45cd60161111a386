import gzip
import struct

import numpy as np
import pytest

from mnist_cli.datasets import array_files
from mnist_cli.errors import DataError
from mnist_cli.labels import DIGITS

IMAGES = np.random.default_rng(0).integers(0, 100, (6, 28, 28), np.uint8)
IMAGES[:, 0, 0] = 0
LABELS = np.array([0, 1, 2, 3, 4, 5], np.uint8)


def idx(array, code=8, kind=">u1"):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.astype(kind).tobytes()


def write_idx(folder, part="train", images=IMAGES, labels=LABELS):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{part}-images-idx3-ubyte").write_bytes(idx(images))
    (folder / f"{part}-labels-idx1-ubyte").write_bytes(idx(labels))
    return folder / f"{part}-images-idx3-ubyte"


def read(folder):
    return array_files.read_idx("mine", array_files.find_idx(folder))


def test_idx_files_of_any_count_are_read_packed_or_not(tmp_path):
    path = write_idx(tmp_path)
    raw = write_idx(tmp_path, "t10k", IMAGES[:2], LABELS[:2])
    raw.with_name(raw.name + ".gz").write_bytes(gzip.compress(raw.read_bytes()))
    raw.unlink()
    data = read(tmp_path)
    assert data.classes == DIGITS
    assert np.array_equal(data.train.images[:, 0], IMAGES)
    assert data.val.labels.tolist() == [0, 1]
    assert array_files.read_idx("mine", array_files.find_idx(path)).val is None


def test_idx_files_are_found_in_the_layout_of_torchvision(tmp_path):
    write_idx(tmp_path / "Runes" / "raw")
    assert len(read(tmp_path).train) == 6


def test_names_of_classes_are_beside_idx_files(tmp_path):
    write_idx(tmp_path)
    (tmp_path / "classes.txt").write_text("a\nb\nc\nd\ne\nf\n")
    assert read(tmp_path).classes == tuple("abcdef")


def test_labels_of_several_columns_are_those_of_the_first(tmp_path):
    write_idx(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    columns = np.stack([LABELS, LABELS + 100], axis=1)
    (tmp_path / "train-labels-idx2-int").write_bytes(idx(columns, 12, ">i4"))
    assert read(tmp_path).train.labels.tolist() == LABELS.tolist()


@pytest.mark.parametrize(
    ("images", "labels", "names", "complaint"),
    [
        (IMAGES, LABELS[:5], "", "train-labels-idx1-ubyte has 5 labels for 6 images"),
        (IMAGES[:, :20], LABELS, "", r"train-images-idx3-ubyte has shape \(6, 20, 28\), expected \(N, 28, 28\)"),
        (IMAGES, LABELS, "a\nb", "has the label 5, but the names of 2 classes only, 0 to 1"),
        (IMAGES, LABELS, "a\nb\nc\nd\ne\na", "names a class twice"),
        (IMAGES[:0], LABELS[:0], "", "has no images"),
    ],
)
def test_idx_files_that_do_not_fit_are_named(tmp_path, images, labels, names, complaint):
    write_idx(tmp_path, images=images, labels=labels)
    if names:
        (tmp_path / "classes.txt").write_text(names)
    with pytest.raises(DataError, match=complaint):
        read(tmp_path)


def test_images_without_labels_are_refused(tmp_path):
    write_idx(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match="train-images-idx3-ubyte has no labels: train-labels-idx1-ubyte is missing"):
        read(tmp_path)


def test_classes_without_images_are_reported(tmp_path):
    write_idx(tmp_path)
    (tmp_path / "classes.txt").write_text("\n".join("abcdefgh"))
    assert read(tmp_path).notes == ("mine: no images of g, h.",)


LAYOUTS = {
    "Keras": {"x_train": IMAGES, "y_train": LABELS, "x_test": IMAGES[:2], "y_test": LABELS[:2]},
    "MedMNIST": {
        "train_images": IMAGES,
        "train_labels": LABELS[:, None],
        "test_images": IMAGES[:2],
        "test_labels": LABELS[:2, None],
    },
    "rows of pixels": {
        "x_train": IMAGES.reshape(6, 784),
        "y_train": LABELS,
        "x_test": IMAGES[:2].reshape(2, 784),
        "y_test": LABELS[:2],
    },
    "channels last": {
        "x_train": IMAGES[..., None],
        "y_train": LABELS,
        "x_test": IMAGES[:2, ..., None],
        "y_test": LABELS[:2],
    },
}


@pytest.mark.parametrize("arrays", LAYOUTS.values(), ids=LAYOUTS)
def test_npz_files_are_read_in_the_layouts_of_others(tmp_path, arrays):
    np.savez(tmp_path / "a.npz", **arrays)
    data = array_files.read_npz(tmp_path / "a.npz")
    assert np.array_equal(data.train.images[:, 0], IMAGES)
    assert data.train.labels.tolist() == LABELS.tolist()
    assert len(data.val) == 2


@pytest.mark.parametrize(
    "images",
    [IMAGES / 255, (IMAGES / 255).astype(np.float32), 255 - IMAGES, IMAGES.astype(np.int64)],
    ids=["fractions", "single precision", "inverted", "integers"],
)
def test_grey_levels_of_any_range_and_paper_become_those_of_mnist(tmp_path, images):
    np.savez(tmp_path / "a.npz", images=images, labels=LABELS)
    assert np.array_equal(array_files.read_npz(tmp_path / "a.npz").train.images[:, 0], IMAGES)


def test_an_npz_file_may_name_its_classes_and_its_labels(tmp_path):
    np.savez(tmp_path / "a.npz", images=IMAGES, labels=LABELS, classes=list("abcdef"))
    assert array_files.read_npz(tmp_path / "a.npz").classes == tuple("abcdef")
    np.savez(tmp_path / "b.npz", images=IMAGES[:2], labels=["dog", "cat"])
    data = array_files.read_npz(tmp_path / "b.npz")
    assert (data.classes, data.train.labels.tolist()) == (("cat", "dog"), [1, 0])


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"pictures": IMAGES}, "has no arrays `x_train` and `y_train`, nor `images` and `labels`, but pictures"),
        ({"images": IMAGES, "labels": LABELS[:3]}, "labels has 3 labels for 6 images"),
        (
            {"images": np.zeros((6, 32, 32)), "labels": LABELS},
            r"images has shape \(6, 32, 32\), expected \(N, 28, 28\)",
        ),
        ({"images": np.zeros((6, 28, 28, 3)), "labels": LABELS}, r"images has shape \(6, 28, 28, 3\)"),
        ({"images": IMAGES - 500.0, "labels": LABELS}, "has values from -500 to .* expected 0 to 255 or 0 to 1"),
        ({"images": IMAGES * np.nan, "labels": LABELS}, "has values from nan"),
        ({"images": IMAGES, "labels": LABELS - 1.0}, "has the label -1.0 in row 1; labels begin at 0"),
        ({"images": IMAGES, "labels": LABELS + 0.5}, "expected a whole number each"),
        ({"images": IMAGES, "labels": np.array([{}] * 6)}, "is not an .npz file of plain arrays"),
    ],
)
def test_an_npz_file_of_another_kind_is_refused_in_a_sentence(tmp_path, arrays, complaint):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=rf"a\.npz.* {complaint}"):
        array_files.read_npz(tmp_path / "a.npz")


def test_a_file_that_is_no_archive_is_refused(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"no archive")
    with pytest.raises(DataError, match=r"a\.npz is not an .npz file of plain arrays"):
        array_files.read_npz(tmp_path / "a.npz")
