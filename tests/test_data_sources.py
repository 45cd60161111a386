import os
from pathlib import Path

import numpy as np
import pytest
from conftest import draw_seven
from test_array_files import IMAGES, LABELS, write_idx
from test_table_files import HEADING, rows

from mnist_cli.datasets import data_sources, picture_frames
from mnist_cli.errors import DataError
from mnist_cli.labels import DIGITS


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Path("data").mkdir()


def pictures(folder, *names):
    for name in names:
        Path(folder, name).parent.mkdir(parents=True, exist_ok=True)
        draw_seven(40).save(Path(folder, name))


def test_mnist_is_a_data_set_among_others(data_dir, train):
    data = data_sources.load("mnist", data_dir)
    assert (data.classes, len(data.train), len(data.val)) == (DIGITS, 60_000, 10_000)
    assert np.array_equal(data.train.images[:9], train.images[:9].numpy())


def test_each_kind_of_source_is_recognized_by_what_it_is():
    pictures("folders", "cat/a.png", "dog/b.png")
    pictures("table", "a.png")
    Path("table/labels.csv").write_text("path,digit\na.png,7\n")
    write_idx(Path("idx"))
    np.savez("set.npz", images=IMAGES, labels=LABELS)
    Path("set.csv").write_text(HEADING + rows(IMAGES.reshape(-1, 784)[:3]))
    found = {source: data_sources.load(source, None) for source in ("folders", "table", "idx", "set.npz", "set.csv")}
    assert {source: (data.name, len(data.train)) for source, data in found.items()} == {
        "folders": ("folders", 2),
        "table": ("table", 1),
        "idx": ("idx", 6),
        "set.npz": ("set.npz", 6),
        "set.csv": ("set.csv", 3),
    }
    assert found["folders"].classes == ("cat", "dog")
    assert found["table"].train.labels.tolist() == [7]


def test_a_table_for_validation_is_the_validation_part():
    for name, count in (("a.csv", 3), ("a-val.csv", 2)):
        Path(name).write_text(HEADING + rows(IMAGES.reshape(-1, 784)[:count]))
    data = data_sources.load("a.csv", None)
    assert (len(data.train), len(data.val)) == (3, 2)


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("fashion-mnst", "there is no folder or file fashion-mnst, and .*; did you mean fashion-mnist"),
        ("nowhere/", "there is no folder or file nowhere/, and no data set of that name"),
        ("notes.txt", "notes.txt is not a data set: expected a folder, IDX files, or a file .npz, .csv or .parquet"),
        ("empty", "empty has no pictures; expected a folder of pictures for each class"),
    ],
)
def test_what_is_no_data_set_is_refused_in_a_sentence(source, complaint):
    Path("notes.txt").touch()
    Path("empty").mkdir()
    with pytest.raises(DataError, match=complaint):
        data_sources.load(source, None)


def test_pictures_are_decoded_once_and_again_when_one_changes(monkeypatch):
    pictures("mine", "cat/a.png", "dog/b.png")
    decoded = []
    read = picture_frames.read
    monkeypatch.setattr(picture_frames, "read", lambda *given: decoded.append(1) or read(*given))
    first, second = data_sources.load("mine", None), data_sources.load("mine", None)
    assert np.array_equal(first.train.images, second.train.images)
    assert len(decoded) == 1
    os.utime("mine/cat/a.png", ns=(0, 0))
    data_sources.load("mine", None)
    assert len(decoded) == 2
    assert len(list(Path("data/decoded").iterdir())) == 1


def test_unreadable_pictures_are_refused_unless_so_many_are_allowed():
    pictures("mine", "cat/a.png", "cat/b.png", "dog/c.png")
    Path("mine/dog/d.png").write_bytes(b"none")
    with pytest.raises(
        DataError, match=r"1 of 4 pictures in mine cannot be read: mine/dog/d\.png: .*--max-unreadable 0\.25"
    ):
        data_sources.load("mine", None)
    data = data_sources.load("mine", None, max_unreadable=0.25)
    assert data.train.labels.tolist() == [0, 0, 1]
    assert data.notes[0] == "1 of 4 pictures in mine cannot be read and are left out:"
    assert data.notes[1].startswith("  mine/dog/d.png: ")


def test_a_set_without_a_readable_picture_is_refused():
    pictures("mine", "cat/a.png")
    Path("mine/cat/a.png").write_bytes(b"none")
    with pytest.raises(DataError, match="mine has no picture that can be read"):
        data_sources.load("mine", None, max_unreadable=1.0)


def test_pictures_left_out_do_not_shift_the_labels_of_others():
    pictures("mine", "train/ant/a.png", "train/cat/a.png", "val/cat/b.png", "val/dog/c.png")
    Path("mine/train/ant/0.png").write_bytes(b"none")
    data = data_sources.load("mine", None, max_unreadable=0.5)
    assert [data.classes[label] for label in data.train.labels] == ["ant", "cat"]
    assert [data.classes[label] for label in data.val.labels] == ["cat", "dog"]


def test_a_source_is_the_same_by_any_path_but_a_name_only_by_itself():
    assert data_sources.is_same("mine", "./mine/")
    assert data_sources.is_same("mnist", "mnist")
    assert not data_sources.is_same("mnist", "./mnist")
