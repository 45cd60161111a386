"""What a worker process does: from the bytes of pictures to results."""

import io
import json
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mnist_cli.arrays import Ink
from mnist_cli.datasets.labelled_pictures import Corrections
from mnist_cli.errors import MnistError
from mnist_cli.models import backends
from mnist_cli.models.interface import Model
from mnist_cli.models.networks import Network, Unit
from mnist_cli.pictures import decode
from mnist_cli.pictures.distortions import Distortion
from mnist_cli.recognition import inspection, pipeline
from mnist_cli.recognition.pipeline import Options
from mnist_cli.recognition.predictions import classify_frames
from mnist_cli.recognition.result import Result
from mnist_cli.serving.workers import limit_memory

MODULES = (__name__, "mnist_cli.recognition.detection")  # that every worker imports when it starts
MAX_PIXELS = 40_000_000  # of a picture
MAX_INK_SIDE = 84  # px, of the ink in the response to an inspection
MEMORY_BYTES = 2 * 1024**3  # that a worker may allocate; reading one picture should take at most a quarter of it

_models: list[Model] = []  # the model of this process, and those that are compared with it
_networks: list[Network] = []  # the layers of the first


class UnknownLayersError(MnistError):
    """The layers of the model cannot be shown."""


@dataclass(frozen=True)
class Question:
    """What is to be shown of the network, and what is changed before."""

    distortion: Distortion
    off: tuple[Unit, ...]
    chosen: int | None  # the class of the evidence; None for the likeliest
    unit: Unit | None


def prepare(*checkpoints: Path) -> None:
    """Load the models of this process and limit its memory."""
    decode.silence_libraries()
    loaded = [backends.load(path) for path in checkpoints]
    _models[:] = [one.model for one in loaded]
    if all(
        one.runtime.endswith("cpu") for one in loaded
    ):  # drivers of other devices reserve address space, which is no memory in use
        limit_memory(MEMORY_BYTES)


def recognize(bodies: list[bytes], many: bool) -> list[Result]:
    """Return a result for each picture, or for each that cannot be read one with an error."""
    options = Options(many, max_pixels=MAX_PIXELS)
    return list(chain.from_iterable(pipeline.recognize(_models[0], bodies, options)))


def inspect(body: bytes, question: Question) -> bytes:
    """Return what the network computes for the digit in a picture, as JSON.

    Raises ImageError when the picture cannot be read, UnknownLayersError when the layers of the model cannot be shown, and
    ConfigError when it does not have a class or unit of the question.
    """
    model = _models[0]
    options = Options(max_pixels=MAX_PIXELS, keep_pixels=True)
    ((result,),) = pipeline.recognize(model, [body], options)
    if result.error:
        raise result.error
    threshold = float(model.rejection_threshold)
    values: dict[str, Any] = {"reason": "no ink", "label": None, "threshold": threshold}
    prediction = result.prediction
    if prediction and prediction.frame is not None and prediction.ink is not None:
        frame = question.distortion.of(prediction.frame)
        found = inspection.inspect(_network(), model.classes, frame, question.off, question.chosen, question.unit)
        is_digit = found.score >= threshold
        values["reason"] = None if is_digit else "not a digit"
        values["label"] = model.classes[int(found.logits.argmax())] if is_digit else None
        compared = [classify_frames(other, [frame])[0].probabilities for other in _models[1:]]
        values |= {"ink": _reduced(prediction.ink), **found.to_dict(), "compared": compared}
    return json.dumps(values, separators=(",", ":")).encode()


def _network() -> Network:
    """Return the layers of the model of this process, which are found when they are first asked for."""
    if not _networks:
        try:
            _networks.append(backends.network_of(_models[0]))
        except MnistError as error:
            raise UnknownLayersError(str(error)) from error
    return _networks[0]


def _reduced(ink: Ink) -> list[list[int]]:
    """Return ink as rows of levels from 0 to 255, with a margin, and at most MAX_INK_SIDE rows and columns."""
    framed = np.pad(255 * ink, max(ink.shape) // 10)
    levels = Image.fromarray(framed.round().clip(0, 255).astype(np.uint8))
    factor = -(-max(levels.size) // MAX_INK_SIDE)
    rows: list[list[int]] = np.asarray(levels.reduce(factor)).tolist()
    return rows


def save(corrections: Corrections, label: str, body: bytes) -> Path:
    """Save a picture as a correction and return its path; raises ImageError or OSError when that fails."""
    return corrections.add(decode.decode(io.BytesIO(body), max_pixels=MAX_PIXELS), label)
