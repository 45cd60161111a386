import bz2
import gzip
import io
import lzma
import os
import struct
import tarfile

import fsspec
import numpy as np
import pytest
from conftest import draw_seven

from mnist_cli.bulk import plan, shards
from mnist_cli.bulk.shards import Archive, Files
from mnist_cli.errors import DataError, ImageError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def seven():
    """The bytes of a PNG file."""
    file = io.BytesIO()
    draw_seven(40).save(file, "PNG")
    return file.getvalue()


def split(*sources, size=4_096):
    return list(plan.split(sources, size))


def names(*sources, **options):
    return [name for shard in split(*sources, **options) for name, _ in shards.read(shard)]


def tar_of(files):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return content.getvalue()


def idx_of(images):
    return struct.pack(">2xBB3I", 8, 3, *images.shape) + images.tobytes()


def test_files_are_grouped_across_folders_and_names_in_order(folder):
    for name in ("photos/b.png", "photos/a.jpg", "photos/.hidden.png", "photos/notes.md"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    found = split("z.png", "photos", "y.png", size=2)
    assert [shard.names for shard in found] == [["z.png", "photos/a.jpg"], ["photos/b.png", "y.png"]]
    assert [source for _, source in shards.read(found[0])] == [str(folder / "z.png"), str(folder / "photos/a.jpg")]


def test_there_are_many_shards_also_of_few_pictures_and_shards_have_few_pages():
    def sizes(count, **options):
        return [len(shard.names) for shard in plan.split_evenly(map(str, range(count)), **options)]

    assert sizes(130) == [64, 64, 2]
    assert sizes(64 * 64 + 1) == [128] * 32 + [1]
    assert (max(sizes(300_000)), len(sizes(300_000))) == (4_096, 74)
    assert sizes(130, many=True) == [4] * 32 + [2]
    assert max(sizes(10_000, many=True)) == 64


def test_files_are_not_joined_across_other_sources(folder):
    (folder / "some.tar").touch()
    found = plan.split_evenly(["some.tar", *map(str, range(9_000)), "some.tar", "x"])
    assert [type(shard) for shard in found] == [Archive, *[Files] * 47, Archive, Files]


def test_ranges_and_wildcards_stand_for_names_unless_a_file_has_just_this_name(folder):
    for name in ("b-2.png", "b-1.png", "[x].png", "{1..2}.png"):
        (folder / name).touch()
    assert names("a-{08..11}.png") == ["a-08.png", "a-09.png", "a-10.png", "a-11.png"]
    assert names("a-{2..1}.png") == ["a-{2..1}.png"]
    assert names("b-*.png") == ["b-1.png", "b-2.png"]
    assert names("[x].png", "{1..2}.png", "none-*.png") == ["[x].png", "{1..2}.png", "none-*.png"]


def test_a_text_file_lists_paths_of_which_some_are_not_text(folder):
    (folder / "list.txt").write_bytes(b"\xef\xbb\xbfone.png\r\n\n\xff.png\ntwo words.png")
    assert names("list.txt") == ["one.png", os.fsdecode(b"\xff.png"), "two words.png"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress])
def test_the_pictures_in_an_archive_are_read_without_unpacking_it(folder, seven, pack):
    files = {"b.png": seven, "b.cls": b"7", "a/c.PNG": seven, "a/.d.png": seven}
    (folder / "some.tar").write_bytes(pack(tar_of(files)))
    found = split("x.png", "some.tar", "y.png")
    assert [type(shard) for shard in found] == [Files, Archive, Files]
    assert list(shards.read(found[1])) == [("some.tar/b.png", seven), ("some.tar/a/c.PNG", seven)]


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
@pytest.mark.parametrize("part", [0.2, 0.7])
def test_a_truncated_archive_is_an_error_that_names_it(folder, seven, pack, part):
    whole = pack(tar_of({f"{number}.png": seven for number in range(9)}))
    (folder / "some.tar").write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(DataError, match=r"^some\.tar: "):
        names("some.tar")


