"""For notebooks and other programs: what the commands do, with their names and defaults.

>>> import mnist_cli as mnist
>>> model = mnist.load("pretrained")
>>> model.predict("digit.png").digit
7
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_cli import config as configuration
from mnist_cli.arrays import Picture
from mnist_cli.config import PRETRAINED
from mnist_cli.datasets import data_folder, mnist_files
from mnist_cli.errors import ConfigError, ImageError
from mnist_cli.evaluation import metrics
from mnist_cli.evaluation.corruptions import CORRUPTIONS, measure
from mnist_cli.evaluation.metrics import Measured
from mnist_cli.models import backends, interface
from mnist_cli.models.backends import Loaded
from mnist_cli.pictures import decode
from mnist_cli.recognition import answers, classification, numbers
from mnist_cli.recognition.numbers import Found
from mnist_cli.recognition.predictions import Prediction
from mnist_cli.results import EpochResult
from mnist_cli.training import runs

AnyPath = str | PathLike[str]
AnyPicture = AnyPath | Image.Image | NDArray[np.generic]


@dataclass(frozen=True)
class Recognizer(Loaded):
    """A model that reads pictures: paths, Pillow images, or arrays as `as_picture` takes them."""

    def predict(self, picture: AnyPicture, *, min_confidence: float = 0.0) -> "PredictedPicture":
        """Return the digit in a picture; in a notebook the answer shows how it came about.

        Raises ImageError when it cannot be read as a picture.
        """
        pixels = as_picture(picture)
        (prediction,) = classification.classify(self.model, [pixels], min_confidence)
        return PredictedPicture(**vars(prediction), picture=pixels)

    def find_digits(self, picture: AnyPicture, *, min_confidence: float = 0.0) -> "Page":
        """Return the digits of a picture that may have several; in a notebook they are shown in it.

        Raises ImageError when it cannot be read as a picture.
        """
        pixels = as_picture(picture, longest=None)
        return Page(pixels, numbers.find_digits(self.model, pixels, min_confidence))


@dataclass(frozen=True)
class PredictedPicture(Prediction):
    """The answer for a picture, with the picture."""

    picture: Picture = field(kw_only=True, repr=False)

    def _repr_png_(self) -> bytes:
        """Show itself in a notebook: the picture, its ink, what the model saw, how likely each digit is."""
        from mnist_cli.reporting import explanations

        return explanations.to_png(explanations.draw(self.picture, self))


@dataclass(frozen=True, repr=False)
class Page:
    """A picture and the digits in it, in reading order."""

    picture: Picture
    digits: list[Found]

    @property
    def text(self) -> str:
        """What they read, line by line, with a `?` for each that has a reason."""
        return answers.text_of(self.digits)

    def __repr__(self) -> str:
        return f"Page({self.text!r})"

    def _repr_png_(self) -> bytes:
        """Show itself in a notebook."""
        from mnist_cli.reporting import explanations

        return explanations.to_png(explanations.draw_page(self.picture, self.digits))


@dataclass(frozen=True)
class Evaluated(Measured):
    """What a model said of the val images."""

    def _repr_png_(self) -> bytes:
        """Show itself in a notebook: what was taken for what."""
        from mnist_cli.reporting import figures

        return figures.to_png(figures.confusion_matrix(self.answers))


@dataclass(frozen=True)
class Trained:
    """What a training run came to."""

    path: Path  # of the checkpoint to use
    results: list[EpochResult]  # one for each epoch

    @property
    def val_accuracy(self) -> float:
        """The accuracy on the val images after the last epoch, 0 to 1."""
        return self.results[-1].val_accuracy

    def _repr_png_(self) -> bytes:
        """Show itself in a notebook: how the loss fell."""
        from mnist_cli.reporting import figures

        return figures.to_png(figures.losses(self.results))


def load(checkpoint: AnyPath = PRETRAINED, *, device: str | None = None) -> Recognizer:
    """Return the model in a checkpoint or an ONNX file, by default the one that ships with the program.

    The name of a run and `latest` will do, as for the commands. Raises CheckpointError for a file that is none, ConfigError
    when there is no such device.
    """
    return Recognizer(**vars(backends.load(runs.find_checkpoint(Path(checkpoint)), device)))


def train(
    *,
    preset: str | None = None,
    name: str | None = None,
    overwrite: bool = False,
    device: str | None = None,
    data_dir: AnyPath | None = None,
    **options: Any,
) -> Trained:
    """Train a classifier and save it after every epoch, as `mnist train` does; `options` are fields of TrainConfig.

    Raises ConfigError for an option or value that no run can have, DivergenceError when the loss is no number any more.
    """
    from mnist_cli.models import devices  # and torch with them, which pictures may not need
    from mnist_cli.reporting.run import RunReport
    from mnist_cli.training import session

    runs.check_name(name)
    config = configuration.resolve(preset, None, options)
    place = devices.choose(device, config.deterministic)
    data = data_folder.prepare(None if data_dir is None else Path(data_dir)).path
    trainer = session.prepare(config, place, data)
    run = runs.create(name, config, overwrite)
    session.train_and_save(trainer, run, RunReport(run.log_dir, trainer))
    return Trained(run.result_path, trainer.results)


def evaluate(
    checkpoint: AnyPath | Sequence[AnyPath] = PRETRAINED,
    *,
    tta: bool = False,
    corruptions: bool = False,
    device: str | None = None,
    data_dir: AnyPath | None = None,
) -> Evaluated:
    """Measure a model on the 10,000 val images, or several together, as `mnist evaluate` does with `--ensemble`.

    Raises CheckpointError for a file that holds no model, ConfigError when none is named or there is no such device.
    """
    paths = [checkpoint] if isinstance(checkpoint, str | PathLike) else list(checkpoint)
    if not paths:
        raise ConfigError("there is nothing to evaluate; name a checkpoint")
    members = [load(path, device=device).model for path in paths]
    model = interface.as_one(members, tta)
    data = data_folder.prepare(None if data_dir is None else Path(data_dir), mnist_files.SPLITS["val"]).path
    frames, labels = mnist_files.load(data, "val")
    (errors,) = measure([model], frames, labels, CORRUPTIONS if corruptions else ())
    return Evaluated(", ".join(map(str, paths)), metrics.ask(model, frames, labels), errors)


def as_picture(image: AnyPicture, longest: int | None = decode.WORKING_SIZE) -> Picture:
    """Return any picture as an array of levels, 0 = black to 255 = white, reduced to `longest` px unless that is None.

    An array is (height, width) or (height, width, 1 or 3), of numbers from 0 to 1, to 255, or to any larger one.

    Raises ImageError when it is none of these.
    """
    if isinstance(image, Image.Image):
        return decode.to_array(image, longest)
    if not isinstance(image, np.ndarray):
        return decode.read(Path(image), longest)
    if image.ndim not in {2, 3} or image.shape[2:] not in {(), (1,), (3,)} or not image.size:
        raise ImageError(f"an array of shape {image.shape} is no picture; (height, width) or (height, width, 3) is")
    levels = image.astype(np.float32)
    if not np.isfinite(levels).all() or levels.min() < 0:
        raise ImageError("an array is no picture when some of its numbers are negative or none at all")
    top = float(levels.max())
    if top > 255 or top <= 1 or (image.dtype.kind == "f" and top < 2):  # a resampled 1 may come out a little larger
        levels *= 255 / max(top, 1)
    pixels = levels.round().astype(np.uint8)
    return decode.to_array(Image.fromarray(pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels), longest)
