"""Random corruption of training frames, which makes the model that ships more robust.

The corruptions are large affine transforms, noise, motion and Gaussian blur, specks, lines and blots over the digit, other
backgrounds, clouds, partial inversion, and outlines. They are not those of `mnist_cli.evaluation.corruptions`, which
measure the result, but of the same families.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from torch import Tensor

from mnist_cli.arrays import FRAME

Pixels = NDArray[np.float32]  # (28, 28), 0 = paper .. 1 = ink
Rng = np.random.Generator

TWICE = 0.25  # fraction of the frames that are corrupted in two ways
FINE = 4  # px of a drawing for each pixel of a frame, for smooth edges


class CorruptingAugmenter:
    """Augments images as a Trainer's Augmenter does, and corrupts a fraction of them."""

    def __init__(self, augment: Callable[[Tensor, torch.Generator], Tensor], fraction: float) -> None:
        """Corrupt this fraction of the images that `augment` returns."""
        self.augment, self.fraction = augment, fraction

    def __call__(self, images: Tensor, generator: torch.Generator, part: Tensor | slice = slice(None)) -> Tensor:
        """Return the `part` of the augmented images as uint8 (N, 1, 28, 28); `generator`, on their device, is the only source
        of randomness.
        """
        augmented = self.augment(images, generator)
        rng = np.random.default_rng(int(torch.randint(2**31, (), generator=generator, device=images.device)))
        chosen = torch.from_numpy(rng.random(len(images)) < self.fraction).to(images.device)
        corrupted = torch.from_numpy(corrupt(augmented[chosen].cpu().numpy(), rng)).to(images.device)
        return augmented.masked_scatter(chosen.reshape(-1, 1, 1, 1), corrupted)[part]


def corrupt(frames: NDArray[np.uint8], rng: Rng) -> NDArray[np.uint8]:
    """Return the frames (N, 1, 28, 28), each with one or two corruptions."""
    corrupted = np.empty_like(frames)
    for number, frame in enumerate(frames):
        image = frame[0].astype(np.float32) / 255
        for kind in rng.choice(len(CORRUPTIONS), 1 + (rng.random() < TWICE), replace=False):
            image = CORRUPTIONS[kind](image, rng).clip(0, 1)
        corrupted[number, 0] = (image * 255).round()
    return corrupted


def moved(image: Pixels, rng: Rng) -> Pixels:
    """Rotate, shear, scale and translate by more than the preprocessing of a picture leaves."""
    angle, slant = rng.uniform(-0.5, 0.5) * rng.choice([0.3, 1]), rng.uniform(-0.5, 0.5) * (rng.random() < 0.4)
    size = np.exp(rng.uniform(-0.15, 0.5))
    matrix = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) @ [[1, 0], [slant, 1]]
    middle = (FRAME - 1) / 2
    offset = middle - matrix @ [middle, middle] + rng.uniform(-4, 4, 2)
    return np.asarray(ndimage.affine_transform(image, matrix, offset, order=1))


def noisy(image: Pixels, rng: Rng) -> Pixels:
    """Add Gaussian noise to all pixels, or Poisson noise to the ink."""
    if rng.random() < 0.5:
        return image + rng.normal(0, rng.uniform(0.05, 0.35), image.shape).astype(np.float32)
    light = rng.uniform(2, 12)
    return (rng.poisson(image * light) / light).astype(np.float32)


def specked(image: Pixels, rng: Rng) -> Pixels:
    """Replace some pixels, by black and white or by any grey."""
    grey = rng.random(image.shape)
    specks = grey > rng.uniform(0.2, 0.8) if rng.random() < 0.7 else grey
    return np.where(rng.random(image.shape) < rng.uniform(0.03, 0.25), specks, image).astype(np.float32)


def blurred(image: Pixels, rng: Rng) -> Pixels:
    """Gaussian blur, or motion blur towards one side."""
    if rng.random() < 0.4:
        return np.asarray(ndimage.gaussian_filter(image, rng.uniform(0.4, 1.6)))
    angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(2, 8)
    steps = np.linspace(rng.choice([-0.5, 0]), 1, 12) * length
    weights = np.exp(-np.abs(steps) / (length * rng.uniform(0.3, 2)))
    parts = [
        weight * ndimage.shift(image, (step * np.sin(angle), step * np.cos(angle)), order=1)
        for step, weight in zip(steps, weights / weights.sum(), strict=True)
    ]
    return np.asarray(sum(parts), dtype=np.float32)


def shuffled(image: Pixels, rng: Rng) -> Pixels:
    """Displace every pixel at random, as rough glass does."""
    places = np.indices(image.shape) + rng.normal(0, rng.uniform(0.4, 1.4), (2, *image.shape))
    seen = ndimage.map_coordinates(image, places, order=1)
    return np.asarray(ndimage.gaussian_filter(seen, rng.uniform(0, 0.9)))


