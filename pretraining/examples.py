"""The training examples of the model that ships: frames of simulated pictures, with their labels."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from mnist_cli.arrays import Frame
from mnist_cli.datasets import dataset
from mnist_cli.datasets.dataset import Digits
from mnist_cli.errors import ImageError
from mnist_cli.pictures import binarize, decode, normalize
from pretraining import pages, strokes
from pretraining.strokes import Mask

NOT_A_DIGIT = 10  # the label of negative examples
CHUNK = 500  # pictures that a process makes at a time
MIN_INK = 8  # px, of a symbol
PRINTED = 0.08  # fraction of the digits drawn by program that are set in a typeface
# The correlation with the true frame above which a candidate is a positive example, and below which a negative one.
MIN_POSITIVE, MAX_NEGATIVE = 0.75, 0.5
# Halves of digits, and quarter turns of digits, that are not digits.
HALVES = {2: ("left", "right"), 3: ("left",), 5: ("left", "right"), 6: ("right",), 8: ("left",)}
TURNED = {2: (1, 3), 3: (1, 3), 4: (1, 2), 5: (1, 3), 7: (1, 3)}


@dataclass(frozen=True)
class Mixture:
    """How many pictures of each kind to make."""

    mnist: int
    drawn: int  # digits drawn by program
    small: int  # thumbnails, half of MNIST's digits and half of drawn ones
    writing: int  # letters and other writing that is not a digit
    non_writing: int  # shapes, textures and scribbles


def make(digits: Digits, mixture: Mixture, seed: int, processes: int) -> Digits:
    """Return frames of simulated pictures, labelled 0 to 9 or NOT_A_DIGIT; the same seed makes the same frames."""
    pixels, labels = digits.images[:, 0].numpy(), digits.labels.numpy()
    rng = np.random.default_rng(seed)
    kinds = [kind for kind, count in asdict(mixture).items() for _ in range(count)]
    indices = np.resize(rng.permutation(len(labels)), len(kinds))
    tasks = [(kind, int(labels[index]), pixels[index]) for kind, index in zip(kinds, indices, strict=True)]
    chunks = [tasks[start : start + CHUNK] for start in range(0, len(tasks), CHUNK)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        parts = list(pool.map(_make_chunk, chunks, range(seed << 20, (seed << 20) + len(chunks))))
    frames, shown = (np.concatenate(part) for part in zip(*parts, strict=True))
    return dataset.from_arrays(frames, shown)


def _make_chunk(
    tasks: list[tuple[str, int, NDArray[np.uint8]]], seed: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    frames: list[Frame] = []
    labels: list[int] = []
    for kind, label, image in tasks:
        for frame, shown in _examples(kind, label, image.astype(np.float32) / np.float32(255), rng):
            frames.append(frame)
            labels.append(shown)
    return np.stack(frames), np.array(labels)


def _examples(kind: str, label: int, mask: Mask, rng: np.random.Generator) -> list[tuple[Frame, int]]:
    """Return some of the candidate frames of a simulated picture, with their labels."""
    symbol = mask
    if kind == "writing":
        symbol = _writing(label, mask, rng)
    elif kind == "non_writing":
        symbol = _non_writing(rng)
    elif kind == "drawn":
        symbol = strokes.printed(str(label), rng) if rng.random() < PRINTED else strokes.digit(label, rng)
    elif kind == "small" and rng.random() < 0.5:
        symbol = strokes.digit(label, rng)
    if (symbol > 0.5).sum() < MIN_INK:
        return []
    conditions = [pages.thumbnail] if kind == "small" else list(pages.CONDITIONS.values())
    if kind == "non_writing" and rng.random() < 0.4:  # pages are of no use for them
        conditions = [pages.as_mnist, pages.fills_the_frame]
    picture = conditions[rng.integers(len(conditions))](symbol, rng)
    limit = 1 if kind in {"small", "writing"} else None  # a part of the writing may look like a digit
    try:
        found = [normalize.draw(ink) for ink in islice(binarize.candidates(decode.to_array(picture)), limit)]
    except ImageError:
        return []
    if kind == "small":
        return [(found[0], label)]
    if kind == "writing":
        return [(found[0], NOT_A_DIGIT)]
    if kind == "non_writing":
        return [(frame, NOT_A_DIGIT) for frame in _some(found, 3, rng)]
    true = normalize.draw(np.where(symbol < 0.1, 0, symbol).astype(np.float32))
    correlations = np.array([correlation_of(frame, true) for frame in found])
    right = [frame for frame, correlation in zip(found, correlations, strict=True) if correlation > MIN_POSITIVE]
    wrong = [frame for frame, correlation in zip(found, correlations, strict=True) if correlation < MAX_NEGATIVE]
    chosen = [(frame, label) for frame in _some(right, 2, rng)]
    return chosen + [(frame, NOT_A_DIGIT) for frame in _some(wrong, 1, rng)]


def _some(frames: list[Frame], count: int, rng: np.random.Generator) -> list[Frame]:
    """Return up to `count` distinct frames, in random order."""
    different = list({frame.tobytes(): frame for frame in frames}.values())
    return [different[index] for index in rng.permutation(len(different))[:count]]


def correlation_of(frame: Frame, other: Frame) -> float:
    """Return the correlation of two frames, each slightly blurred because pens differ."""
    a, b = (ndimage.gaussian_filter(image[0].astype(np.float32), 1.5).ravel() for image in (frame, other))
    return float(np.corrcoef(a, b)[0, 1])


def _writing(label: int, mask: Mask, rng: np.random.Generator) -> Mask:
    """Draw writing that is not a digit: a letter, a rotated digit, half of one, several digits."""
    kind = rng.random()
    if kind < 0.1 and label in TURNED:
        return np.rot90(mask, rng.choice(TURNED[label])).copy()
    if kind < 0.18 and label in HALVES:
        columns = np.flatnonzero(mask.any(axis=0))
        middle = round(columns[0] + rng.uniform(0.4, 0.6) * len(columns))
        return mask[:, :middle] if rng.choice(HALVES[label]) == "left" else mask[:, middle:]
    if kind < 0.3:
        return np.hstack([strokes.digit(int(rng.integers(10)), rng)[:, 8:-8] for _ in range(int(rng.integers(2, 4)))])
    return strokes.letter(rng)


def _non_writing(rng: np.random.Generator) -> Mask:
    """Draw a shape, a texture or a scribble."""
    kind = rng.random()
    if kind < 0.2:
        return strokes.scribble(rng)
    if kind < 0.4:
        return np.pad(
            (pages.texture((112, 112), rng, rng.uniform(2, 30)) > rng.uniform(0.3, 0.7)).astype(np.float32), 8
        )
    if kind < 0.6:
        return _shape(rng)
    shapes = [_shape(rng) for _ in range(rng.integers(1, 4))]
    thing: Mask = np.maximum.reduce(shapes)
    return np.fmax(thing, thing[:, ::-1])  # many objects are symmetric


def _shape(rng: np.random.Generator) -> Mask:
    """Draw a filled shape with a texture."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 12)))
    reach = rng.uniform(0.3, 1, len(angles)) * rng.uniform(0.4, 1, size=(2, 1))
    y, x = np.mgrid[-1.1:1.1:128j, -1.1:1.1:128j]
    points = np.stack([np.cos(angles) * reach[0], np.sin(angles) * reach[1]])
    inside = np.interp(np.arctan2(y, x) % (2 * np.pi), angles, np.hypot(*points), period=2 * np.pi) > np.hypot(x, y)
    body = rng.uniform(0.3, 1) + rng.uniform(0, 0.7) * (pages.texture((128, 128), rng, rng.uniform(3, 40)) - 0.5)
    return np.where(inside, body.clip(0.15, 1), 0).astype(np.float32)
