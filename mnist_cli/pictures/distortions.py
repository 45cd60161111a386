"""Frames that are changed a little, to see what a model makes of them: thicker or thinner, rotated, blurred, noisy."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from mnist_cli.arrays import FRAME, Frame

MAX_NOISE = 1.0
MAX_BLUR = 4.0  # px
MAX_ROTATION = 180.0  # degrees
MAX_THICKNESS = 2.0  # px
ZOOM = 4  # the frame is enlarged so often before its strokes change by fractions of a pixel


@dataclass(frozen=True)
class Distortion:
    """How a frame is changed, in this order; all 0 leave it as it is."""

    thickness: float = 0.0  # px that are added to every edge of the ink, or removed
    rotation: float = 0.0  # degrees, clockwise
    blur: float = 0.0  # px, standard deviation of a Gaussian
    noise: float = 0.0  # standard deviation of a Gaussian, as a fraction of the level of ink

    def of(self, frame: Frame) -> Frame:
        """Return the changed frame; the noise is the same each time."""
        image = Image.fromarray(frame[0])
        if radius := round(ZOOM * self.thickness):
            image = _thickened(image, radius)
        if self.rotation:
            image = image.rotate(-self.rotation, Image.Resampling.BICUBIC)
        if self.blur:
            image = image.filter(ImageFilter.GaussianBlur(self.blur))
        levels = np.asarray(image, np.float64)
        if self.noise:
            levels = levels + 255 * self.noise * np.random.default_rng(0).standard_normal(levels.shape)
        return levels.clip(0, 255).round().astype(np.uint8)[np.newaxis]


def _thickened(image: Image.Image, radius: int) -> Image.Image:
    """Return a frame whose ink reaches `radius` / ZOOM px further, or less far for a negative one."""
    from scipy import ndimage  # slow to import

    large = np.asarray(image.resize((ZOOM * FRAME, ZOOM * FRAME), Image.Resampling.BICUBIC))
    reach = np.arange(-abs(radius), abs(radius) + 1)
    disk = reach[:, np.newaxis] ** 2 + reach**2 <= radius**2
    change = ndimage.grey_dilation if radius > 0 else ndimage.grey_erosion
    return Image.fromarray(change(large, footprint=disk)).reduce(ZOOM)
