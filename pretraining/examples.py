"""The training examples of the model that ships: frames of simulated pictures, with their labels."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from mnist_cli import files
from mnist_cli.arrays import Frame
from mnist_cli.datasets import dataset
from mnist_cli.datasets.dataset import Digits
from mnist_cli.errors import ImageError
from mnist_cli.pictures import binarize, decode, normalize
from pretraining import pages, strokes
from pretraining.pen_digits import PenDigit
from pretraining.strokes import Mask
from pretraining.written_forms import Stroke

NOT_A_DIGIT = 10  # the label of negative examples
Source = NDArray[np.uint8] | list[Stroke]  # an image of MNIST, or strokes

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

    mnist: int = 0
    drawn: int = 0  # digits drawn by program
    small: int = 0  # thumbnails, half of MNIST's digits and half of drawn ones
    small_pen: int = 0  # thumbnails of UCI's pen digits
    writing: int = 0  # letters and other writing that is not a digit
    non_writing: int = 0  # shapes, textures and scribbles
    # The same without a page around them, which takes a tenth of the time.
    plain_drawn: int = 0
    plain_pen: int = 0  # UCI's pen digits
    plain_writing: int = 0


@dataclass(frozen=True)
class Chunk:
    """Some pictures to simulate, and the key of their random numbers, after which its file is named."""

    key: tuple[int, str, int]  # random seed, kind, number
    labels: NDArray[np.int64]
    sources: list[Source]

    @property
    def rng(self) -> np.random.Generator:
        """Return the chunk's own random numbers, which do not depend on the other chunks."""
        seed, kind, number = self.key
        return np.random.default_rng([seed, number, *kind.encode()])


def make(
    digits: Digits, pen: list[PenDigit], mixture: Mixture, seed: int, processes: int, cache: Path | None = None
) -> Digits:
    """Return frames of simulated pictures, labelled 0 to 9 or NOT_A_DIGIT; the same seed makes the same frames.

    With a folder as `cache`, finished chunks are kept there, and those that are there already are not made again.
    """
    chunks = [chunk for kind, count in asdict(mixture).items() for chunk in _chunks(digits, pen, kind, count, seed)]
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        parts = list(pool.map(partial(_make_chunk, cache=cache), chunks))
    frames, labels = (np.concatenate(part) for part in zip(*parts, strict=True))
    return dataset.from_arrays(frames, labels)


def _chunks(digits: Digits, pen: list[PenDigit], kind: str, count: int, seed: int) -> list[Chunk]:
    """Return `count` tasks of a kind, as chunks; each digit is used once before any is used again."""
    is_pen = kind.endswith("pen")
    labels = np.array([digit.label for digit in pen]) if is_pen else digits.labels.numpy()
    order = np.random.default_rng([seed, *kind.encode()]).permutation(len(labels))
    indices = np.resize(order, count)
    return [
        Chunk(
            (seed, kind, number),
            labels[some],
            [pen[index].strokes for index in some] if is_pen else list(digits.images[some, 0].numpy()),
        )
        for number, some in enumerate(indices[start : start + CHUNK] for start in range(0, count, CHUNK))
    ]


def _make_chunk(chunk: Chunk, cache: Path | None) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return the frames and labels of a chunk, from its file in `cache` if it exists."""
    path = cache / "{}-{}-{}.npz".format(*chunk.key) if cache else None
    if path and path.exists():
        with np.load(path) as arrays:
            return arrays["frames"], arrays["labels"]
    rng, kind = chunk.rng, chunk.key[1]
    made = [
        example
        for label, source in zip(chunk.labels.tolist(), chunk.sources, strict=True)
        for example in _examples(kind, label, source, rng)
    ]
    frames, labels = np.stack([frame for frame, _ in made]), np.array([label for _, label in made])
    if path:
        with files.replacing(path) as file:
            np.savez_compressed(file, frames=frames, labels=labels)
    return frames, labels


def _examples(kind: str, label: int, source: Source, rng: np.random.Generator) -> list[tuple[Frame, int]]:
    """Return some of the candidate frames of a simulated picture, with their labels."""
    symbol = _symbol(kind, label, source, rng)
    if (symbol > 0.5).sum() < MIN_INK:
        return []
    if kind.startswith("plain"):
        return [(_plain(symbol, rng), NOT_A_DIGIT if kind == "plain_writing" else label)]
    is_small = kind.startswith("small")
    conditions = [pages.thumbnail] if is_small else list(pages.CONDITIONS.values())
    if kind == "non_writing" and rng.random() < 0.4:  # pages are of no use for them
        conditions = [pages.as_mnist, pages.fills_the_frame]
    picture = conditions[rng.integers(len(conditions))](symbol, rng)
    limit = 1 if is_small or kind == "writing" else None  # a part of the writing may look like a digit
    try:
        found = [normalize.draw(ink) for ink in islice(binarize.candidates(decode.to_array(picture)), limit)]
    except ImageError:
        return []
    if is_small:
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


def _symbol(kind: str, label: int, source: Source, rng: np.random.Generator) -> Mask:
    """Return what a picture of some kind shows."""
    if isinstance(source, list):
        return strokes.draw(source, rng, unsteady=0, any_pen=label in strokes.WITHOUT_HOLES)
    mask = source.astype(np.float32) / np.float32(255)
    match kind:
        case "writing" | "plain_writing":
            return _writing(label, mask, rng)
        case "non_writing":
            return _non_writing(rng)
        case "drawn" | "plain_drawn":
            return strokes.printed(str(label), rng) if rng.random() < PRINTED else strokes.digit(label, rng)
        case "small" if rng.random() < 0.5:
            return strokes.digit(label, rng)
    return mask


def _plain(symbol: Mask, rng: np.random.Generator) -> Frame:
    """Return the frame of a symbol as it is, out of focus, or in few pixels, smooth or not."""
    match rng.integers(4):
        case 0:
            symbol = ndimage.gaussian_filter(symbol, rng.uniform(0.5, 3))
        case 1 | 2:
            side = int(rng.integers(18, 72))
            small = np.asarray(Image.fromarray(symbol).resize((side, side), Image.Resampling.BOX))
            symbol = small if rng.random() < 0.5 else (small > 0.4 * small.max()).astype(np.float32)
    return normalize.draw(np.where(symbol < 0.1 * symbol.max(), 0, symbol).astype(np.float32))


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
        return _several(rng)
    return strokes.letter(rng)


def _several(rng: np.random.Generator) -> Mask:
    """Draw two or three digits side by side, which touch or do not, of different heights."""
    cells = []
    for _ in range(int(rng.integers(2, 4))):
        cell = strokes.digit(int(rng.integers(10)), rng)
        if cell.mean() < 0.06:  # a thin line would vanish, as all of them share a frame
            cell = ndimage.grey_dilation(cell, 5)
        columns = np.flatnonzero(cell.max(axis=0) > 0.3)
        gap = int(rng.integers(-4, 40))
        cell = np.pad(cell[:, columns[0] : columns[-1] + 1], ((0, 0), (0, max(0, gap))))[:, : gap if gap < 0 else None]
        if rng.random() < 0.3:
            tall = int(strokes.CANVAS * rng.uniform(0.6, 0.95))
            small = Image.fromarray(cell).resize((max(1, cell.shape[1] * tall // strokes.CANVAS), tall))
            top = int(rng.integers(0, strokes.CANVAS - tall + 1))
            cell = np.pad(np.asarray(small), ((top, strokes.CANVAS - tall - top), (0, 0)))
        cells.append(cell)
    return np.pad(np.hstack(cells), 4)


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
