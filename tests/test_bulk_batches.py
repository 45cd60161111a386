import io
import pickle

import pytest
from conftest import draw_seven

import mnist_cli as mnist
from mnist_cli.errors import DataError

pa = pytest.importorskip("pyarrow")


@pytest.fixture(scope="module")
def seven():
    """The bytes of a PNG file."""
    file = io.BytesIO()
    draw_seven(40).save(file, "PNG")
    return file.getvalue()


def reader(table):
    return pa.Table.from_pydict(table).to_reader(max_chunksize=2)


def test_each_batch_keeps_its_other_columns_and_gets_those_of_the_results(seven):
    batches = list(mnist.predict_batches(reader({"id": [1, 2, 3], "image": [seven, b"no picture", seven]})))
    assert [batch.num_rows for batch in batches] == [2, 1]
    table = pa.Table.from_batches(batches)
    assert table.schema.names == ["id", "digit", "label", "confidence", "probabilities", "reason"]
    assert table["digit"].to_pylist() == [7, None, 7]
    assert table["id"].to_pylist() == [1, 2, 3]
    assert table["reason"].to_pylist()[1].startswith("this is not a picture")


def test_all_digits_of_pictures_as_hugging_face_stores_them(seven):
    pictures = [{"bytes": seven, "path": "a.png"}, {"bytes": None, "path": None}]
    (batch,) = mnist.predict_batches(reader({"scan": pictures}), many=True)
    first, second = batch.to_pylist()
    assert (first["numbers"], len(first["digits"][0]["box"])) == (["7"], 4)
    assert (second["digits"], second["reason"]) == ([], "there is no picture in this row")


@pytest.mark.parametrize(
    ("table", "reason"),
    [
        ({"label": [7]}, "no column holds the bytes of pictures"),
        ({"a": [b"x"], "b": [b"x"]}, "several columns hold bytes"),
        ({"image": [b"x"], "digit": [7]}, "the table has a column digit already"),
    ],
)
def test_a_table_that_does_not_fit_is_one_sentence(table, reason):
    with pytest.raises(DataError, match=reason):
        list(mnist.predict_batches(reader(table)))


def test_engines_can_send_the_function_to_their_processes():
    assert pickle.loads(pickle.dumps(mnist.predict_batches)) is mnist.predict_batches
