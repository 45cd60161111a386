import gzip
import hashlib
import re
import threading
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from test_array_files import idx
from test_mirrors import Mirror
from torchvision_or_skip import import_torchvision

from mnist_cli.datasets import mirrors, named_archives, named_sets
from mnist_cli.datasets.mirrors import Archive
from mnist_cli.errors import DataError

IMAGES = gzip.compress(idx(np.zeros((10, 28, 28), np.uint8)))
LABELS = gzip.compress(idx(np.arange(10, dtype=np.uint8)))


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture
def kmnist(monkeypatch):
    """KMNIST as if small archives were the published ones; returns them by their names."""
    names = [one.archive.name for one in named_archives.KMNIST]
    contents = {name: IMAGES if "images" in name else LABELS for name in names}
    published = [
        replace(one, archive=Archive(one.archive.name, md5(contents[one.archive.name])))
        for one in named_archives.KMNIST
    ]
    monkeypatch.setitem(named_archives.ARCHIVES, "kmnist", published)
    monkeypatch.setattr(mirrors, "FIRST_PAUSE_SECONDS", 0.001)
    return contents


@pytest.fixture
def serve():
    """Serve contents by their names on loopback, and return the URL of the folder."""
    servers = []

    def serve(contents):
        def answer(request, count):
            content = contents.get(request.path.rpartition("/")[2])
            request.send(content or b"", 200 if content else 404)

        servers.append(Mirror(answer))
        threading.Thread(target=servers[-1].serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return servers[-1].url

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_data_set_is_fetched_into_the_layout_of_torchvision_and_not_again(mnist, kmnist, serve, tmp_path):
    done = mnist("download", "kmnist", "--mirror", serve(kmnist), "--data-dir", "data")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr.endswith("The files of kmnist are in data/KMNIST/raw.\n")
    assert named_sets.load("kmnist", tmp_path / "data").train.labels.tolist() == list(range(10))
    assert sorted(path.suffix for path in (tmp_path / "data/KMNIST/raw").iterdir()) == [""] * 4
    assert mnist("download", "kmnist", "--mirror", serve({}), "--data-dir", "data").exit_code == 0


def test_another_content_is_refused_and_the_next_mirror_asked(mnist, kmnist, serve, tmp_path):
    other = {name: gzip.compress(b"another") for name in kmnist}
    done = mnist("download", "kmnist", "--mirror", serve(other), "--data-dir", "data")
    assert done.exit_code == 1
    assert "train-images-idx3-ubyte.gz of kmnist could not be downloaded: http://127.0.0.1:" in done.stderr
    assert "sends a train-images-idx3-ubyte.gz with MD5 " in done.stderr
    assert not list((tmp_path / "data").rglob("*ubyte"))
    both = ("--mirror", serve(other), "--mirror", serve(kmnist))
    assert mnist("download", "kmnist", *both, "--data-dir", "data").exit_code == 0


def test_an_interrupted_download_is_resumed_without_knowing_its_size(kmnist, serve, tmp_path):
    published = named_archives.ARCHIVES["kmnist"][0]
    part = named_archives.folder_of("kmnist", tmp_path) / f"{published.archive.name}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(IMAGES)
    named_archives.download("kmnist", published, tmp_path, [serve({})], lambda *received: None)  # it was complete
    assert not part.exists()


def test_a_folder_of_the_archives_will_do(mnist, kmnist, tmp_path):
    (tmp_path / "there").mkdir()
    for name, content in kmnist.items():
        (tmp_path / "there" / name).write_bytes(content)
    assert mnist("download", "kmnist", "--from", "there", "--data-dir", "data").exit_code == 0
    (tmp_path / "there/train-images-idx3-ubyte.gz").write_bytes(LABELS)
    done = mnist("download", "kmnist", "--from", "there", "--data-dir", "data", "--force")
    assert (done.exit_code, "train-images-idx3-ubyte.gz has MD5 " in done.stderr) == (1, True)


def test_where_the_content_is_known_it_may_be_packed_in_any_way(tmp_path, monkeypatch):
    content = idx(np.zeros((1, 28, 28), np.uint8))
    published = replace(named_archives.FASHION_MNIST[0], sha256=hashlib.sha256(content).hexdigest())
    path = tmp_path / published.archive.name
    path.write_bytes(gzip.compress(content, compresslevel=1))
    named_archives.install_from("fashion-mnist", published, tmp_path / "data", tmp_path)
    assert (tmp_path / "data/FashionMNIST/raw/train-images-idx3-ubyte").read_bytes() == content
    path.write_bytes(gzip.compress(content + b"x"))
    with pytest.raises(DataError, match="has content with SHA-256"):
        named_archives.install_from("fashion-mnist", published, tmp_path / "data", tmp_path)


def test_of_emnist_the_files_of_one_split_are_unpacked(tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "gzip.zip", "w") as archive:
        for split in ("letters", "digits"):
            for part in ("train", "test"):
                archive.writestr(f"gzip/emnist-{split}-{part}-images-idx3-ubyte.gz", IMAGES)
                archive.writestr(f"gzip/emnist-{split}-{part}-labels-idx1-ubyte.gz", LABELS)
    content = (tmp_path / "gzip.zip").read_bytes()
    published = replace(named_archives.EMNIST[0], archive=Archive("gzip.zip", md5(content)))
    named_archives.install_from("emnist-digits", published, tmp_path / "data", tmp_path)
    names = sorted(path.name for path in (tmp_path / "data/EMNIST/raw").iterdir())
    assert names == sorted(named_archives._files_of_emnist("emnist-digits"))
    assert named_archives.wanted("emnist-digits", tmp_path / "data") == []
    assert len(named_archives.wanted("emnist-letters", tmp_path / "data")) == 1


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("fashion-mnst",), "there is no data set 'fashion-mnst'; choose from mnist, fashion-mnist, .*did you mean"),
        (("kmnist", "--offline"), "only mnist ships with the program; leave --offline out to download kmnist"),
    ],
)
def test_what_cannot_be_fetched_is_refused(mnist, arguments, complaint):
    done = mnist("download", *arguments, "--data-dir", "data")
    assert (done.exit_code, bool(re.search(complaint, done.stderr))) == (2, True)


def test_the_published_checksums_are_those_that_torchvision_lists():
    datasets = import_torchvision().datasets
    ours = {
        name: {(one.archive.name, one.archive.md5) for one in named_archives.ARCHIVES[name]} for name in named_sets.SETS
    }
    assert ours["fashion-mnist"] == set(datasets.FashionMNIST.resources)
    assert ours["kmnist"] == set(datasets.KMNIST.resources)
    qmnist = [*datasets.QMNIST.resources["train"], *datasets.QMNIST.resources["test"]]
    assert ours["qmnist"] == {(url.rpartition("/")[2], checksum) for url, checksum in qmnist}
    assert ours["usps"] == {(name, checksum) for _, name, checksum in datasets.USPS.split_list.values()}
    assert ours["emnist-letters"] == {("gzip.zip", datasets.EMNIST.md5)}
