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

from mnist_cli import checkpoints, devices, images, predictions
from mnist_cli.config import PRETRAINED
from mnist_cli.errors import ImageError
from mnist_cli.images import Picture
from mnist_cli.models import Classifier
from mnist_cli.predictions import Found, Prediction

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
    """Return the digits of a picture that may have several, in reading order."""
    return predictions.find_digits(model, as_picture(image), min_confidence)


def as_picture(image: AnyPicture) -> Picture:
    """Return any picture as an array of levels, 0 = black to 255 = white.

    An array is (height, width) or (height, width, 1 or 3): unsigned bytes, or floats from 0 to 1 or to 255.

    Raises ImageError when it is none of these.
    """
    if isinstance(image, Image.Image):
        return images.to_array(image)
    if not isinstance(image, np.ndarray):
        return images.read(Path(image))
    levels = image.astype(np.float32)
    if levels.ndim == 2:
        levels = levels[:, :, np.newaxis]
    if levels.ndim != 3 or levels.shape[2] not in {1, 3} or not levels.size or not np.isfinite(levels).all():
        raise ImageError(f"an array of shape {image.shape} is no picture; (height, width) or (height, width, 3) is")
    whole = levels * 255 if image.dtype.kind == "b" or (image.dtype.kind == "f" and levels.max() <= 1) else levels
    return images.to_array(
        Image.fromarray(np.squeeze(whole, axis=2) if levels.shape[2] == 1 else whole.astype(np.uint8))
    )
