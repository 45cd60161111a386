"""Writing files so that a reader, a crash or a full disk never meets half of one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` and move it to `path` when the block ends without an error.

    Folders are made as needed. The content is on the disk before the name is, so after a power cut `path` holds the
    old content or the new, whole. Raises OSError, with the temporary file removed, when it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        error.filename = str(path)  # a full disk comes without a name, and nobody knows the temporary one
        raise
    finally:
        temporary.unlink(missing_ok=True)
