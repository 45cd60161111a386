import pytest

from mnist_cli.datasets import mirrors, mnist_files


@pytest.fixture
def unreachable(monkeypatch):
    """Mirrors that cannot be reached: a port of loopback on which nothing listens."""
    monkeypatch.setattr(mirrors, "known_mirrors", lambda: ["http://127.0.0.1:9/a", "http://127.0.0.1:9/b"])
    monkeypatch.setattr(mirrors, "FIRST_PAUSE_SECONDS", 0.001)


def test_a_complete_folder_is_verified_and_left_unchanged(mnist, data_dir):
    done = mnist("download")
    assert done.exit_code == 0
    assert done.stdout == ""
    assert done.stderr == f"All four files are in {mnist_files.raw_dir(data_dir)} and verified.\n"


@pytest.mark.slow
def test_without_a_network_every_mirror_is_named_and_the_bundled_copy_installed(mnist, tmp_path, unreachable):
    done = mnist("download", "--data-dir", "new")
    assert done.exit_code == 0
    start, *lines = done.stderr.splitlines()
    assert start == "Downloading 4 of 4 files from http://127.0.0.1:9/a, http://127.0.0.1:9/b."
    assert lines[0].startswith("http://127.0.0.1:9/a cannot be reached: ")
    assert lines[1].startswith("http://127.0.0.1:9/b cannot be reached: ")
    assert lines[2].endswith(" from the copy that ships with the program.")
    assert lines[3] == "All four files are in new/MNIST/raw and verified."
    assert mnist_files.find_faults(tmp_path / "new") == {}


@pytest.mark.slow
def test_offline_uses_no_network(mnist, tmp_path, monkeypatch):
    monkeypatch.setattr(mirrors, "download", None)
    assert mnist("download", "--offline", "--data-dir", "new").exit_code == 0
    assert mnist_files.find_faults(tmp_path / "new") == {}


@pytest.mark.slow
def test_force_replaces_valid_files_too(mnist, tmp_path):
    mnist("download", "--offline", "--data-dir", "new")
    labels = mnist_files.raw_dir(tmp_path / "new") / mnist_files.VAL_LABELS.name
    before = labels.stat().st_ino
    assert "verified" in mnist("download", "--offline", "--data-dir", "new").stderr
    assert labels.stat().st_ino == before
    assert mnist("download", "--offline", "--force", "--data-dir", "new").exit_code == 0
    assert labels.stat().st_ino != before


@pytest.mark.parametrize("options", [["--offline"], ["--offline", "--force"], ["--from", "new"], []])
def test_a_file_with_other_data_is_never_replaced(mnist, tmp_path, monkeypatch, options):
    monkeypatch.setattr(mirrors, "download", None)
    own = mnist_files.raw_dir(tmp_path / "new") / mnist_files.TRAIN_IMAGES.name
    own.parent.mkdir(parents=True)
    own.write_bytes(b"my own images")
    done = mnist("download", *options, "--data-dir", "new")
    assert done.exit_code == 1
    assert done.stderr == (
        "Error: new/MNIST/raw/train-images-idx3-ubyte is neither MNIST nor another IDX file of unsigned bytes and is left "
        "as it is; move it away or name another --data-dir (pictures of your own go with `mnist train --extra`)\n"
    )
    assert own.read_bytes() == b"my own images"
    assert list(own.parent.iterdir()) == [own]


def test_files_come_from_a_folder(mnist, tmp_path, data_dir):
    done = mnist("download", "--from", mnist_files.raw_dir(data_dir), "--data-dir", "new")
    assert done.exit_code == 0
    assert mnist_files.find_faults(tmp_path / "new") == {}


def test_a_folder_without_the_files_is_one_sentence(mnist, tmp_path):
    (tmp_path / "empty").mkdir()
    done = mnist("download", "--from", "empty", "--data-dir", "new")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: empty has no train-images-idx3-ubyte")


@pytest.mark.parametrize(
    "options",
    [
        ["--from", "nowhere"],
        ["--offline", "--mirror", "https://x"],
        ["--wrong"],
        ["--mirror", "nonsense"],
        ["--mirror", "file:///etc"],
        ["--mirror", "http://[bad"],
        ["--mirror", "http://h:port/"],
    ],
)
def test_wrong_usage_is_status_2(mnist, options):
    assert mnist("download", *options).exit_code == 2


@pytest.mark.slow
def test_a_file_where_the_data_folder_should_be_is_one_sentence(mnist, tmp_path):
    (tmp_path / "data").write_text("in the way")
    done = mnist("download", "--offline", "--data-dir", "data")
    assert done.exit_code == 1
    assert (
        done.stderr == "Error: data/MNIST/raw: Not a directory; move away the file that is where a folder should be\n"
    )
