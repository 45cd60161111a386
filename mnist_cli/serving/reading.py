"""What a worker does, a thread or a process of its own: from the bytes of pictures to results."""

import io
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from itertools import chain
from pathlib import Path

from mnist_cli.datasets.labelled_pictures import Corrections
from mnist_cli.models import backends
from mnist_cli.models.interface import Model
from mnist_cli.pictures import decode
from mnist_cli.recognition import pipeline
from mnist_cli.recognition.pipeline import Options
from mnist_cli.recognition.result import Result

MAX_PIXELS = 40_000_000  # of a picture

_worker = threading.local()  # has the model of this worker


def start_thread(model: Model) -> None:
    """Prepare this thread to read with a model."""
    decode.silence_libraries()
    _worker.model = model


def start_process(checkpoint: Path) -> None:
    """Prepare this process to read with a model, and to end when the service does, not on its own at Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    service = multiprocessing.parent_process()
    assert service is not None
    threading.Thread(target=_end_after, args=[service.join], daemon=True).start()
    decode.silence_libraries()
    _worker.model = backends.load(checkpoint).model


def _end_after(wait: Callable[[], None]) -> None:
    wait()
    os._exit(1)


def is_ready() -> bool:
    """Return that this worker has started."""
    return True


def recognize(bodies: list[bytes], many: bool) -> list[Result]:
    """Return a result for each picture, or for each that cannot be read one with an error."""
    options = Options(many, max_pixels=MAX_PIXELS)
    return list(chain.from_iterable(pipeline.recognize(_worker.model, bodies, options)))


def save(corrections: Corrections, digit: int, body: bytes) -> Path:
    """Save a picture as a correction and return its path; raises ImageError or OSError when that fails."""
    return corrections.add(decode.decode(io.BytesIO(body), max_pixels=MAX_PIXELS), digit)
