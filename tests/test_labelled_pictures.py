import os
import resource

import numpy as np
import pytest
from conftest import draw_seven
from PIL import Image

from mnist_cli.datasets import labelled_pictures
from mnist_cli.datasets.labelled_pictures import Corrections
from mnist_cli.errors import DataError
from mnist_cli.pictures import binarize, decode, normalize


def write(folder, rows):
    folder.mkdir(exist_ok=True)
    (folder / "labels.csv").write_text("path,digit\n" + rows)
    draw_seven().save(folder / "seven.png")
    return folder


def test_collected_pictures_are_loaded_as_frames(tmp_path):
    folder = Corrections(tmp_path / "kept")
    pictures = [decode.to_array(draw_seven()), decode.to_array(draw_seven(ink="yellow", paper="navy"))]
    for picture, digit in zip(pictures, (7, 1), strict=True):
        folder.add(picture, digit)
    frames, digits = labelled_pictures.load(tmp_path / "kept")
    assert frames.shape == (2, 1, 28, 28)
    assert frames.dtype == np.uint8
    assert digits.tolist() == [7, 1]
    assert np.array_equal(frames[0], normalize.draw(next(binarize.candidates(pictures[0]))))


def test_a_digit_of_mnist_is_loaded_as_it_is(tmp_path, val):
    digit = val.images[0, 0].numpy()
    write(tmp_path, "digit.png,7\n")
    Image.fromarray(digit).save(tmp_path / "digit.png")
    assert np.array_equal(labelled_pictures.load(tmp_path)[0][0, 0], digit)


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ("", "has no pictures"),
        ("seven.png,7\nseven.png,12\n", "line 3: expected a file and a digit"),
        ("seven.png\n", "line 2: expected a file and a digit"),
        ("seven.png,\n", "line 2: expected a file and a digit"),
        ("gone.png,7\n", "line 2: gone.png: there is no such file"),
        (f"{'x' * 5_000}.png,7\n", "line 2: x{80}: File name too long"),
        ("\nseven.png,x\n", "line 3: expected a file and a digit, such as `seven.png,7`, not `seven.png,x`"),
        ("../seven.png,7\n", r"line 2: \.\./seven.png is outside the folder"),
        ("/etc/seven.png,7\n", "line 2: /etc/seven.png is outside the folder"),
        ('seven.png,"' + "7\n" * 100_000, r"line \d+ is not CSV: field larger than field limit"),
    ],
)
def test_a_row_that_cannot_be_used_is_named(tmp_path, rows, complaint):
    with pytest.raises(DataError, match=complaint):
        labelled_pictures.load(write(tmp_path, rows))


def test_an_invalid_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"labels\.csv is missing"):
        labelled_pictures.load(tmp_path)
    (tmp_path / "labels.csv").write_text("file;label\n")
    with pytest.raises(DataError, match="must begin with the line `path,digit`"):
        labelled_pictures.load(tmp_path)


