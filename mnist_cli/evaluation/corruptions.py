"""MNIST-C: fifteen corruptions that leave a digit readable for people, to measure the robustness of a model.

Mu and Gilmer 2019, "MNIST-C: A Robustness Benchmark for Computer Vision" (arXiv:1906.02337). Parameters and details are
those of the code that made the published images, so error rates are comparable. The random numbers differ, and glass blur
blurs in both directions, while the original code treats the columns as colour channels.

Every corruption takes images (N, 28, 28), 0 = paper to 1 = ink, and returns images of that shape, each with its own noise.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mnist_cli.arrays import FRAME, Frames
from mnist_cli.evaluation import metrics
from mnist_cli.models.interface import Model

Pixels = NDArray[np.float64]
Points = tuple[Pixels, Pixels]  # columns and rows, each (N,)
Rng = np.random.Generator

CHUNK = 200  # images corrupted at once
SEED = 0  # of the noise in `measure`, so that it is the same for every model
TINY = 1e-12  # the least divisor, which replaces a gradient of 0
MAP = 256  # px, side of the map from which a patch of fog is cut


def corrupt(frames: Frames, name: str, seed: int) -> Frames:
    """Return frames with one of CORRUPTIONS; the result depends only on the frame, its index and the seed."""
    corrupted = np.empty_like(frames)
    for start in range(0, len(frames), CHUNK):
        some = frames[start : start + CHUNK, 0] / 255
        # Random numbers are drawn for a whole chunk, so that no frame depends on the number of frames after it.
        whole = np.zeros((CHUNK, FRAME, FRAME))
        whole[: len(some)] = some
        result = CORRUPTIONS[name](whole, np.random.default_rng([seed, start]))
        corrupted[start : start + CHUNK, 0] = (result[: len(some)] * 255).round()
    return corrupted


def measure(
    models: Sequence[Model], frames: Frames, labels: NDArray[np.integer], names: Iterable[str]
) -> list[dict[str, float]]:
    """Return the error rate of each model, 0 to 1, on frames with each corruption; all models get the same noise."""
    errors: list[dict[str, float]] = [{} for _ in models]
    for name in names:
        corrupted = corrupt(frames, name, SEED)
        for model, found in zip(models, errors, strict=True):
            found[name] = 1 - metrics.predict(model, corrupted, labels).evaluation.accuracy
    return errors


def shot_noise(images: Pixels, rng: Rng) -> Pixels:
    """Poisson noise: the photon count of each pixel, with a mean of three where it is all ink."""
    return np.minimum(rng.poisson(3 * images) / 3, 1)


def impulse_noise(images: Pixels, rng: Rng) -> Pixels:
    """Salt-and-pepper noise: make 17 % of the pixels all ink or all paper."""
    hit, salt = rng.random((2, *images.shape)) < np.reshape([0.17, 0.5], (2, 1, 1, 1))
    return np.where(hit, salt, images)


def glass_blur(images: Pixels, rng: Rng) -> Pixels:
    """Blur, swap neighbouring pixels as frosted glass does, and blur again."""
    return blur(swap_neighbours(blur(images, 0.7), rng), 0.7)


def motion_blur(images: Pixels, rng: Rng) -> Pixels:
    """Blur the ink towards the left, at an angle of up to 45 degrees, as ImageMagick does."""
    angles = np.radians(rng.uniform(-45, 45, len(images)))
    steps = np.arange(21)  # px: twice the radius of 10, to one side
    weights = np.exp(-(steps**2) / (2 * 3**2))  # half of a Gaussian of 3 px
    blurred = np.zeros_like(images)
    for step, weight in zip(steps, weights / weights.sum(), strict=True):
        down, right = (np.ceil(step * part - 0.5).astype(np.int64) for part in (np.sin(angles), np.cos(angles)))
        blurred += weight * _moved(images, -down, -right)
    return blurred


def shear(images: Pixels, rng: Rng) -> Pixels:
    """Shear by 0.4 rad to the left or to the right, and stretch the height by 9 %, as in the published images."""
    angles = 0.4 * _signs(rng, len(images))
    zero, one = np.zeros(len(images)), np.ones(len(images))
    return _sampled(images, [[np.cos(angles), zero], [-np.sin(angles), one]])


def scale(images: Pixels, rng: Rng) -> Pixels:
    """Shrink to 70 %."""
    zero, factor = np.zeros(len(images)), np.full(len(images), 1 / 0.7)
    return _sampled(images, [[factor, zero], [zero, factor]])


def rotate(images: Pixels, rng: Rng) -> Pixels:
    """Rotate by 0.4 rad in either direction."""
    angles = 0.4 * _signs(rng, len(images))
    cos, sin = np.cos(angles), np.sin(angles)
    return _sampled(images, [[cos, sin], [-sin, cos]])


def brightness(images: Pixels, rng: Rng) -> Pixels:
    """Add half of the range to all pixels."""
    return np.minimum(images + 0.5, 1)


def translate(images: Pixels, rng: Rng) -> Pixels:
    """Shift by 3 px along each axis."""
    return _moved(images, 3 * _signs(rng, len(images)), 3 * _signs(rng, len(images)))


def stripe(images: Pixels, rng: Rng) -> Pixels:
    """Swap ink and paper in the left quarter and in the right one."""
    striped = images.copy()
    for quarter in (np.s_[:, :, :7], np.s_[:, :, 21:]):
        striped[quarter] = 1 - striped[quarter]
    return striped


def fog(images: Pixels, rng: Rng) -> Pixels:
    """Add a cloud, up to three times as strong as ink, and scale the sum back to the range of the image."""
    strongest: Pixels = images.max(axis=(1, 2), keepdims=True)
    return np.minimum((images + 3 * clouds(len(images), MAP, rng)) * strongest / (strongest + 3), 1)


def spatter(images: Pixels, rng: Rng) -> Pixels:
    """Cover parts of the image with grey drops of mud."""
    drops = blur(rng.normal(0.65, 0.3, images.shape), 1) > 0.65
    mud = blur(drops.astype(np.float64), 1.5)
    mud[mud < 0.8] = 0
    return images * (1 - mud) + 63 / 255 * mud


def dotted_line(images: Pixels, rng: Rng) -> Pixels:
    """Draw a dashed line from the left edge to the right one: two columns without, two columns with ink."""
    rows = rng.integers(0, FRAME - 1, (2, len(images))).astype(np.float64)
    left, right = np.zeros(len(images)), np.full(len(images), FRAME - 1.0)
    dots = np.arange(FRAME) % 4 >= 2
    return np.minimum(images + dots * draw_lines((left, rows[0]), (right, rows[1])), 1)


def zigzag(images: Pixels, rng: Rng) -> Pixels:
    """Draw a zigzag from column 2 to column 25, with an amplitude of 2 px and a corner every 4 px."""
    row, rise = rng.integers(0, FRAME - 1, len(images)), rng.integers(-5, 5, len(images))
    length = np.hypot(23, rise)
    # Coordinates along and across the line; the last corner is slightly off the line, as in the published images.
    corners: list[tuple[float | Pixels, float | Pixels]]
    corners = [(0, 0), (2, 2), (6, -2), (10, 2), (14, -2), (18, 2), (22, -2), (length, -1 / (length - 20))]
    points = [(2 + (x * 23 - y * rise) / length, row + (x * rise + y * 23) / length) for x, y in corners]
    return np.minimum(sum((draw_lines(start, end) for start, end in pairwise(points)), start=images), 1)


def canny_edges(images: Pixels, rng: Rng) -> Pixels:
    """Keep only the edges that Canny's detector finds with a Gaussian of 1 px."""
    return np.stack([_edges(image) for image in images]).astype(np.float64)


