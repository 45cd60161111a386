"""The images of pictures and tables, kept in a file, so that they are decoded once.

A file is used as long as what it was made from has the same names, sizes and times of change.
"""

import hashlib
import os
import re
import zipfile
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from mnist_cli.config import DATA_DIR
from mnist_cli.datasets import data_folder
from mnist_cli.files import replacing
from mnist_cli.version import __version__

FOLDER = "decoded"

Arrays = Mapping[str, Any]  # arrays by their names


def folder_for(data_dir: Path | None) -> Path | None:
    """Return the folder of the cache: in a `data_dir` of the user's choice, else in `data` if it is there, else in the user's cache."""
    cache = data_folder.cache_dir()
    is_chosen = data_dir is not None and data_dir != cache  # in which MNIST is where no folder was named
    parent = data_dir if is_chosen else DATA_DIR if DATA_DIR.is_dir() else cache
    return parent and parent / FOLDER


def fingerprint(paths: Iterable[Path], *settings: object) -> str:
    """Return a hash of the names, sizes and times of change of files, and of what else determines their images."""
    hashed = hashlib.sha256(repr((__version__, settings)).encode())
    for path in paths:
        with suppress(OSError):  # whoever reads it reports the error
            found = os.stat(path)
            hashed.update(f"{path}\0{found.st_size} {found.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return hashed.hexdigest()[:32]


def load_or_make(folder: Path | None, source: Path, key: str, make: Callable[[], Arrays]) -> Arrays:
    """Return the arrays that `make` returns, from the file of an earlier call with this `key` if there is one.

    Where nothing can be written, they are made each time. What was made of an earlier state of `source` is removed.
    """
    if folder is None:
        return make()
    stem = f"{re.sub(r'[^A-Za-z0-9]', '-', source.name)[:40]}-{hashlib.sha256(os.fsencode(source.absolute())).hexdigest()[:8]}"
    path = folder / f"{stem}-{key}.npz"
    with suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile), path.open("rb") as file:
        return dict(np.load(file, allow_pickle=False))
    arrays = make()
    with suppress(OSError):
        for former in folder.glob(f"{stem}-*.npz"):
            former.unlink()
        with replacing(path) as file:
            np.savez(file, **arrays)
    return arrays
