from pathlib import Path

import numpy as np
import pytest
from torchvision_or_skip import import_torchvision

from mnist_cli.datasets import conversion, data_sources
from mnist_cli.datasets.labelled_images import DataSet, LabelledImages
from mnist_cli.errors import ConfigError, DataError
from mnist_cli.labels import DIGITS

NAMES = ("Ankle boot", "T-shirt/top", "hat, red")


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def part(count, classes, seed):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 90, (count, 1, 28, 28), np.uint8)
    return LabelledImages(images, np.arange(count) % classes)


def digits(val, with_val):
    images, labels = val.images.numpy(), val.labels.numpy()
    first, second = (LabelledImages(images[some], labels[some]) for some in (slice(60), slice(60, 80)))
    return DataSet("digits", DIGITS, first, second if with_val else None)


def pairs(part):
    return sorted((int(label), image.tobytes()) for label, image in zip(part.labels, part.images, strict=True))


WRITTEN = {"png": "out", "idx": "out", "npz": "out.npz", "csv": "out.csv", "parquet": "out.parquet"}


@pytest.mark.parametrize("kind", WRITTEN)
@pytest.mark.parametrize("with_val", [False, True], ids=["one part", "two parts"])
def test_what_is_written_is_read_again_the_same(val, kind, with_val):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    data = digits(val, with_val)
    conversion.write(data, Path(WRITTEN[kind]), kind)
    again = data_sources.load(WRITTEN[kind], None)
    assert again.classes == data.classes
    assert pairs(again.train) == pairs(data.train)
    assert (again.val and pairs(again.val)) == (data.val and pairs(data.val))


@pytest.mark.parametrize("kind", WRITTEN)
def test_names_of_classes_are_written_and_read(kind):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    data = DataSet("clothes", NAMES, part(9, 3, 0))
    conversion.write(data, Path(WRITTEN[kind]), kind)
    again = data_sources.load(WRITTEN[kind], None)
    names = ("Ankle boot", "T-shirt-top", "hat, red") if kind == "png" else NAMES  # no folder has a slash in its name
    assert again.classes == names
    assert pairs(again.train) == pairs(data.train)


def test_torchvision_opens_the_folders_that_are_written(val):
    datasets = import_torchvision().datasets
    data = digits(val, True)
    conversion.write(data, Path("pictures"), "png")
    pictures = datasets.ImageFolder("pictures/train")
    assert (len(pictures), pictures.classes) == (60, sorted({str(label) for label in data.train.labels}))
    conversion.write(data, Path("idx"), "idx")
    for train, expected in ((True, data.train), (False, data.val)):
        opened = datasets.MNIST("idx", train=train)
        assert np.array_equal(opened.data.numpy(), expected.images[:, 0])
        assert opened.targets.tolist() == expected.labels.tolist()


def test_nothing_is_overwritten(val):
    Path("out").mkdir()
    Path("out/notes.txt").touch()
    Path("out.npz").touch()
    for dest in ("out", "out.npz"):
        with pytest.raises(ConfigError, match=f"{dest} is there already"):
            conversion.write(digits(val, False), Path(dest), conversion.format_for(Path(dest)))


def test_the_format_follows_from_the_suffix():
    formats = [conversion.format_for(Path(name)) for name in ("a.npz", "a.CSV", "a.parquet", "a", "a.b")]
    assert formats == ["npz", "csv", "parquet", "png", "png"]


@pytest.mark.parametrize(
    ("kind", "classes", "complaint"),
    [
        ("png", ("a/b", "a-b"), "classes whose names are no names of different folders"),
        ("csv", ('a"b', "c"), "a class with a quotation mark"),
        ("idx", tuple(map(str, range(300))), "300 classes, and IDX files have room for 256"),
    ],
)
def test_classes_that_a_format_cannot_hold_are_refused(kind, classes, complaint):
    with pytest.raises(DataError, match=complaint):
        conversion.write(DataSet("odd", classes, part(2, 2, 0)), Path(WRITTEN[kind]), kind)