WRITTEN = {
    "Excel": "\ufeffpath,digit\r\nseven.png,7\r\n",
    "Excel with a decimal comma": "\ufeffpath;digit\r\nseven.png;7\r\n",
    "tabs": "path\tdigit\nseven.png\t7\n",
    "blank lines": "\npath,digit\n\nseven.png,7\n\n\n",
    "blank rows": "path;digit;;\r\n;;;\r\nseven.png;7;;\r\n;\r\n",
    "quotes": '"path","digit"\n"seven.png","7"\n',
    "spaces": "path, digit\nseven.png, 7 \n",
    "no end": "path,digit\nseven.png,7",
    "old Mac": "path,digit\rseven.png,7\r",
    "two files joined": "path,digit\nseven.png,7\npath,digit\n",
}


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)
def test_a_table_is_read_as_spreadsheets_and_editors_write_it(tmp_path, text):
    write(tmp_path, "")
    (tmp_path / "labels.csv").write_bytes(text.encode())
    assert labelled_pictures.load(tmp_path)[1].tolist() == [7]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("path,digit\nseven.png,7\n".encode("utf-16"), "is not text in UTF-8; Excel writes that as `CSV UTF-8`"),
        (b"path,digit\n" + bytes(30_000_000), "has more than 20,000,000 bytes"),
        (b'"' * 1_000_000, "has more than 10,000 bytes in line 1"),
        (b"path,digit\n" + b"\n" * 9_000_000, "has more than 500,000 lines"),
        (b"path,digit\nseven.png,7\n" + b"," * 9_000_000, "has more than 10,000 bytes in line 3"),
    ],
    ids=["UTF-16", "too large", "one long line", "too many lines", "a row of millions of cells"],
)
def test_a_table_of_another_kind_is_refused_with_the_reason(tmp_path, content, complaint):
    (tmp_path / "labels.csv").write_bytes(content)
    with pytest.raises(DataError, match=rf"labels\.csv {complaint}"):
        labelled_pictures.load(tmp_path)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_only_regular_files_are_opened(tmp_path, make):
    make(tmp_path / "labels.csv")
    for use in (labelled_pictures.load, Corrections):
        with pytest.raises(DataError, match=r"labels\.csv is not a regular file"):
            use(tmp_path)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("path,di", "path,digit\r\n"),
        ("path,digit\r", "path,digit\r\n"),
        ("path,digit\r\none.png,1\r\ntwo.pn", "path,digit\r\none.png,1\r\n"),
        ("path,digit\r\none.png,1\r\ntwo.png,", "path,digit\r\none.png,1\r\n"),
        ("path,digit\r\none.png,1", "path,digit\r\none.png,1\r\n"),
        ("path;digit\none.png;1\n", "path;digit\none.png;1\n"),
        ("path,digit,\r\none.png,1,", "path,digit,\r\none.png,1,\r\n"),
        ('"path","digit"\n"one.png","1', '"path","digit"\n'),
        ('path;digit\n"one.png";"1"\n"two.png";"2";"', 'path;digit\n"one.png";"1"\n'),
        ("path,digit\rone.png,1,\rtwo.png,2\r", "path,digit\rone.png,1,\rtwo.png,2\r\n"),
    ],
)
def test_the_next_row_begins_on_a_line_of_its_own(tmp_path, before, after):
    labels = tmp_path / "labels.csv"
    labels.write_bytes(before.encode())
    folder = Corrections(tmp_path)
    assert labels.read_bytes() == after.encode()
    added = folder.add(decode.to_array(draw_seven()), 7)
    delimiter = "," if "," in after else ";"
    assert labels.read_bytes() == f"{after}{added.name}{delimiter}7\r\n".encode()


@pytest.mark.parametrize(("end", "kept"), [("one.png,T-shirt", True), ("one.png,T-s", False), ("one.png,7", False)])
def test_corrections_of_other_classes_have_their_names(tmp_path, end, kept):
    labels = tmp_path / "labels.csv"
    labels.write_bytes(f"path,label\r\n{end}".encode())  # without a line end, as a kill may leave it
    folder = Corrections(tmp_path, ["T-shirt", "bag, small"])
    added = folder.add(decode.to_array(draw_seven()), "bag, small")
    rows = [(row.path.name, row.label) for row in labelled_pictures.read_rows(labels)]
    assert rows == [("one.png", "T-shirt")] * kept + [(added.name, "bag, small")]


def test_corrections_of_other_classes_do_not_go_where_digits_are(tmp_path):
    Corrections(tmp_path)
    with pytest.raises(DataError, match="must begin with the line `path,label`"):
        Corrections(tmp_path, ["T-shirt"])


def test_a_table_of_another_kind_is_not_written_to(tmp_path):
    (tmp_path / "labels.csv").write_text("my notes")
    with pytest.raises(DataError, match="must begin with the line"):
        Corrections(tmp_path)
    assert (tmp_path / "labels.csv").read_text() == "my notes"


def test_a_full_disk_leaves_no_incomplete_row_and_no_picture_without_a_row(tmp_path):
    folder = Corrections(tmp_path)
    picture = decode.to_array(draw_seven())
    for _ in range(40):  # so that the table is larger than a picture
        folder.add(picture, 7)
    before = (tmp_path / "labels.csv").read_bytes()
    if (child := os.fork()) == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 5, resource.RLIM_INFINITY))  # bytes that still fit
        try:
            folder.add(picture, 7)
        except OSError as error:
            os._exit(0 if error.filename == str(tmp_path / "labels.csv") else 2)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert (tmp_path / "labels.csv").read_bytes() == before
    assert len(list(tmp_path.glob("*.png"))) == 40


def test_what_is_left_out_of_a_folder_is_counted(tmp_path):
    write(tmp_path, "seven.png,7\npages.tif,7\n")
    draw_seven().save(tmp_path / "pages.tif", save_all=True, append_images=[draw_seven()])
    assert (
        labelled_pictures.describe_left_out(tmp_path) == "1 later page of TIFF files left out: the first one is read."
    )
    draw_seven().save(tmp_path / "unlabelled.png")
    assert labelled_pictures.describe_left_out(tmp_path).startswith("1 file left out: 1 without a row in labels.csv; ")


def test_without_files_left_out_nothing_is_reported(tmp_path):
    write(tmp_path, "./seven.png,7\n")
    assert labelled_pictures.describe_left_out(tmp_path) is None
