import os
import struct

import pytest
from conftest import draw_seven

from mnist_cli.pictures import folders, rare_formats


def save_pages(path, count, **options):
    first, *others = [draw_seven()] * count
    first.save(path, save_all=True, append_images=others, **options)
    return str(path)


def test_pictures_are_found_and_what_is_no_picture_read_here_is_counted(tmp_path, monkeypatch):
    monkeypatch.setattr(rare_formats, "find_spec", lambda module: None)
    (tmp_path / "below").mkdir()
    for name in ("one.PNG", "below/two.jpg", ".hidden.png", "notes.txt", "a.heic", "below/b.HEIF", "c.jxl", ".d.heic"):
        (tmp_path / name).touch()
    names, left_out = folders.find(tmp_path), folders.count_left_out(tmp_path)
    assert names == [str(tmp_path / "below/two.jpg"), str(tmp_path / "one.PNG")]
    assert left_out == {"HEIC": 2, "JPEG XL": 1}
    assert folders.describe_left_out(left_out, names) == (
        '3 files left out: 2 HEIC (to read it, type: pip install "mnist-cli[heic]"), 1 JPEG XL.'
    )


def test_what_this_installation_decodes_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(rare_formats, "is_readable", lambda name: True)
    for name in ("a.heic", "b.avif"):
        (tmp_path / name).touch()
    assert folders.find(tmp_path) == [str(tmp_path / "a.heic"), str(tmp_path / "b.avif")]
    assert folders.count_left_out(tmp_path) == {}


def test_without_files_left_out_nothing_is_reported(tmp_path):
    draw_seven().save(tmp_path / "one.tif")
    assert folders.describe_left_out({}, folders.find(tmp_path)) is None


def test_later_pages_of_tiffs_are_counted(tmp_path):
    names = [save_pages(tmp_path / "three.tif", 3), save_pages(tmp_path / "big.TIFF", 2, big_tiff=True)]
    assert [folders.count_later_pages(name) for name in names] == [2, 1]
    assert folders.describe_left_out({}, names) == "3 later pages of TIFF files left out: the first one is read."
    assert folders.describe_left_out({"SVG": 1}, names[1:]) == (
        "1 file left out: 1 SVG; 1 later page of TIFF files left out: the first one is read."
    )


def endless(count):
    """A TIFF of `count` empty pages, of which the last points to the first."""
    pages = [struct.pack("<HI", 0, 8 + 6 * ((number + 1) % count)) for number in range(count)]
    return b"II*\0" + struct.pack("<I", 8) + b"".join(pages)


@pytest.mark.parametrize(
    ("content", "pages"),
    [
        (b"", 0),
        (b"II", 0),
        (b"II*\0\xff\xff\xff\xff", 0),
        (b"MM\0*\0\0\0\x08\xff\xff", 0),
        (b"II+\0\x08\0\0\0" + b"\xff" * 8, 0),
        (b"\x89PNG\r\n\x1a\n" + bytes(20), 0),
        (endless(1), 0),
        (endless(5), 4),
        (endless(100_000), folders.MAX_PAGES),
    ],
)
def test_the_pages_of_a_broken_or_hostile_tiff_are_counted_within_limits(tmp_path, content, pages):
    (tmp_path / "page.tif").write_bytes(content)
    assert folders.count_later_pages(str(tmp_path / "page.tif")) == pages


def test_a_path_that_is_not_a_file_has_no_pages(tmp_path):
    os.mkfifo(tmp_path / "pipe.tif")
    assert folders.count_later_pages(str(tmp_path / "pipe.tif")) == 0
    assert folders.count_later_pages(str(tmp_path / "gone.tif")) == 0
