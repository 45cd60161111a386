"""For notebooks and other programs: load a model, show it pictures.

>>> from mnist_cli import classify, load_model
>>> model = load_model()
>>> classify(model, "digit.png").digit
7
"""

from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_cli import checkpoints, devices, images, pages, predictions
from mnist_cli.config import PRETRAINED
from mnist_cli.errors import ImageError
from mnist_cli.images import Picture
from mnist_cli.models import Classifier
from mnist_cli.pages import Found
from mnist_cli.predictions import Prediction

AnyPicture = str | PathLike[str] | Image.Image | NDArray[np.generic]


def load_model(path: str | PathLike[str] = PRETRAINED, device: str | None = "cpu") -> Classifier:
    """Return the model in a checkpoint that `mnist train` wrote, or the one that ships with the program.

    Raises CheckpointError for a file that is none, ConfigError when there is no such device.
    """
    return checkpoints.load(Path(path)).model.to(devices.choose(device))


def classify(model: Classifier, image: AnyPicture, *, min_confidence: float = 0.0) -> Prediction:
    """Return the digit in a picture: a path, a Pillow image, or an array as `as_picture` takes.

    Raises ImageError when it cannot be read as a picture.
    """
    return predictions.classify(model, [as_picture(image)], min_confidence)[0]


def find_digits(model: Classifier, image: AnyPicture, *, min_confidence: float = 0.0) -> list[Found]:
    """Return the digits of a picture that may have several, in reading order, with the box of each in its pixels."""
    return pages.find_digits(model, as_picture(image, longest=None), min_confidence)


def as_picture(image: AnyPicture, longest: int | None = images.WORKING_SIZE) -> Picture:
    """Return any picture as an array of levels, 0 = black to 255 = white, reduced to `longest` px unless that is None.

    An array is (height, width) or (height, width, 1 or 3), of numbers from 0 to 1, to 255, or to any larger one.

    Raises ImageError when it is none of these.
    """
    if isinstance(image, Image.Image):
        return images.to_array(image, longest)
    if not isinstance(image, np.ndarray):
        return images.read(Path(image), longest)
    if image.ndim not in {2, 3} or image.shape[2:] not in {(), (1,), (3,)} or not image.size:
        raise ImageError(f"an array of shape {image.shape} is no picture; (height, width) or (height, width, 3) is")
    levels = image.astype(np.float32)
    if not np.isfinite(levels).all() or levels.min() < 0:
        raise ImageError("an array is no picture when some of its numbers are negative or none at all")
    top = float(levels.max())
    if top > 255 or top <= 1 or (image.dtype.kind == "f" and top < 2):  # a resampled 1 may come out a little larger
        levels *= 255 / max(top, 1)
    pixels = levels.round().astype(np.uint8)
    return images.to_array(Image.fromarray(pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels), longest)
