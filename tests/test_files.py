import os
import sys
import threading
from pathlib import Path

import pytest

from mnist_cli import files
from mnist_cli.files import lock, replacing


def test_a_file_is_written_whole_in_a_new_folder(tmp_path):
    path = tmp_path / "new" / "file"
    with replacing(path) as file:
        file.write(b"all of it")
        assert not path.exists()
    assert path.read_bytes() == b"all of it"
    assert list(path.parent.iterdir()) == [path]


def test_an_error_leaves_the_old_content_and_no_litter(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(TypeError), replacing(path) as file:
        file.write("not bytes")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_program_left_is_removed_when_it_is_old(tmp_path):
    for name, modified in {".file.1.tmp": 0, ".file.2.tmp": None, ".other.1.tmp": 0}.items():
        (tmp_path / name).touch()
        if modified is not None:
            os.utime(tmp_path / name, (modified, modified))
    with replacing(tmp_path / "file") as file:
        file.write(b"new")
    assert {path.name for path in tmp_path.iterdir()} == {"file", ".file.2.tmp", ".other.1.tmp"}


def test_a_lock_is_exclusive_until_the_file_is_closed(tmp_path):
    with open(tmp_path / "file", "wb") as mine, open(tmp_path / "file", "ab") as theirs:
        assert lock(mine.fileno())
        assert not lock(theirs.fileno())
        mine.close()
        assert lock(theirs.fileno())


def test_waiting_for_a_lock_ends_when_it_is_released(tmp_path):
    order = []

    def wait():
        with open(tmp_path / "file", "ab") as theirs:
            assert lock(theirs.fileno(), wait=True)
            order.append("theirs")

    with open(tmp_path / "file", "wb") as mine:
        assert lock(mine.fileno())
        waiting = threading.Thread(target=wait)
        waiting.start()
        order.append("mine")
    waiting.join()
    assert order == ["mine", "theirs"]


def test_only_files_are_opened_for_reading(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    with files.open_regular(tmp_path / "file") as file:
        assert file.read() == b"content"
    with pytest.raises(IsADirectoryError):
        files.open_regular(tmp_path)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(OSError, match="a pipe or a device"):
            files.open_regular(path)


def test_two_programs_with_one_process_id_do_not_share_a_temporary_file(tmp_path):
    """As in two containers that share a folder."""
    with files.replacing(tmp_path / "a") as one, files.replacing(tmp_path / "a") as other:
        assert one.name != other.name
        one.write(b"one")
        other.write(b"other")
    assert (tmp_path / "a").read_bytes() == b"one"


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert files.read_regular(path, 5) == b"12345"
    assert files.read_regular(path, 4) is None
    with path.open("wb") as sparse:
        sparse.truncate(1 << 40)  # a terabyte that takes no room
    assert files.read_regular(path, 256_000_000) is None


@pytest.mark.skipif(sys.platform != "linux", reason="for the file below /proc")
def test_an_error_of_reading_names_the_file():
    with pytest.raises(OSError, match="/proc/self/mem"):
        files.read_regular(Path("/proc/self/mem"), 100)
