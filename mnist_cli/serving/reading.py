"""What a worker process does: from the bytes of pictures to results."""

import io
from itertools import chain
from pathlib import Path

from mnist_cli.datasets.labelled_pictures import Corrections
from mnist_cli.models import backends
from mnist_cli.models.interface import Model
from mnist_cli.pictures import decode
from mnist_cli.recognition import pipeline
from mnist_cli.recognition.pipeline import Options
from mnist_cli.recognition.result import Result
from mnist_cli.serving.workers import limit_memory

MODULES = (__name__, "mnist_cli.recognition.detection")  # that every worker imports when it starts
MAX_PIXELS = 40_000_000  # of a picture
MEMORY_BYTES = 2 * 1024**3  # that a worker may allocate; reading one picture should take at most a quarter of it

_models: list[Model] = []  # the model of this process


def prepare(checkpoint: Path) -> None:
    """Load the model of this process and limit its memory."""
    decode.silence_libraries()
    loaded = backends.load(checkpoint)
    _models[:] = [loaded.model]
    if loaded.runtime.endswith("cpu"):  # drivers of other devices reserve address space, which is no memory in use
        limit_memory(MEMORY_BYTES)


def recognize(bodies: list[bytes], many: bool) -> list[Result]:
    """Return a result for each picture, or for each that cannot be read one with an error."""
    options = Options(many, max_pixels=MAX_PIXELS)
    return list(chain.from_iterable(pipeline.recognize(_models[0], bodies, options)))


def save(corrections: Corrections, digit: int, body: bytes) -> Path:
    """Save a picture as a correction and return its path; raises ImageError or OSError when that fails."""
    return corrections.add(decode.decode(io.BytesIO(body), max_pixels=MAX_PIXELS), digit)
