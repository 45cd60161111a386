"""The training examples of the model that ships: frames of simulated pictures, with their labels."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache, partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import skimage.data
from numpy.typing import NDArray
from PIL import Image, ImageOps
from scipy import ndimage

from mnist_cli import files
from mnist_cli.arrays import Frame
from mnist_cli.datasets import dataset
from mnist_cli.datasets.dataset import Digits
from mnist_cli.errors import ImageError
from mnist_cli.pictures import binarize, decode, normalize
from pretraining import pages, rows, strokes, typefaces
from pretraining.pen_digits import PenDigit
from pretraining.strokes import Mask
from pretraining.written_forms import Stroke

NOT_A_DIGIT = 10  # the label of negative examples
Source = NDArray[np.uint8] | list[Stroke]  # an image of MNIST, or strokes

CHUNK = 500  # pictures that a process makes at a time
PHOTOS = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "grass.png",
    "gravel.png",
    "motorcycle_left.png",
    "rocket.jpg",
)
MIN_INK = 8  # px, of a symbol
MIN_LEVEL = 64  # of the ink of an outline in a frame
RING_LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)  # of ink, at each of which an emoji must not be a ring
MIN_HOLE = 0.35  # of its area: something with a larger hole looks like a 0, whatever is in it
# Fractions of the digits drawn by program that are set in a typeface, of print or like handwriting.
PRINTED, HANDWRITTEN = 0.08, 0.28
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
    rows: int = 0  # digits in rows in which they touch or are broken, cut out of them
    # The same without a page around them, which takes a tenth of the time.
    plain_drawn: int = 0
    plain_pen: int = 0  # UCI's pen digits
    plain_writing: int = 0
    plain_non_writing: int = 0


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
    made = _made(chunk, chunk.rng)
    frames, labels = np.stack([frame for frame, _ in made]), np.array([label for _, label in made])
    if path:
        with files.replacing(path) as file:
            np.savez_compressed(file, frames=frames, labels=labels)
    return frames, labels


def _made(chunk: Chunk, rng: np.random.Generator) -> list[tuple[Frame, int]]:
    """Return the frames of a chunk's pictures, with their labels."""
    kind, labels = chunk.key[1], chunk.labels.tolist()
    if kind == "rows":
        return rows.cut([_as_mask(source) for source in chunk.sources], labels, NOT_A_DIGIT, rng)
    pairs = zip(labels, chunk.sources, strict=True)
    return [example for label, source in pairs for example in _examples(kind, label, source, rng)]


def _as_mask(image: Source) -> Mask:
    """Return an image of MNIST as ink."""
    return np.asarray(image, dtype=np.float32) / np.float32(255)


def _examples(kind: str, label: int, source: Source, rng: np.random.Generator) -> list[tuple[Frame, int]]:
    """Return some of the candidate frames of a simulated picture, with their labels."""
    symbol = _symbol(kind, label, source, rng)
    if (symbol > 0.5).sum() < MIN_INK:
        return []
    if kind.startswith("plain"):
        return [(_plain(symbol, rng), NOT_A_DIGIT if kind.endswith("writing") else label)]
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
        # A local threshold leaves the outline of a body, and a round outline is a 0.
        return [(frame, NOT_A_DIGIT) for frame in _some(found, 3, rng) if not is_ring(frame[0] > MIN_LEVEL)]
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
    mask = _as_mask(source)
    match kind:
        case "writing" | "plain_writing":
            return _writing(label, mask, rng)
        case "non_writing" | "plain_non_writing":
            return _non_writing(rng)
        case "drawn" | "plain_drawn":
            return _drawn(label, rng)
        case "small" if rng.random() < 0.5:
            return strokes.digit(label, rng)
    return mask


def _drawn(label: int, rng: np.random.Generator) -> Mask:
    """Draw a digit by program, or set it in a typeface."""
    kind = rng.random()
    if kind < PRINTED:
        return strokes.printed(str(label), rng)
    return strokes.in_handwriting(str(label), rng) if kind < PRINTED + HANDWRITTEN else strokes.digit(label, rng)


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
    """Draw a shape, a texture, a scribble, a picture of a thing or a piece of a photo."""
    kind = rng.random()
    if kind < 0.12:
        return strokes.scribble(rng)
    if kind < 0.24:
        return np.pad(
            (pages.texture((112, 112), rng, rng.uniform(2, 30)) > rng.uniform(0.3, 0.7)).astype(np.float32), 8
        )
    if kind < 0.44 and typefaces.symbols():
        return _thing(rng)
    if kind < 0.62 and typefaces.emoji():
        return _thing_in_colour(rng)
    if kind < 0.74:
        return _piece_of_a_photo(rng)
    if kind < 0.82:
        return _shape(rng)
    shapes = [_shape(rng) for _ in range(rng.integers(1, 4))]
    thing: Mask = np.maximum.reduce(shapes)
    return np.fmax(thing, thing[:, ::-1])  # many objects are symmetric