CORRUPTIONS: dict[str, Callable[[Pixels, Rng], Pixels]] = {
    "shot noise": shot_noise,
    "impulse noise": impulse_noise,
    "glass blur": glass_blur,
    "motion blur": motion_blur,
    "shear": shear,
    "scale": scale,
    "rotate": rotate,
    "translate": translate,
    "brightness": brightness,
    "stripe": stripe,
    "fog": fog,
    "spatter": spatter,
    "dotted line": dotted_line,
    "zigzag": zigzag,
    "canny edges": canny_edges,
}


def swap_neighbours(images: Pixels, rng: Rng) -> Pixels:
    """Swap pixels with a neighbour, with a probability of 3/8, in two passes."""
    flat = images.reshape(len(images), -1).T.copy()  # a row for each pixel, with all images side by side
    everyone = np.arange(len(images))
    # Offsets: to the pixel itself in five of eight cases, else to the one on the left, above, or above left.
    back = np.array([0, 0, 0, 0, 0, 1, FRAME, FRAME + 1])
    # One pixel after the other, last to first, so that some ink moves far.
    pixels = [row * FRAME + column for row in range(FRAME - 1, 1, -1) for column in range(FRAME - 1, 1, -1)]
    for _ in range(2):
        draws = rng.integers(0, len(back), (len(pixels), len(images)))
        for pixel, others in zip(pixels, np.reshape(pixels, (-1, 1)) - back[draws], strict=True):
            flat[others, everyone], flat[pixel] = flat[pixel], flat[others, everyone]
    return flat.T.reshape(images.shape)


def _signs(rng: Rng, count: int) -> NDArray[np.int64]:
    """Return -1 or 1 for each image."""
    return rng.choice([-1, 1], count)


