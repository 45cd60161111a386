"""Which folder MNIST is read from: the one that is named, else `data`, else the user's cache folder.

Nothing is written into a named folder that holds other files. In its cache folder the program replaces what is invalid.
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
    """A folder with verified MNIST files."""

    path: Path | None  # None stands for the copy that ships with the package, unpacked in memory
    faults: dict[IdxFile, str]  # what was wrong with each file that was written there


def prepare(data_dir: Path | None = None, files: Sequence[IdxFile] = FILES) -> DataFolder:
    """Make sure that `files` can be read, and return from where.

    Without `data_dir` they are read from `data` in the working directory if it holds MNIST, else from the user's cache
    folder, into which they are unpacked once. No network is used.

    Raises DataError, with nothing written, when `data_dir` holds other files but no MNIST, or when a file with the name
    of an MNIST file holds other data.
    """
    if data_dir is None and not mnist_files.holds_mnist(DATA_DIR):
        return _prepare_cache(files)
    if data_dir is not None:
        _check_purpose(data_dir)
    folder = data_dir or DATA_DIR
    return DataFolder(folder, mnist_files.repair(folder, files))


def cache_dir() -> Path | None:
    """Return this program's folder in the user's cache, or None where there is no such folder.

    It is `~/.cache/mnist-cli` on Linux, or in `XDG_CACHE_HOME`.
    """
    try:
        path = platformdirs.user_cache_path("mnist-cli", appauthor=False)
    except RuntimeError:  # the user has no home
        return None
    return path if path.is_absolute() else None  # without a home, older releases of platformdirs return a relative path


def _prepare_cache(files: Sequence[IdxFile]) -> DataFolder:
    """Unpack what the cache lacks; without a cache, or on a disk that is full or read-only, use the copy in memory."""
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
    """Raise DataError when a folder holds other files but no MNIST; hidden files and partial downloads do not count."""
    if not data_dir.exists() or mnist_files.holds_mnist(data_dir):
        return
    others = (path for path in data_dir.rglob("*") if not path.is_dir() and not path.name.startswith("."))
    if all(path.name.endswith(".part") for path in others):
        return
    if any(mnist_files.packed_paths(file, data_dir) for file in FILES):
        raise DataError(
            f"{data_dir} has no MNIST/raw; if its files are MNIST, `mnist download --from {data_dir}` installs them"
        )
    raise DataError(
        f"{data_dir} holds no MNIST files; `mnist download --data-dir {data_dir}` writes them there, "
        "and `mnist train --extra` trains on pictures of your own"
    )