def test_an_archive_that_ends_between_two_files_is_truncated(folder, seven):
    one = len(tar_of({"0.png": seven}).rstrip(b"\0"))
    (folder / "some.tar").write_bytes(tar_of({"0.png": seven, "1.png": seven})[: -(-one // 512) * 512])
    with pytest.raises(DataError, match=r"some\.tar: the archive is truncated"):
        names("some.tar")


def test_the_images_of_an_idx_file_are_split(folder):
    images = np.arange(5 * 6, dtype=np.uint8).reshape(5, 2, 3)
    (folder / "my-idx3-ubyte").write_bytes(idx_of(images))
    (folder / "my-idx3-ubyte.gz").write_bytes(gzip.compress(idx_of(images)))
    for name in ("my-idx3-ubyte", "my-idx3-ubyte.gz"):
        found = split(name, size=2)
        pictures = [picture for shard in found for picture in shards.read(shard)]
        assert len(found) == 3
        assert [picture for picture, _ in pictures] == [f"{name}#{index}" for index in range(5)]
        assert np.array_equal([image for _, image in pictures], images)


def test_the_rows_of_a_parquet_file_are_split_by_row_groups(folder, seven):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")
    table = pa.table({"label": [7, 7, 7], "image": [{"bytes": seven, "path": "x"}, None, {"bytes": None, "path": "y"}]})
    pq.write_table(table, folder / "a.parquet", row_group_size=1)
    assert len(split("a.parquet", size=2)) == 2
    assert names("a.parquet", size=2) == ["a.parquet#0", "a.parquet#1", "a.parquet#2"]
    (_, first), (_, second) = shards.read(split("a.parquet", size=2)[0])
    assert first == seven
    assert isinstance(second, ImageError)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"label": [7]}, "no column holds the bytes of pictures.*label"),
        ({"a": [b"x"], "b": [b"y"]}, "several columns hold bytes.*must be called image"),
    ],
)
def test_a_parquet_file_without_one_column_of_pictures_is_refused(folder, columns, reason):
    pa = pytest.importorskip("pyarrow")
    pytest.importorskip("pyarrow.parquet").write_table(pa.table(columns), folder / "a.parquet")
    with pytest.raises(DataError, match=rf"^a\.parquet: {reason}"):
        split("a.parquet")


@pytest.mark.parametrize("name", ["a.tar", "a.parquet", "a-idx3-ubyte", "a.txt"])
def test_a_source_of_many_pictures_that_is_missing_or_something_else_is_an_error(folder, name):
    with pytest.raises(DataError, match=rf"^{name}: there is no such file$"):
        split(name)
    if not name.endswith("txt"):
        (folder / name).write_bytes(b"neither this nor that")
        with pytest.raises(DataError, match=rf"^{name}: "):
            names(name)


def test_what_is_elsewhere_is_read_through_fsspec(seven):
    memory = fsspec.filesystem("memory")
    for name, content in {
        "/here/b.png": seven,
        "/here/a.png": seven,
        "/here/.c.png": seven,
        "/here/d.md": b"",
        "/here/some.tar": tar_of({"e.png": seven}),
    }.items():
        memory.pipe(name, content)
    try:
        assert names("memory://here") == ["memory:///here/a.png", "memory:///here/b.png"]
        assert names("memory://here/*.png")[-2:] == ["memory:///here/a.png", "memory:///here/b.png"]
        assert names("memory://here/s*.tar", "memory://here/{1..1}.png") == [
            "memory:///here/some.tar/e.png",
            "memory://here/1.png",
        ]
        (missing,) = split("memory://here/none.png")
        ((_, error),) = shards.read(missing)
        assert str(error) == "there is no such file"
    finally:
        memory.rm("/here", recursive=True)


def test_a_kind_of_url_that_nothing_reads_is_an_error():
    with pytest.raises(DataError, match=r"carrier-pigeon://x/a\.tar: "):
        names("carrier-pigeon://x/a.tar")


def test_the_names_of_many_files_are_small():
    (shard,) = split(*(f"folder/of/pictures/{number:06}.png" for number in range(4_000)))
    assert len(shard.packed) < 40_000
