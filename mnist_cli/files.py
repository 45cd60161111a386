"""Opening regular files only, and writing files atomically: no reader, crash or full disk ever leaves half of one."""

import errno
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None  # type: ignore[assignment]

STALE_SECONDS = 3600  # the age of a temporary file that a killed program left: no file takes so long to write


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading; a pipe or device, which may have no end, raises OSError, and a folder IsADirectoryError."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    mode = os.fstat(descriptor).st_mode
    if stat.S_ISREG(mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    raise OSError(errno.EINVAL, "this is not a file but a pipe or a device", str(path))


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Have an OSError in the block name the file, which those of reading and writing do not."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


def read_regular(path: Path, max_bytes: int) -> bytes | None:
    """Return the content of a file, or None when it has more than `max_bytes`: then it is not read.

    Raises OSError, which names the file, as `open_regular` does and when it cannot be read.
    """
    with open_regular(path) as file, naming(path):
        if os.fstat(file.fileno()).st_size > max_bytes:
            return None
        content = file.read(max_bytes + 1)
    return content if len(content) <= max_bytes else None


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` and move it to `path` when the block ends without an error.

    Folders are made as needed. The content is flushed to the disk before the file is renamed, so after a power cut `path`
    holds the complete old content or the complete new one. Raises OSError, with the temporary file removed, when it
    cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_stale(path)
    # Process ids are not enough: two containers that share a folder may have the same ones.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with naming(path):  # for nobody knows the temporary one
            with temporary.open("xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def check_folder(folder: Path) -> None:
    """Make a folder and check that it can be written to, before the computation whose result goes there.

    Raises OSError when it cannot be made or written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with naming(folder), tempfile.TemporaryFile(dir=folder):
        pass


def lock(descriptor: int, wait: bool = False) -> bool:
    """Lock an open file or folder until this process closes it or ends; return False when another process has the lock.

    With `wait`, wait for the lock. Where the system or the disk has no locks, every process gets True.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def _remove_stale(path: Path) -> None:
    """Remove the temporary files of processes that were killed while writing `path`."""
    with suppress(OSError):
        for entry in os.scandir(path.parent):
            is_temporary = entry.name.startswith(f".{path.name}.") and entry.name.endswith(".tmp")
            if is_temporary and entry.stat().st_mtime < time.time() - STALE_SECONDS:
                os.unlink(entry)
