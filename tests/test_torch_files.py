"""Each file here could be read in two ways, or be small and become large: it is refused before it does."""

import io
import pickle
import struct
import zipfile

import pytest
import torch

from mnist_cli.models import torch_files
from mnist_cli.models.torch_files import ForeignCodeError, Storage, StoredTensor, TorchFile


def saved(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


GOOD = saved({"a": torch.arange(6.0).reshape(2, 3), "b": [1, (2.0, None), True, "x"]})


def read(content):
    return TorchFile(io.BytesIO(content)).content


def zip_of(pickled, **members):
    """Return a zip of a pickle and other members, as Python writes it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for name, inside in members.items():
            archive.writestr(f"archive/data/{name}", inside)
    return file.getvalue()


def test_plain_values_are_read_and_tensors_described():
    file = TorchFile(io.BytesIO(GOOD))
    storage = Storage("data/0", "float32", 6)
    assert file.content == {"a": StoredTensor(storage, 0, (2, 3), (3, 1)), "b": [1, (2.0, None), True, "x"]}
    assert struct.unpack("<6f", file.numbers(storage)) == (0, 1, 2, 3, 4, 5)


def test_what_python_s_zipfile_writes_is_read():
    assert read(zip_of(pickle.dumps([{}, -1], 2))) == [{}, -1]


def second_archive_behind(good):
    return good + good


def second_archive_before(good):
    """Python's zipfile reads the second; torch the first, which the end record's offset names."""
    return good[:-22] + good


def directory_moved(good):
    """The end record names another place for the directory than the one before it."""
    return good[:-6] + struct.pack("<L", 0) + good[-2:]


def hidden_between(good):
    """A gap between the last member and the directory, in which another directory would have room."""
    count, _, length, start = struct.unpack("<HHLL", good[-14:-2])
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count, count, length, start + 100, 0)
    return good[:start] + bytes(100) + good[start : start + length] + end


def other_large_directory(good):
    """Readers of the record for large zips find another directory than those of the record for small ones."""
    place = good.rindex(b"PK\6\6")
    return good[: place + 48] + struct.pack("<Q", 7) + good[place + 56 :]


def commented(good):
    return good[:-2] + struct.pack("<H", 3) + b"abc"


def renamed_in_one_place(good):
    return good.replace(b"archive/data/0", b"archive/data/1", 1)


def another_part(good):
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(file, "w") as new:
        for name in (*old.namelist(), "archive/code/run.py"):
            new.writestr(name, old.read(name) if name in old.namelist() else b"")
    return file.getvalue()


@pytest.mark.parametrize(
    "change",
    [
        second_archive_behind,
        second_archive_before,
        directory_moved,
        hidden_between,
        other_large_directory,
        commented,
        renamed_in_one_place,
        another_part,
        lambda good: b"PK" + good,
        lambda good: b"",
    ],
)
def test_a_zip_that_readers_could_interpret_differently_is_refused(change):
    with pytest.raises((ValueError, struct.error)):
        read(change(GOOD))


def test_the_same_bytes_are_not_two_members():
    """A directory that names one megabyte a thousand times is a gigabyte."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data/0", b"x")
        again = zipfile.ZipInfo("a/data/1")
        again.file_size, again.compress_size, again.CRC = 1, 1, archive.infolist()[0].CRC
        again.header_offset = 0
        archive.filelist.append(again)
    with pytest.raises(ValueError, match="not contiguous"):
        read(file.getvalue())


def test_a_changed_number_is_found_by_its_checksum():
    place = GOOD.index(struct.pack("<2f", 1, 2))
    file = TorchFile(io.BytesIO(GOOD[:place] + b"\1" + GOOD[place + 1 :]))
    with pytest.raises(ValueError, match="checksum of archive/data/0 is wrong"):
        file.numbers(Storage("data/0", "float32", 6))


def deep(count, opening, closing):
    return b"\x80\x02" + opening * count + closing * count + b"."


LONG_SHAPE = b"(" + b"K\1" * 9 + b"t"
TENSOR = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\7\0\0\0storagectorch\nFloatStorage\nX\1\0\0\x000X\3\0\0\0cpuK\1tQK\0%b\x89)tR."


@pytest.mark.parametrize(
    ("pickled", "why"),
    [
        (b"\x80\x02]q\x00(h\x00h\x00e.", "a nested item twice"),  # a list of itself; in ten steps, a billion items
        (b"\x80\x02K\1K\1\x86q\x00\x85q\x01h\x01.", "a nested item twice"),
        (b"\x80\x02]X\4\0\0\0abcdq\x01a.", "its memo consecutively"),
        (deep(1_000, b"]", b"")[:-1] + b"a" * 999 + b".", "nested more than"),
        (b"\x80\x02)" + b"\x85" * 1_000 + b".", "nested more than"),
        (b"\x80\x02}K\1\x85K\1s.", "neither a string nor a number"),
        (b"\x80\x04\x8f.", "its pickle protocol"),
        (b"\x80\x02\x8a\xff" + b"\x7f" * 255 + b".", "opcode 0x8a"),  # a whole number of hundreds of digits
        (b"\x80\x02X\xff\xff\xff\x7fabc.", "string of 2,147,483,647 bytes"),
        (b"\x80\x02K\1K\1.", "too many values"),
        (b"\x80\x02K\1.K\1.", "does not end where it should"),
        (b"\x80\x02" + b"N0" * 10, "opcode 0x30"),
        (b"\x80\x02" + b"(" * 1_000, "nested more than"),
        (TENSOR % (b"X\2\0\0\x0011)"), "no shape"),
        (TENSOR % (LONG_SHAPE + LONG_SHAPE), "9 dimensions"),
        (TENSOR % (b"J\xff\xff\xff\xff\x85K\1\x85"), "an invalid shape"),
        (TENSOR % (b"K\1\x85\x85K\1\x85"), "an invalid shape"),
        (TENSOR % (b"K\2\x85K\1\x85"), "fewer numbers than its shape requires"),
    ],
)
def test_a_pickle_of_more_than_plain_values_is_refused(pickled, why):
    with pytest.raises((ValueError, TypeError), match=why):
        read(zip_of(pickled, **{"0": bytes(4)}))


@pytest.mark.parametrize(
    ("pickled", "why"),
    [
        (b"]" + b"Na" * 500_000, "more than 1,000,000 opcodes"),
        (b"N" * 20_000, "more than 10,000 items outside of lists and dicts"),
        (b"N" + b"\x85" * 200_000, "more than 20,000 tuples and names"),
        (b"]" + b"ctorch\nFloatStorage\na" * 200_000, "more than 20,000 tuples and names"),
    ],
    ids=["without end", "stack", "tuples", "names"],
)
def test_a_pickle_of_much_work_is_abandoned(pickled, why):
    with pytest.raises(ValueError, match=why):
        read(zip_of(b"\x80\x02" + pickled))


def test_a_storage_has_as_many_numbers_as_its_bytes():
    with pytest.raises(ValueError, match="does not match its data"):
        read(zip_of(TENSOR % b"K\1\x85K\1\x85", **{"0": bytes(8)}))


def test_an_unknown_global_is_foreign_code():
    with pytest.raises(ForeignCodeError, match=r"os\.system"):
        read(zip_of(b"\x80\x02cos\nsystem\n."))


def test_a_large_pickle_is_not_read(monkeypatch):
    monkeypatch.setattr(torch_files, "MAX_PICKLE_BYTES", 1_000)
    with pytest.raises(ValueError, match="more than 1,000 bytes in addition to its weights"):
        read(zip_of(pickle.dumps("a" * 2_000, 2)))
