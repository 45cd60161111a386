import gzip
import lzma
import os
import shutil
import struct

import pytest

from mnist_cli.datasets import mnist_files
from mnist_cli.errors import DataError

LABELS = mnist_files.VAL_LABELS  # the smallest file


@pytest.fixture
def labels(data_dir):
    return mnist_files.read(data_dir, LABELS)


@pytest.fixture
def copy(data_dir, tmp_path):
    """A data folder for tests that corrupt its files."""
    return shutil.copytree(data_dir, tmp_path / "copy")


def test_the_bundled_copy_is_the_published_data(data_dir):
    assert mnist_files.find_faults(data_dir) == {}


@pytest.mark.slow
def test_repair_of_an_empty_folder_unpacks_all_four(tmp_path):
    faults = mnist_files.repair(tmp_path)
    assert set(faults) == set(mnist_files.FILES)
    assert set(faults.values()) == {"is missing"}
    assert mnist_files.find_faults(tmp_path) == {}


@pytest.mark.parametrize(
    ("damage", "fault"),
    [
        (lambda content: bytes(len(content)), "has SHA-256 .*, expected ff7bcfd416de"),
        (lambda content: content[:100], "has 100 bytes, expected 10,008"),
        (lambda content: content[:5_000] + bytes(len(content) - 5_000), "has SHA-256"),
        (lambda content: b"", "has 0 bytes"),
        (lambda content: content + b"x", "has more than 10,008 bytes"),
        (gzip.compress, "has [0-9,]+ bytes, expected 10,008"),
        (lambda content: gzip.compress(content)[:-100], "has [0-9,]+ bytes, expected 10,008"),
    ],
    ids=["zeros", "truncated", "rest of zeros", "empty", "too long", "still packed", "half an archive"],
)
def test_a_corrupted_file_is_refused_by_name_and_repaired(copy, damage, fault):
    path = mnist_files.raw_dir(copy) / LABELS.name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=f"{LABELS.name} {fault}.*mnist download"):
        mnist_files.read(copy, LABELS)
    assert list(mnist_files.repair(copy)) == [LABELS]
    assert mnist_files.find_faults(copy) == {}


def inverted(content):
    return content[:8] + bytes(9 - label for label in content[8:])


@pytest.mark.parametrize(
    ("own", "complaint"),
    [
        (inverted, "is an IDX file of 10,000 bytes other than MNIST's"),
        (lambda content: content[:9] + b"\3" + content[10:], "is an IDX file of 10,000 bytes other than MNIST's"),
        (lambda content: content + content[8:], "is an IDX file"),
        (lambda content: gzip.compress(inverted(content)), "is neither MNIST nor another IDX file"),
        (lambda content: gzip.compress(content + bytes(50_000_000)), "is neither MNIST nor another IDX file"),
        (lambda content: gzip.compress(content) + b"my notes", "is neither MNIST nor another IDX file"),
        (lambda content: gzip.compress(content)[:10], "is neither MNIST nor another IDX file"),
        (lambda content: bytes(len(content) + 784) + b"my notes", "is neither MNIST nor another IDX file"),
        (lambda content: b"\x1f\x8b and no archive", "is neither MNIST nor another IDX file"),
        (lambda content: b"my notes", "is neither MNIST nor another IDX file"),
    ],
    ids=[
        "inverted",
        "one label corrected",
        "more labels",
        "packed",
        "packed zeros",
        "packed with notes",
        "packed nothing",
        "zeros and notes",
        "no archive",
        "notes",
    ],
)
def test_a_file_with_other_data_is_refused_and_left_unchanged(copy, own, complaint):
    path = mnist_files.raw_dir(copy) / LABELS.name
    content = own(path.read_bytes())
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{LABELS.name} {complaint}.* left as it is; move it away .*--extra"):
        mnist_files.repair(copy)
    assert path.read_bytes() == content


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_a_path_that_is_not_a_regular_file_is_neither_read_nor_replaced(copy, make):
    path = mnist_files.raw_dir(copy) / LABELS.name
    path.unlink()
    make(path)
    assert mnist_files.find_faults(copy) == {LABELS: "is not a regular file"}
    for use in (lambda: mnist_files.read(copy, LABELS), lambda: mnist_files.repair(copy)):
        with pytest.raises(DataError, match=f"{LABELS.name} is not a regular file"):
            use()
    assert not path.is_file()