def _thing(rng: np.random.Generator) -> Mask:
    """Draw a symbol of a thing as it is, or as a body with a texture."""
    glyphs = typefaces.symbols()
    drawn = strokes.typeset(glyphs[rng.integers(len(glyphs))], rng)
    body, ring = ndimage.binary_fill_holes(drawn > 0.5), is_ring(drawn > 0.5)
    if rng.random() < 0.4 and not ring:
        return drawn
    lines = 0 if ring else rng.uniform(-0.4, 0.4) * drawn  # lighter or darker than the body
    return np.where(body, (_texture((strokes.CANVAS,) * 2, rng) + lines).clip(0.15, 1), 0).astype(np.float32)


def _thing_in_colour(rng: np.random.Generator) -> Mask:
    """Draw an emoji in grey, light on dark or dark on light; as a body with a texture where it looks like a ring."""
    things = typefaces.emoji()
    picture = Image.open(things[rng.integers(len(things))]).convert("LA").resize((strokes.CANVAS,) * 2)
    grey, opaque = np.moveaxis(np.asarray(picture, dtype=np.float32) / np.float32(255), 2, 0)
    grey = 1 - grey if rng.random() < 0.5 else grey
    body = opaque > 0.5
    low, high = np.percentile(grey[body], [5, 95])
    ink = np.where(body, ((grey - low) / max(0.1, high - low)).clip(0, 1) * 0.85 + 0.15, 0)
    if any(is_ring(ink > level) for level in RING_LEVELS):
        ink = np.where(ndimage.binary_fill_holes(body), _texture(ink.shape, rng).clip(0.15, 1), 0)
    return ink.astype(np.float32)


def is_ring(ink: NDArray[np.bool_]) -> bool:
    """Return whether most of what the ink encloses is one hole, also where the outline has a narrow gap."""
    outline = ndimage.binary_dilation(ink)
    body = ndimage.binary_fill_holes(outline)
    holes = np.bincount(ndimage.label(body & ~outline)[0].ravel())[1:]
    return bool(holes.max(initial=0) > MIN_HOLE * body.sum())


def _piece_of_a_photo(rng: np.random.Generator) -> Mask:
    """Cut a square out of a photo, light on dark or dark on light."""
    photo = _photos()[rng.integers(len(_photos()))]
    side = int(rng.integers(24, min(photo.shape)))
    top, left = (int(rng.integers(length - side + 1)) for length in photo.shape)
    piece = Image.fromarray(photo[top : top + side, left : left + side]).resize((strokes.CANVAS,) * 2)
    mask = np.asarray(ImageOps.autocontrast(piece), dtype=np.float32) / np.float32(255)
    mask = 1 - mask if rng.random() < 0.5 else mask
    return mask * (mask > rng.uniform(0, 0.5)) if rng.random() < 0.5 else mask


@cache
def _photos() -> list[NDArray[np.uint8]]:
    """Return the photos that come with scikit-image, in grey."""
    folder = Path(skimage.data.__file__).parent
    return [np.asarray(Image.open(folder / name).convert("L")) for name in PHOTOS]


def _texture(shape: tuple[int, int], rng: np.random.Generator) -> Mask:
    """Return a surface of some brightness, even or not."""
    surface: Mask = rng.uniform(0.3, 1) + rng.uniform(0, 0.7) * (pages.texture(shape, rng, rng.uniform(3, 40)) - 0.5)
    return surface


def _shape(rng: np.random.Generator) -> Mask:
    """Draw a filled shape with a texture."""
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 12)))
    reach = rng.uniform(0.3, 1, len(angles)) * rng.uniform(0.4, 1, size=(2, 1))
    y, x = np.mgrid[-1.1:1.1:128j, -1.1:1.1:128j]
    points = np.stack([np.cos(angles) * reach[0], np.sin(angles) * reach[1]])
    inside = np.interp(np.arctan2(y, x) % (2 * np.pi), angles, np.hypot(*points), period=2 * np.pi) > np.hypot(x, y)
    return np.where(inside, _texture((128, 128), rng).clip(0.15, 1), 0).astype(np.float32)
