import os
from pathlib import Path

import numpy as np

from mnist_cli.datasets import decode_cache


def counted():
    calls = []

    def make():
        calls.append(1)
        return {"frames": np.arange(4)}

    return calls, make


def test_what_was_made_once_is_read_from_the_file(tmp_path):
    calls, make = counted()
    for _ in range(2):
        arrays = decode_cache.load_or_make(tmp_path, Path("mine"), "key", make)
        assert arrays["frames"].tolist() == [0, 1, 2, 3]
    assert len(calls) == 1


def test_the_file_of_an_earlier_state_is_replaced_and_that_of_another_source_kept(tmp_path):
    for source, key in (("mine", "old"), ("other", "old"), ("mine", "new")):
        decode_cache.load_or_make(tmp_path, Path(source), key, counted()[1])
    assert sorted(path.name.split("-")[0] + path.stem[-4:] for path in tmp_path.iterdir()) == ["mine-new", "other-old"]


def test_a_corrupted_file_is_made_again(tmp_path):
    calls, make = counted()
    decode_cache.load_or_make(tmp_path, Path("mine"), "key", make)
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:50])
    assert len(decode_cache.load_or_make(tmp_path, Path("mine"), "key", make)["frames"]) == 4
    assert len(calls) == 2


def test_where_nothing_can_be_written_it_is_made_each_time(tmp_path):
    calls, make = counted()
    (tmp_path / "file").touch()
    for folder in (None, tmp_path / "file"):
        decode_cache.load_or_make(folder, Path("mine"), "key", make)
    assert len(calls) == 2


def test_a_changed_renamed_or_added_file_changes_the_fingerprint(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"12")
    other.write_bytes(b"12")
    before = decode_cache.fingerprint([one])
    assert before == decode_cache.fingerprint([one])
    os.utime(one, ns=(0, 1))
    prints = [before, *(decode_cache.fingerprint(paths) for paths in ([one], [other], [one, other]))]
    prints.append(decode_cache.fingerprint([one], "other settings"))
    assert len(set(prints)) == 5


def test_the_cache_is_in_data_where_that_is_and_else_in_the_cache_of_the_user(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert decode_cache.folder_for(None) == tmp_path / "cache/mnist-cli/decoded"
    Path("data").mkdir()
    assert decode_cache.folder_for(None) == Path("data/decoded")
    assert decode_cache.folder_for(tmp_path / "chosen") == tmp_path / "chosen/decoded"
