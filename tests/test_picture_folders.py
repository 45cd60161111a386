import pytest
from conftest import draw_seven

from mnist_cli.datasets import picture_folders
from mnist_cli.errors import DataError


def put(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_seven(32).save(path)


def found(folder):
    return [[(str(it.path.relative_to(folder)), it.label) for it in part] for part in picture_folders.find(folder)]


def test_each_folder_of_pictures_is_a_class(tmp_path):
    put(tmp_path, "cat/one.png", "cat/more/one.png", "dog/one.png", ".hidden/one.png")
    assert found(tmp_path) == [[("cat/more/one.png", "cat"), ("cat/one.png", "cat"), ("dog/one.png", "dog")]]


@pytest.mark.parametrize("val", ["val", "test", "Validation"])
def test_a_set_may_bring_its_validation_part(tmp_path, val):
    put(tmp_path, "train/cat/one.png", "train/dog/two.png", f"{val}/cat/three.png", f"{val}/dog/four.png")
    assert [[label for _, label in part] for part in found(tmp_path)] == [["cat", "dog"], ["cat", "dog"]]


@pytest.mark.parametrize(
    "table",
    ["path,label\none.png,cat\nx/two.png,dog\n", "\ufeffLABEL;Path\r\ncat;one.png\r\ndog;x/two.png\r\n"],
)
def test_a_table_names_the_classes(tmp_path, table):
    put(tmp_path, "one.png", "x/two.png")
    (tmp_path / "labels.csv").write_text(table, newline="")
    assert found(tmp_path) == [[("one.png", "cat"), ("x/two.png", "dog")]]


def test_a_picture_that_is_listed_twice_is_taken_once_unless_its_labels_differ(tmp_path):
    put(tmp_path, "one.png")
    (tmp_path / "labels.csv").write_text("path,label\none.png,cat\n./one.png,cat\n")
    assert found(tmp_path) == [[("one.png", "cat")]]
    (tmp_path / "labels.csv").write_text("path,label\none.png,cat\n./one.png,dog\n")
    with pytest.raises(DataError, match=r"line 3: \./one\.png has the label dog, but in an earlier row cat"):
        picture_folders.find(tmp_path)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda folder: None, "mine has no pictures; expected a folder of pictures for each class, or labels.csv"),
        (lambda folder: put(folder, "a.png", "b.png"), "mine has 2 pictures without labels"),
        (lambda folder: put(folder, "cat/a.png") or (folder / "dog").mkdir(), "dog is a class without pictures"),
        (lambda folder: (folder / "labels.csv").write_text("path,label\n"), r"labels\.csv has no pictures"),
        (
            lambda folder: (folder / "labels.csv").write_text("path,label\na.png,\n"),
            "line 2: expected a file and a label",
        ),
        (lambda folder: (folder / "labels.csv").write_text("path,label\n/a.png,x\n"), "line 2: /a.png is outside"),
    ],
)
def test_a_folder_that_is_no_data_set_is_refused_in_a_sentence(tmp_path, make, complaint):
    (tmp_path / "mine").mkdir()
    make(tmp_path / "mine")
    with pytest.raises(DataError, match=complaint):
        picture_folders.find(tmp_path / "mine")