def crossed_out(image: Pixels, rng: Rng) -> Pixels:
    """Draw lines over the digit, straight or with corners, solid or dashed, in ink or in paper."""
    layer = Image.new("L", (FRAME * FINE, FRAME * FINE), 0)
    pencil = ImageDraw.Draw(layer)
    for _ in range(rng.integers(1, 3)):
        corners = int(rng.integers(2, 9))
        along, (start, end) = np.linspace(rng.uniform(-0.2, 0.3), rng.uniform(0.7, 1.2), corners), rng.uniform(size=2)
        across = np.linspace(start, end, corners) + rng.choice([0, 0.06, 0.15]) * rng.normal(size=corners)
        if rng.random() < 0.3:
            along, across = across, along
        wide = round(FINE * rng.uniform(0.7, 3))
        # A solid line is a single dash; of a dashed one every second piece is drawn.
        dashes = int(rng.integers(4, 10)) if rng.random() < 0.4 else 0
        for number in range(max(1, dashes)):
            place = np.linspace(2 * number, 2 * number + 1, 4) / (2 * dashes) if dashes else np.linspace(0, 1, corners)
            x, y = (np.interp(place, np.linspace(0, 1, corners), way) * FRAME * FINE for way in (along, across))
            pencil.line(list(zip(x.tolist(), y.tolist(), strict=True)), 255, wide)
    there = np.asarray(layer.reduce(FINE), dtype=np.float32) / np.float32(255)
    return _painted(image, there, 1.0 if rng.random() < 0.8 else float(rng.uniform(0, 1)))


def blotted(image: Pixels, rng: Rng) -> Pixels:
    """Cover parts with blots of any grey."""
    rough = ndimage.gaussian_filter(rng.normal(size=image.shape), rng.uniform(0.8, 2.5))
    edge = np.quantile(rough, rng.uniform(0.75, 0.97))
    there = ((rough - edge) / rough.std() * 4).clip(0, 1)
    return _painted(image, there.astype(np.float32), float(rng.uniform(0, 1)))


def on_another_background(image: Pixels, rng: Rng) -> Pixels:
    """Reduce the contrast: paler ink, and paper up to 60 % as dark as ink."""
    background = rng.uniform(0, 0.6)
    contrast = rng.uniform(0.25, 1)
    return np.asarray(background + contrast * image ** rng.uniform(0.5, 2), dtype=np.float32)


def clouded(image: Pixels, rng: Rng) -> Pixels:
    """Add clouds, up to three times as strong as the ink, and scale the sum back to the range of a frame."""
    cloud = np.zeros(image.shape, np.float32)
    fading = rng.uniform(0.3, 0.8)  # of each layer against the one twice as coarse
    for layer, side in enumerate((2, 3, 5, 9, 17)):
        small = Image.fromarray(rng.random((side, side), dtype=np.float32))
        cloud += fading**layer * np.asarray(small.resize((FRAME, FRAME), Image.Resampling.BICUBIC))
    low, high = cloud.min(), cloud.max()
    cloud = rng.uniform(0, 0.6) + (cloud - low) / (high - low) * rng.uniform(0.2, 0.8)
    strength = rng.uniform(0.3, 3.5)
    return np.asarray((image + strength * cloud) / (1 + strength), dtype=np.float32)


def partly_inverted(image: Pixels, rng: Rng) -> Pixels:
    """Invert a band, both margins, or one side of a line."""
    kind = rng.random()
    y, x = np.mgrid[-1 : 1 : FRAME * 1j, -1 : 1 : FRAME * 1j]
    angle = rng.choice([0, np.pi / 2]) if kind < 0.7 else rng.uniform(0, 2 * np.pi)
    along = np.cos(angle) * x + np.sin(angle) * y
    first, second = np.sort(rng.uniform(-1, 1, 2))
    swapped = along < first if kind < 0.2 or kind > 0.8 else (along < min(first, -0.2)) | (along > max(second, 0.2))
    if rng.random() < 0.2:
        swapped = ~swapped
    return np.asarray(np.where(swapped, 1 - image, image))


def outlined(image: Pixels, rng: Rng) -> Pixels:
    """Keep only the outline, as dark as ink or as the gradient of the edge."""
    smooth = ndimage.gaussian_filter(image, rng.uniform(0.3, 1.2))
    if rng.random() < 0.5:
        edge = np.hypot(ndimage.sobel(smooth, 0), ndimage.sobel(smooth, 1))
        edge /= max(float(edge.max()), 1e-6)
        return np.asarray(edge if rng.random() < 0.4 else edge > rng.uniform(0.3, 0.7), dtype=np.float32)
    there = smooth > rng.uniform(0.25, 0.6)
    return np.asarray(there & ~ndimage.binary_erosion(there), dtype=np.float32)


def _painted(image: Pixels, there: Pixels, level: float) -> Pixels:
    """Blend with a constant grey by the mask `there`, 0 to 1."""
    return np.asarray(image * (1 - there) + level * there, dtype=np.float32)


CORRUPTIONS: list[Callable[[Pixels, Rng], Pixels]] = [
    moved,
    noisy,
    specked,
    blurred,
    shuffled,
    crossed_out,
    blotted,
    on_another_background,
    clouded,
    partly_inverted,
    outlined,
]
