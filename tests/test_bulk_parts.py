import csv
import json
import os

import pytest

from mnist_cli.bulk import parts, tables
from mnist_cli.errors import DataError, ImageError
from mnist_cli.recognition.detection import Detection
from mnist_cli.recognition.predictions import NO_INK, Prediction, without_ink
from mnist_cli.recognition.result import Result

SEVEN = Prediction([0.0] * 7 + [1.0, 0.0, 0.0], 5.0)
RESULTS = [
    ("a/seven.png", Result(prediction=SEVEN)),
    ("blank.png", Result(prediction=NO_INK)),
    ("none.png", Result(error=ImageError("there is no such file"))),
]
MANY = [
    ("page.png", Result(digits=[Detection((1, 2, 3, 4), SEVEN), Detection((9, 2, 3, 4), NO_INK)])),
    ("empty.png", Result()),
    ("none.png", Result(error=ImageError("there is no such file"))),
]


@pytest.fixture(params=["parquet", "csv", "jsonl"])
def form(request):
    if request.param == "parquet":
        pytest.importorskip("pyarrow")
    return request.param


@pytest.mark.parametrize("many", [False, True])
def test_what_a_part_has_is_counted_the_same_when_it_is_made_and_when_it_is_read(form, many, tmp_path):
    part = parts.encode(MANY if many else RESULTS, form, many)
    (tmp_path / "part").write_bytes(part.content)
    assert parts.count(tmp_path / "part", form) == part.counts
    assert (part.counts.pictures, part.counts.unreadable, part.counts.digits) == (3, 1, {"7": 1})
    reasons = {"no ink": 1, "there is no such file": 1} | ({"no digit": 1} if many else {})
    assert part.counts.reasons == reasons


def test_the_rows_of_a_model_with_other_classes_have_their_labels(form, tmp_path):
    classes = ("Coat", "Ankle boot")
    boot = Prediction([0.25, 0.75], 5.0, classes=classes)
    results = [("boot.png", Result(prediction=boot)), ("blank.png", Result(prediction=without_ink(classes)))]
    part = parts.encode(results, form, False, classes)
    (tmp_path / "part").write_bytes(part.content)
    assert parts.count(tmp_path / "part", form) == part.counts
    assert part.counts.digits == {"Ankle boot": 1}
    if form == "parquet":
        rows = pytest.importorskip("pyarrow.parquet").read_table(tmp_path / "part").to_pylist()
    elif form == "csv":
        rows = list(csv.DictReader(part.content.decode().splitlines()))
        assert list(rows[0]) == ["path", "label", "confidence", "reason", "pCoat", "pAnkle boot"]
    else:
        rows = [json.loads(line) for line in part.content.splitlines()]
    assert [row["label"] or None for row in rows] == ["Ankle boot", None]
    assert [row.get("digit") for row in rows] == [None, None]


def test_a_picture_without_the_wanted_form_could_be_read(form):
    part = parts.encode([("page.png", Result(no_digits="nothing like dd/dd"))], form, True)
    assert (part.counts.pictures, part.counts.unreadable, part.counts.reasons) == (1, 0, {"nothing like dd/dd": 1})


def test_the_same_results_are_the_same_bytes(form):
    assert parts.encode(RESULTS, form, False).content == parts.encode(RESULTS, form, False).content


def test_a_file_that_is_no_part_is_an_error(form, tmp_path):
    (tmp_path / "part").write_bytes(b"path\nmilk")
    with pytest.raises(DataError, match="part is not a part that this program wrote"):
        parts.count(tmp_path / "part", form)


@pytest.mark.parametrize("many", [False, True])
def test_json_lines_are_those_of_json(many):
    results = MANY if many else RESULTS
    lines = parts.encode(results, "jsonl", many).content.splitlines()
    assert [json.loads(line) for line in lines] == [
        result.to_dict(many=many) | {"path": name} for name, result in results
    ]


@pytest.mark.parametrize("many", [False, True])
def test_parquet_has_the_columns_of_json(many, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "part").write_bytes(parts.encode(MANY if many else RESULTS, "parquet", many).content)
    table = pq.read_table(tmp_path / "part")
    assert table.to_pylist() == [
        json.loads(line) for line in parts.encode(MANY if many else RESULTS, "jsonl", many).content.splitlines()
    ]
    assert table.schema.names == list(RESULTS[0][1].to_dict(many=many))


def test_csv_has_a_row_for_each_picture_also_when_it_has_many_digits():
    rows = list(csv.DictReader(parts.encode(MANY, "csv", True).content.decode().splitlines()))
    assert [row["path"] for row in rows] == ["page.png", "empty.png", "none.png"]
    assert [digit["box"] for digit in json.loads(rows[0]["digits"])] == [[1, 2, 3, 4], [9, 2, 3, 4]]
    (row, *_) = csv.DictReader(parts.encode(RESULTS, "csv", False).content.decode().splitlines())
    assert list(row) == ["path", "digit", "confidence", "reason", *(f"p{digit}" for digit in range(10))]


def test_a_name_that_is_no_text_is_kept_by_all_but_parquet(form, tmp_path):
    (tmp_path / "part").write_bytes(parts.encode([(os.fsdecode(b"\xff.png"), RESULTS[0][1])], form, False).content)
    assert parts.count(tmp_path / "part", form).pictures == 1
    if form == "parquet":
        pq = pytest.importorskip("pyarrow.parquet")
        assert pq.read_table(tmp_path / "part")["path"].to_pylist() == [r"\xff.png"]


def test_the_results_of_a_table_keep_its_other_columns():
    pa = pytest.importorskip("pyarrow")
    assert tables.schema(False, [pa.field("id", pa.int64())]).names == [
        "id",
        "digit",
        "label",
        "confidence",
        "probabilities",
        "reason",
    ]
