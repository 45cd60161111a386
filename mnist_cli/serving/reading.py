"""What a worker does, a thread or a process of its own: from the bytes of a picture to what is in it."""

import io
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mnist_cli.arrays import Picture
from mnist_cli.datasets.labelled_pictures import Corrections
from mnist_cli.errors import ImageError
from mnist_cli.models import backends
from mnist_cli.models.interface import Model
from mnist_cli.pictures.decode import WORKING_SIZE, decode
from mnist_cli.recognition import classification, numbers
from mnist_cli.recognition.numbers import Found
from mnist_cli.recognition.predictions import Prediction

LARGEST = 40_000_000  # px

_mine = threading.local()  # the model of this worker


def start_thread(model: Model) -> None:
    """Prepare this thread to read with a model."""
    _mine.model = model


def start_process(checkpoint: Path) -> None:
    """Prepare this process to read with a model, and to end when the service does, not on its own at Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    service = multiprocessing.parent_process()
    assert service is not None
    threading.Thread(target=_end_after, args=[service.join], daemon=True).start()
    _mine.model = backends.load(checkpoint).model


def _end_after(wait: Callable[[], None]) -> None:
    wait()
    os._exit(1)


def is_ready() -> bool:
    """Return that this worker has started."""
    return True


def read_digits(bodies: list[bytes]) -> list[Prediction | ImageError]:
    """Return what is in each picture, or why it cannot be read; all that can be are classified together."""
    decoded = [_try_to_decode(body) for body in bodies]
    pictures = [picture for picture in decoded if not isinstance(picture, ImageError)]
    found = iter(classification.classify(_mine.model, pictures))
    return [picture if isinstance(picture, ImageError) else _light(next(found)) for picture in decoded]


def read_page(body: bytes) -> list[Found]:
    """Return all digits in a picture; raises ImageError when it cannot be read."""
    found = numbers.find_digits(_mine.model, decode(io.BytesIO(body), None, LARGEST))
    return [replace(one, prediction=_light(one.prediction)) for one in found]


def save(corrections: Corrections, digit: int, body: bytes) -> Path:
    """Keep a picture as a correction and return its path; raises ImageError or OSError when that cannot be."""
    return corrections.add(decode(io.BytesIO(body), WORKING_SIZE, LARGEST), digit)


def _try_to_decode(body: bytes) -> Picture | ImageError:
    try:
        return decode(io.BytesIO(body), WORKING_SIZE, LARGEST)
    except ImageError as error:
        return error


def _light(prediction: Prediction) -> Prediction:
    """Return a prediction without its ink, which nobody asks for and which is much to send to another process."""
    return replace(prediction, ink=None)
