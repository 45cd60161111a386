import os
import struct

import pytest

from mnist_cli.config import DATA_DIR
from mnist_cli.datasets import data_folder, dataset, mnist_files
from mnist_cli.errors import DataError

VAL = mnist_files.SPLITS["val"]


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """An empty folder to work in, and a cache of its own that is not there yet."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mnist-cli"


def files_below(folder):
    return sorted(path for path in folder.rglob("*") if not path.is_dir())


def test_without_a_name_the_files_are_unpacked_once_into_the_users_cache(cache, tmp_path):
    first = data_folder.prepare(files=VAL)
    assert first.path == cache
    assert set(first.faults) == set(VAL)
    assert data_folder.prepare(files=VAL) == data_folder.DataFolder(cache, {})
    assert list((tmp_path / "work").iterdir()) == []


def test_data_in_the_working_directory_is_used_where_mnist_is_in_it(cache):
    mnist_files.repair(DATA_DIR, VAL)
    assert data_folder.prepare(files=VAL) == data_folder.DataFolder(DATA_DIR, {})
    assert not cache.exists()


def test_data_in_the_working_directory_with_other_things_is_left_alone(cache):
    DATA_DIR.mkdir()
    (DATA_DIR / "measurements.csv").write_text("1,2\n")
    assert data_folder.prepare(files=VAL).path == cache
    assert files_below(DATA_DIR) == [DATA_DIR / "measurements.csv"]


def test_invalid_files_in_the_cache_are_always_replaced(cache):
    data_folder.prepare(files=VAL)
    labels = mnist_files.raw_dir(cache) / VAL[1].name
    labels.write_bytes(struct.pack(">BBBBI", 0, 0, 8, 1, 10_000) + bytes([3]) * 10_000)
    assert list(data_folder.prepare(files=VAL).faults) == [VAL[1]]
    assert mnist_files.find_faults(cache, VAL) == {}


def in_the_way(tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file where a folder should be")


def no_home(tmp_path, monkeypatch):
    """As in a container whose user has no entry in the system's user database."""
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", {}.__getitem__)


def a_folder_where_a_file_should_be(tmp_path, monkeypatch):
    (mnist_files.raw_dir(tmp_path / "cache" / "mnist-cli") / VAL[0].name / "full").mkdir(parents=True)


@pytest.mark.parametrize("obstacle", [in_the_way, no_home, a_folder_where_a_file_should_be])
def test_without_a_writable_cache_the_copy_in_memory_is_used(tmp_path, monkeypatch, val, obstacle):
    obstacle(tmp_path, monkeypatch)
    folder = data_folder.prepare(files=VAL)
    assert folder.path is None
    assert dataset.load(folder.path, "val").images.equal(val.images)
    assert list((tmp_path / "work").iterdir()) == []


@pytest.mark.parametrize("is_there", [False, True])
def test_a_named_folder_may_be_new_or_empty(cache, tmp_path, is_there):
    named = tmp_path / "named"
    if is_there:
        mnist_files.raw_dir(named).mkdir(parents=True)
        (named / ".hidden").touch()
        mnist_files.part_path(named, VAL[0]).touch()  # of a download that was stopped
    assert data_folder.prepare(named, VAL).path == named
    assert mnist_files.find_faults(named, VAL) == {}
    assert not cache.exists()


def test_a_named_folder_of_other_things_is_refused_and_nothing_written(tmp_path):
    pictures = tmp_path / "MY-PICTURES"
    pictures.mkdir()
    (pictures / "seven.png").touch()
    with pytest.raises(DataError, match=r"MY-PICTURES holds no MNIST files; `mnist download .*--extra"):
        data_folder.prepare(pictures)
    assert files_below(tmp_path) == [pictures / "seven.png"]


def test_a_named_folder_of_mnist_in_another_layout_says_how_to_take_it(tmp_path, data_dir):
    (tmp_path / "train-images.idx3-ubyte").symlink_to(mnist_files.raw_dir(data_dir) / "train-images-idx3-ubyte")
    with pytest.raises(DataError, match=r"has no MNIST/raw.*mnist download --from"):
        data_folder.prepare(tmp_path)


def test_beside_files_of_other_data_nothing_is_unpacked(tmp_path):
    fashion = mnist_files.raw_dir(tmp_path / "named") / mnist_files.TRAIN_LABELS.name
    fashion.parent.mkdir(parents=True)
    fashion.write_bytes(struct.pack(">BBBBI", 0, 0, 8, 1, 60_000) + bytes(range(10)) * 6_000)
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte is an IDX file of 60,000 bytes other than MNIST's"):
        data_folder.prepare(tmp_path / "named", VAL)
    assert files_below(tmp_path) == [fashion]


def test_two_programs_that_unpack_at_once_both_succeed(cache):
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            folder = data_folder.prepare(files=VAL)
            os._exit(0 if mnist_files.find_faults(folder.path, VAL) == {} else 1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0, 0]
    assert {path.name for path in files_below(cache)} == {file.name for file in VAL}
