"""The published archives of the data sets that torchvision knows, and how they are installed in its layout.

An archive is used only if it has the published MD5, which torchvision lists too, or its content the SHA-256 that is known
of some. What is there already is not replaced.
"""

import gzip
import hashlib
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mnist_cli.datasets import mirrors, mnist_files, named_sets
from mnist_cli.datasets.mirrors import Archive, MirrorError, Progress
from mnist_cli.errors import DataError
from mnist_cli.files import replacing

MAX_BYTES = 1_000_000_000  # of an unpacked file; the largest has 548,000,000


@dataclass(frozen=True)
class Published:
    """A published archive of one file, or, of EMNIST, of all."""

    archive: Archive
    mirror: str  # the URL of its folder
    sha256: str = ""  # of its content, where it is known

    @property
    def unpacked(self) -> str:
        """The name of its content; an archive that is read packed keeps its own."""
        return self.archive.title


def _published(mirror: str, md5s: dict[str, str], sha256: Sequence[str] = ()) -> tuple[Published, ...]:
    known = sha256 or [""] * len(md5s)
    return tuple(
        Published(Archive(name, md5), mirror, content) for (name, md5), content in zip(md5s.items(), known, strict=True)
    )


def _like_mnist(*md5s: str) -> dict[str, str]:
    return dict(zip((f"{file.name}.gz" for file in mnist_files.FILES), md5s, strict=True))


FASHION_MNIST = _published(
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    _like_mnist(
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
    (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)
KMNIST = _published(
    "http://codh.rois.ac.jp/kmnist/dataset/kmnist/",
    _like_mnist(
        "bdb82020997e1d708af4cf47b453dcf7",
        "e144d726b3acfaa3e44228e80efcd344",
        "5c965bf0a639b31b8f53240b1b52f4d7",
        "7320c461ea6c1c855c0b718fb2a4b134",
    ),
)
QMNIST = _published(
    "https://raw.githubusercontent.com/facebookresearch/qmnist/master/",
    {
        "qmnist-train-images-idx3-ubyte.gz": "ed72d4157d28c017586c42bc6afe6370",
        "qmnist-train-labels-idx2-int.gz": "0058f8dd561b90ffdd0f734c6a30e5e4",
        "qmnist-test-images-idx3-ubyte.gz": "1394631089c404de565df7b7aeaf9412",
        "qmnist-test-labels-idx2-int.gz": "5b5b05890a5e13444e108efe57b788aa",
    },
)
USPS = _published(
    "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/multiclass/",
    {"usps.bz2": "ec16c51db3855ca6c91edd34d0e9b197", "usps.t.bz2": "8ea070ee2aca1ac39742fdd1ef5ed118"},
)
EMNIST = _published("https://biometrics.nist.gov/cs_links/EMNIST/", {"gzip.zip": "58c8d27c78d21e728a6bc7b3cc06412e"})
ARCHIVES = {
    "fashion-mnist": FASHION_MNIST,
    "kmnist": KMNIST,
    "qmnist": QMNIST,
    "usps": USPS,
    **{name: EMNIST for name in named_sets.SETS if name.startswith("emnist")},
}


def folder_of(name: str, data_dir: Path) -> Path:
    """Return the folder of the files of a data set, that of torchvision."""
    it = named_sets.SETS[name]
    return data_dir / it.folder / "raw" if it.folder else data_dir


def wanted(name: str, data_dir: Path, force: bool = False) -> list[Published]:
    """Return the archives of a data set whose content is not in `data_dir`, or, with `force`, all."""
    folder = folder_of(name, data_dir)
    if ARCHIVES[name] is EMNIST:
        is_there = all((folder / file).is_file() for file in _files_of_emnist(name))
        return [] if is_there and not force else list(EMNIST)
    return [one for one in ARCHIVES[name] if force or not (folder / one.unpacked).is_file()]


def download(name: str, published: Published, data_dir: Path, mirror: Sequence[str], progress: Progress) -> None:
    """Download an archive from the first `mirror` that has it, or from its own, verify and unpack it.

    Raises DataError with the reason of each mirror when none has it.
    """
    folder, reasons = folder_of(name, data_dir), []
    for url in mirror or [published.mirror]:
        try:
            with mirrors.open_part(folder / f"{published.archive.name}.part") as part:
                mirrors.fetch(url, published.archive, part, progress)
                _unpack(part, published, name, folder)
            (folder / f"{published.archive.name}.part").unlink(missing_ok=True)
            return
        except MirrorError as error:
            reasons.append(f"{url} {error}")
    raise DataError(f"{published.archive.name} of {name} could not be downloaded: {'; '.join(reasons)}")


def install_from(name: str, published: Published, data_dir: Path, source: Path) -> None:
    """Verify and unpack an archive in the folder `source`.

    Raises DataError when it is not there, or neither it nor its content is the published one.
    """
    path = source / published.archive.name
    if not path.is_file():
        raise DataError(f"{source} has no {published.archive.name} of {name}")
    with path.open("rb") as file:
        md5 = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
        if md5 != published.archive.md5 and not published.sha256:
            raise DataError(f"{path} has MD5 {md5[:12]}…, expected {published.archive.md5[:12]}…")
        try:
            _unpack(file, published, name, folder_of(name, data_dir))
        except MirrorError as error:
            raise DataError(f"{path} {error}") from error


def _unpack(file: BinaryIO, published: Published, name: str, folder: Path) -> None:
    """Write the content of an open archive to its place; raises MirrorError when it is not the published one."""
    file.seek(0)
    try:
        if published.archive.name.endswith(".zip"):
            with zipfile.ZipFile(file) as archive:
                for member in _files_of_emnist(name):
                    _write(folder / member, gzip.decompress(archive.read(f"gzip/{member}.gz")))
        elif published.archive.name.endswith(".gz"):
            with gzip.open(file) as packed:
                content = packed.read(MAX_BYTES)
            sha256 = hashlib.sha256(content).hexdigest()
            if published.sha256 and sha256 != published.sha256:
                raise MirrorError(f"has content with SHA-256 {sha256[:12]}…, expected {published.sha256[:12]}…")
            _write(folder / published.unpacked, content)
        else:
            _write(folder / published.unpacked, file.read(MAX_BYTES))
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, KeyError) as error:
        if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
            raise
        raise MirrorError(f"cannot be unpacked: {error}") from error


def _write(path: Path, content: bytes) -> None:
    with replacing(path) as file:
        file.write(content)


def _files_of_emnist(name: str) -> list[str]:
    images = named_sets.SETS[name].images
    labels = [file.replace("images-idx3", "labels-idx1") for file in images]
    return [*images, *labels]
