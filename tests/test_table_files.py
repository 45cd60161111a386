import io
import json

import numpy as np
import pytest
from conftest import draw_seven
from PIL import Image

from mnist_cli.datasets import table_files
from mnist_cli.errors import DataError

IMAGES = np.random.default_rng(0).integers(0, 100, (3, 784), np.uint8)
HEADING = "label," + ",".join(f"pixel{number}" for number in range(784)) + "\n"


def rows(images, labels=("7", "0", "3")):
    return "".join(f"{label},{','.join(map(str, row))}\n" for label, row in zip(labels, images, strict=False))


@pytest.mark.parametrize(
    "text",
    [
        HEADING + rows(IMAGES),
        rows(IMAGES),
        "\ufeff" + HEADING.replace("\n", "\r\n") + rows(IMAGES).replace("\n", "\r\n"),
        HEADING + rows(IMAGES / 255),
        HEADING + rows(255 - IMAGES),
        HEADING + rows(IMAGES) + "\n",
        rows(IMAGES, ("7.0", "0.0", "3.0")),
    ],
    ids=["Kaggle", "no heading", "Excel", "fractions", "inverted", "blank line", "labels as floats"],
)
def test_a_table_of_pixels_is_read_however_it_is_written(tmp_path, text):
    (tmp_path / "train.csv").write_text(text, newline="")
    frames, labels = table_files.read_csv(tmp_path / "train.csv")
    assert labels == ["7", "0", "3"]
    assert np.array_equal(frames.reshape(3, 784), IMAGES)


def test_a_label_may_be_a_quoted_name(tmp_path):
    (tmp_path / "a.csv").write_text(HEADING + rows(IMAGES, ('"hat, red"', "shoe", '"bag"')))
    assert table_files.read_csv(tmp_path / "a.csv")[1] == ["hat, red", "shoe", "bag"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "has no rows of a label and 784 pixels"),
        (HEADING, "has no rows of a label and 784 pixels"),
        ("name,age\nAnn,7\n", "row 2 has 1 cells behind `Ann`, expected a label and 784 pixels"),
        (HEADING + rows(IMAGES) + "5,1,2\n", "row 5 has 2 cells behind `5`"),
        (HEADING + rows(IMAGES).replace("\n0,", "\n,", 1), "row 3 has 784 cells behind ``"),
        (HEADING + rows([["x", *[0] * 783]]), "row 2 has the pixel 'x', which is no number"),
        (HEADING + rows(IMAGES) + rows([[300] * 784]), "row 5 has a pixel that is not from 0 to 255"),
        (HEADING + rows([[-1.0, *[9] * 783]]), "row 2 has a pixel that is not from 0 to 255"),
    ],
)
def test_a_table_of_another_kind_is_refused_with_its_row(tmp_path, text, complaint):
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(DataError, match=rf"a\.csv,? {complaint}"):
        table_files.read_csv(tmp_path / "a.csv")


@pytest.mark.parametrize(
    ("name", "other"), [("mine.csv", "mine-val.csv"), ("mnist_train.csv", "mnist_test.csv"), ("train.csv", "val.csv")]
)
def test_a_file_for_validation_is_found_beside_one_for_training(tmp_path, name, other):
    assert table_files.val_beside(tmp_path / name) is None
    (tmp_path / other).touch()
    assert table_files.val_beside(tmp_path / name) == tmp_path / other


def png(picture):
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


def write_parquet(path, columns, names=None):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    table = pa.table(columns)
    if names:
        info = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    pq.write_table(table, path)


def test_pictures_in_parquet_are_read_with_the_names_of_their_classes(tmp_path):
    frame = Image.fromarray(IMAGES[0].reshape(28, 28))
    cells = [{"bytes": png(frame), "path": "a.png"}, {"bytes": png(frame), "path": None}]
    write_parquet(tmp_path / "a.parquet", {"image": cells, "label": [1, 0]}, ["cat", "dog"])
    read, labels = table_files.read_parquet(tmp_path / "a.parquet")
    assert labels == ["dog", "cat"]
    assert np.array_equal(read.frames[0].ravel(), IMAGES[0])


def test_pictures_in_parquet_may_be_photos_and_labels_text(tmp_path):
    write_parquet(tmp_path / "a.parquet", {"image": [png(draw_seven()), b"none"], "label": ["7", "7"]})
    read, labels = table_files.read_parquet(tmp_path / "a.parquet")
    assert labels == ["7", "7"]
    assert read.frames.shape == (1, 1, 28, 28)
    assert list(read.unreadable) == [1]


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"picture_of": [b"x"], "label": [1]}, " has no column `image`, but picture_of, label"),
        ({"image": [b"x"], "name": ["a"]}, " has no column `label`, but image, name"),
        ({"image": ["x"], "label": [1]}, ", row 1 has no bytes of a picture"),
        ({"image": [b"x"], "label": [None]}, ", row 1 has no label"),
    ],
)
def test_a_parquet_file_of_another_kind_is_refused(tmp_path, columns, complaint):
    write_parquet(tmp_path / "a.parquet", columns)
    with pytest.raises(DataError, match=rf"a\.parquet{complaint}"):
        table_files.read_parquet(tmp_path / "a.parquet")


def test_a_file_that_is_not_parquet_is_refused(tmp_path):
    pytest.importorskip("pyarrow")
    (tmp_path / "a.parquet").write_bytes(b"no table")
    with pytest.raises(DataError, match=r"a\.parquet is not a Parquet file"):
        table_files.read_parquet(tmp_path / "a.parquet")