def test_the_size_of_a_file_is_looked_at_before_its_content(copy):
    path = mnist_files.raw_dir(copy) / LABELS.name
    os.truncate(path, 4 << 40)  # bytes, which would take an hour to hash
    assert mnist_files.find_faults(copy) == {LABELS: "has more than 10,008 bytes"}
    with pytest.raises(DataError, match="has more than 10,008 bytes"):
        mnist_files.read(copy, LABELS)
    with pytest.raises(DataError, match="left as it is"):
        mnist_files.repair(copy)


def test_without_a_folder_the_bundled_copy_is_read(labels):
    assert mnist_files.read(None, LABELS) == labels


def test_the_error_for_a_missing_file_says_what_to_type(tmp_path):
    with pytest.raises(DataError, match="is missing; run `mnist download`"):
        mnist_files.read(tmp_path, LABELS)


@pytest.mark.parametrize(("suffix", "pack"), [("", bytes), (".gz", gzip.compress), (".xz", lzma.compress)])
@pytest.mark.parametrize("layout", ["", "MNIST/raw"], ids=["flat", "torchvision"])
@pytest.mark.parametrize("name", ["t10k-labels-idx1-ubyte", "t10k-labels.idx1-ubyte"], ids=["new name", "old name"])
def test_a_file_is_taken_from_a_folder_however_it_is_packed(tmp_path, labels, suffix, pack, layout, name):
    folder = tmp_path / "from" / layout
    folder.mkdir(parents=True)
    (folder / f"{name}{suffix}").write_bytes(pack(labels))
    mnist_files.install_from_folder(LABELS, tmp_path / "data", tmp_path / "from")
    assert mnist_files.read(tmp_path / "data", LABELS) == labels


@pytest.mark.parametrize(
    ("suffix", "content", "message"),
    [
        (".gz", b"not gzip", "cannot be unpacked"),
        (".gz", gzip.compress(bytes(10_008))[:-20], "cannot be unpacked"),
        (".xz", b"not xz", "cannot be unpacked"),
        (".gz", gzip.compress(bytes(50_000_000)), "has more than 10,008 bytes"),
        ("", b"short", "has 5 bytes"),
    ],
    ids=["no gzip", "half a gzip", "no xz", "gzip bomb", "short"],
)
def test_a_bad_file_in_a_folder_is_named_and_not_installed(tmp_path, suffix, content, message):
    (tmp_path / f"{LABELS.name}{suffix}").write_bytes(content)
    with pytest.raises(DataError, match=f"{LABELS.name}.* {message}"):
        mnist_files.install_from_folder(LABELS, tmp_path / "data", tmp_path)
    assert not mnist_files.raw_dir(tmp_path / "data").exists()


def test_a_folder_without_the_file_says_which_names_it_may_have(tmp_path):
    with pytest.raises(DataError, match=f"has no {LABELS.name}, {LABELS.name}.gz or"):
        mnist_files.install_from_folder(LABELS, tmp_path / "data", tmp_path)


def test_parse_reads_the_big_endian_header():
    raw = struct.pack(">BBBBII", 0, 0, 8, 2, 2, 3) + bytes(range(6))
    assert mnist_files.parse(raw, "file").tolist() == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "not an IDX file"),
        (b"\x89PNG\r\n", "not an IDX file"),
        (struct.pack(">BBBBI", 0, 0, 13, 1, 1) + bytes(4), "not an IDX file"),
        (struct.pack(">BBBB", 0, 0, 8, 3), "ends inside its header"),
        (struct.pack(">BBBBI", 0, 0, 8, 1, 4_000_000_000), "has 0 values, its header says 4,000,000,000"),
        (struct.pack(">BBBBI", 0, 0, 8, 1, 3) + bytes(4), "has 4 values, its header says 3"),
    ],
    ids=["empty", "another format", "floats", "no axes", "absurd", "too long"],
)
def test_parse_names_the_file_and_what_is_wrong(raw, message):
    with pytest.raises(DataError, match=f"some-file .*{message}"):
        mnist_files.parse(raw, "some-file")