def blur(images: Pixels, deviation: float) -> Pixels:
    """Blur by a Gaussian with this standard deviation, px."""
    return np.asarray(ndimage.gaussian_filter(images, (0, deviation, deviation), mode="nearest"))


def _moved(images: Pixels, down: NDArray[np.int64], right: NDArray[np.int64]) -> Pixels:
    """Translate each image by whole pixels, padded with paper."""
    framed = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    indices = np.arange(1, FRAME + 1)
    rows, columns = ((indices - move[:, None]).clip(0, FRAME + 1) for move in (down, right))
    moved: Pixels = framed[np.arange(len(images))[:, None, None], rows[:, :, None], columns[:, None, :]]
    return moved


def _sampled(images: Pixels, matrix: list[list[Pixels]]) -> Pixels:
    """Sample each image at `matrix` times (row, column), counted from its middle; the entries are (N,)."""
    middle = (FRAME - 1) / 2
    coordinates = np.indices((FRAME, FRAME)) - middle
    rows, columns = np.einsum("ijn,jyx->inyx", matrix, coordinates) + middle
    everyone = np.broadcast_to(np.arange(len(images))[:, None, None], images.shape)
    return np.asarray(ndimage.map_coordinates(images, [everyone, rows, columns], order=1, mode="grid-constant"))


def _edges(image: Pixels) -> NDArray[np.bool_]:
    """Return the edges of one image (28, 28), as `skimage.feature.canny(image, sigma=1)`, with which MNIST-C was made.

    Canny 1986, "A Computational Approach to Edge Detection": an edge pixel has the largest gradient along the direction of
    that gradient, of at least 0.1, and is connected to one of at least 0.2.
    """
    inside = ndimage.gaussian_filter(np.ones_like(image), 1, mode="constant")  # below 1 at the borders
    smooth = ndimage.gaussian_filter(image, 1, mode="constant") / inside
    gradient = np.stack([ndimage.sobel(smooth, axis) for axis in (0, 1)])
    magnitude = np.sqrt((gradient**2).sum(axis=0))
    step = gradient / np.abs(gradient).max(axis=0).clip(TINY)  # to the border of the eight neighbours
    edges = magnitude >= 0.1
    for offset in (step, -step):
        edges &= magnitude >= ndimage.map_coordinates(magnitude, np.indices(image.shape) + offset, order=1)
    edges[[0, -1]] = edges[:, [0, -1]] = False
    return np.asarray(ndimage.binary_propagation(edges & (magnitude >= 0.2), np.ones((3, 3)), mask=edges))


def draw_lines(start: Points, end: Points) -> Pixels:
    """Draw a straight line into each of N images, to the right.

    The ink fades with the distance along the column, and is gone after 1.45 px.
    """
    (column0, row0), (column1, row1) = ([value[:, None, None] for value in point] for point in (start, end))
    rows, columns = np.indices((FRAME, FRAME))
    distance = np.abs(rows - row0 - (row1 - row0) / (column1 - column0) * (columns - column0))
    ink = 1 + np.log1p(-np.minimum(distance, 2) / 2.3)
    return np.where((columns >= np.floor(column0)) & (columns < np.ceil(column1)), ink.clip(0), 0)


def clouds(count: int, side: int, rng: Rng) -> Pixels:
    """Return corners (N, 28, 28) of plasma fractals, each from 0 to 1 over its map of `side` px, a power of 2.

    They are made by the diamond-square algorithm (Fournier, Fussell and Carpenter 1982, "Computer rendering of
    stochastic models"): each height is the mean of the four around it, which are half a step away, plus noise.
    """
    sky = np.empty((count, FRAME, FRAME))
    for cloud in sky:  # one by one: a single map fits into the processor's cache
        heights = rng.uniform(-1, 1, (side, side))
        heights[0, 0] = 0
        step, amount = side, 1.0
        while step > 1:
            corners, middles = heights[::step, ::step], heights[step // 2 :: step, step // 2 :: step]
            tops, sides = heights[::step, step // 2 :: step], heights[step // 2 :: step, ::step]
            pairs = corners + np.roll(corners, -1, axis=0), corners + np.roll(corners, -1, axis=1)
            _set_heights(middles, amount, pairs[0] + np.roll(pairs[0], -1, axis=1))
            _set_heights(tops, amount, pairs[1] + middles + np.roll(middles, 1, axis=0))
            _set_heights(sides, amount, pairs[0] + middles + np.roll(middles, 1, axis=1))
            step, amount = step // 2, amount / 1.4**2
        low, high = heights.min(), heights.max()
        cloud[:] = (heights[:FRAME, :FRAME] - low) / (high - low)
    return sky


def _set_heights(noise: Pixels, amount: float, sum_of_four: Pixels) -> None:
    """Turn noise from -1 to 1, in place, into heights: the mean of the four neighbours plus `amount` times the noise."""
    noise *= amount
    noise += sum_of_four / 4
