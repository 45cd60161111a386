"""Which folder MNIST is read from: the one that is named, else `data`, else the user's cache.

What a user names is the user's: nothing is unpacked into a folder that holds other things. The cache is ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from mnist_cli.config import DATA_DIR
from mnist_cli.datasets import mnist_files
from mnist_cli.datasets.mnist_files import FILES, IdxFile
from mnist_cli.errors import DataError


@dataclass(frozen=True)
class DataFolder:
    """Where the MNIST files are, all of them verified."""

    path: Path | None  # None stands for the copy that ships with the package, unpacked in memory
    faults: dict[IdxFile, str]  # what was wrong with each file that had to be put there


def prepare(data_dir: Path | None = None, files: Sequence[IdxFile] = FILES) -> DataFolder:
    """Make sure that `files` can be read, and return from where.

    Without a name that is `data` in the working directory if it holds MNIST, else the user's cache folder, into which
    they are unpacked once. No network is used.

    Raises DataError, with nothing written, when the folder that is named holds other things but no MNIST, or when a
    file in it is not MNIST.
    """
    if data_dir is None and not mnist_files.holds_mnist(DATA_DIR):
        return _prepare_cache(files)
    if data_dir is not None:
        _check_purpose(data_dir)
    folder = data_dir or DATA_DIR
    return DataFolder(folder, mnist_files.repair(folder, files))


def cache_dir() -> Path | None:
    """Return the folder for what this program may keep for the user, or None where there is none.

    It is `~/.cache/mnist-cli` on Linux, or in `XDG_CACHE_HOME`.
    """
    try:
        path = platformdirs.user_cache_path("mnist-cli", appauthor=False)
    except RuntimeError:  # the user has no home
        return None
    return path if path.is_absolute() else None  # as older releases of platformdirs tell that


def _prepare_cache(files: Sequence[IdxFile]) -> DataFolder:
    """Unpack what the cache lacks; without one, and on a disk that is full or read-only, memory has to do."""
    cache = cache_dir()
    if cache is None:
        return DataFolder(None, {})
    try:
        faults = mnist_files.find_faults(cache, files)
        for file in faults:
            mnist_files.install_bundled(file, cache)
    except OSError:
        return DataFolder(None, {})
    return DataFolder(cache, faults)


def _check_purpose(data_dir: Path) -> None:
    """Raise DataError when a folder holds other things but no MNIST; hidden files and begun downloads do not count."""
    if not data_dir.exists() or mnist_files.holds_mnist(data_dir):
        return
    others = (path for path in data_dir.rglob("*") if not path.is_dir() and not path.name.startswith("."))
    if all(path.name.endswith(".part") for path in others):
        return
    if any(mnist_files.packed_paths(file, data_dir) for file in FILES):
        raise DataError(
            f"{data_dir} has no MNIST/raw; if its files are MNIST, `mnist download --from {data_dir}` takes them"
        )
    raise DataError(
        f"{data_dir} holds no MNIST files; `mnist download --data-dir {data_dir}` puts them there, "
        "and `mnist train --extra` trains on pictures of your own"
    )
