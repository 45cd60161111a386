"""Simulated pages of several digits: rows, forms, tables, a sheet photographed on a table, a display.

Each condition takes lines of digits, as masks, and returns a picture of them. `CONDITIONS` has all of them by name. The
conditions for a single digit are in `pages`.
"""

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

from pretraining.pages import Rng, enlarge, paint, photograph, shadow, texture, with_pen
from pretraining.strokes import Mask

Lines = Sequence[Sequence[Mask]]

HEIGHT = 48  # px, of most digits
BLACK_ON_WHITE, WHITE_ON_BLACK = (25.0, 245.0), (235.0, 15.0)  # grey levels of ink and paper


def write(
    lines: Lines, rng: Rng, gaps: tuple[float, float] = (0.2, 0.5), sizes: tuple[float, float] = (0.9, 1.1)
) -> Mask:
    """Return a page of lines of digits; `gaps` between digits and `sizes` are in heights of a digit."""
    rows = []
    for line in lines:
        cells = []
        for mask in line:
            digit = enlarge(mask, round(HEIGHT * rng.uniform(*sizes)))
            above = round((1.7 * HEIGHT - len(digit)) * rng.uniform(0.4, 0.6))
            below = max(0, round(1.7 * HEIGHT) - len(digit) - above)
            cells.append(np.pad(digit, ((above, below), (0, round(HEIGHT * rng.uniform(*gaps))))))
        tallest = max(len(cell) for cell in cells)
        rows.append(np.hstack([np.pad(cell, ((0, tallest - len(cell)), (0, 0))) for cell in cells]))
    width = max(row.shape[1] for row in rows)
    return np.pad(np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1]))) for row in rows]), HEIGHT // 2)


def in_grey(page: Mask, rng: Rng, levels: tuple[float, float] = BLACK_ON_WHITE, noise: float = 2.0) -> Image.Image:
    """Return a page as a greyscale scan, with `levels` of ink and paper."""
    return photograph(paint(page, (levels[0],) * 3, (levels[1],) * 3), rng, 0.5, noise).convert("L")


def scan(lines: Lines, rng: Rng) -> Image.Image:
    """Dark ink on light paper."""
    return in_grey(write(lines, rng), rng)


def touching(lines: Lines, rng: Rng) -> Image.Image:
    """Digits pushed together until they touch."""
    rows = []
    for line in lines:
        row = np.zeros((HEIGHT, 1), np.float32)
        for mask in line:
            digit = enlarge(mask, HEIGHT)
            width = row.shape[1] + digit.shape[1]
            left = np.pad(row, ((0, 0), (0, digit.shape[1])))
            places = range(row.shape[1], 0, -1)
            hits = (x for x in places if (left[:, x : x + digit.shape[1]] * digit > 0.3).sum() >= 4)
            x = next(hits, row.shape[1])
            left[:, x : x + digit.shape[1]] = np.maximum(left[:, x : x + digit.shape[1]], digit)
            row = left[:, : min(width, x + digit.shape[1])]
        rows.append(np.pad(row, HEIGHT // 2))
    width = max(row.shape[1] for row in rows)
    return in_grey(np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1]))) for row in rows]), rng)


def boxed(lines: Lines, rng: Rng) -> Image.Image:
    """Each digit in a box of its own, the boxes side by side, slightly rotated as on a scanner."""
    cell = round(HEIGHT * rng.uniform(1.4, 1.9)), round(HEIGHT * rng.uniform(1.1, 1.6))
    page = np.zeros((len(lines) * cell[0], max(map(len, lines)) * cell[1]), np.float32)
    for row, line in enumerate(lines):
        for column, mask in enumerate(line):
            digit = enlarge(mask, HEIGHT)[:, : cell[1] - 8]
            top = row * cell[0] + 4 + round((cell[0] - len(digit) - 8) * rng.random())
            left = column * cell[1] + 4 + round((cell[1] - digit.shape[1] - 8) * rng.random())
            page[top : top + len(digit), left : left + digit.shape[1]] = digit
    pad = HEIGHT // 2
    page = np.pad(page, pad)
    drawing = Image.fromarray(np.zeros_like(page))
    pen = ImageDraw.Draw(drawing)
    thick, dark = int(rng.integers(1, 4)), rng.uniform(0.5, 1)
    for row, line in enumerate(lines):
        for column in range(len(line)):
            box = (pad + column * cell[1], pad + row * cell[0])
            pen.rectangle((*box, box[0] + cell[1], box[1] + cell[0]), outline=dark, width=thick)
    return in_grey(_turned(np.maximum(page, np.asarray(drawing)), rng.normal(0, 1.5)), rng)


def table(lines: Lines, rng: Rng) -> Image.Image:
    """A number in each row between dividers, narrower than they are tall."""
    page = write(lines, rng, gaps=(0.15, 0.3))
    page = np.pad(page, ((0, 0), (HEIGHT // 3, HEIGHT // 3)))
    rows = np.linspace(6, len(page) - 7, len(lines) + 1).astype(int)
    columns = [HEIGHT // 4, page.shape[1] - HEIGHT // 4]
    drawing = Image.fromarray(np.zeros_like(page))
    pen = ImageDraw.Draw(drawing)
    thick, dark = int(rng.integers(1, 4)), rng.uniform(0.5, 1)
    for x in columns:
        pen.line((x, 0, x, len(page)), dark, thick)
    for y in rows if rng.random() < 0.5 else rows[[0, -1]]:
        pen.line((0, int(y), page.shape[1], int(y)), dark, thick)
    return in_grey(_turned(np.pad(np.maximum(page, np.asarray(drawing)), 12), rng.normal(0, 2)), rng)


def dividers(lines: Lines, rng: Rng) -> Image.Image:
    """A vertical line between the digits of a row, as in the fields of a form."""
    page = write([line for line in lines], rng, gaps=(0.7, 0.9))
    ink = page.any(axis=0)
    edges = np.flatnonzero(np.diff(ink.astype(int)))
    page = page.copy()
    tall, thick = rng.uniform(1.3, 1.7) * HEIGHT, int(rng.integers(1, 4))
    top = round((len(page) - tall) / 2)
    for end, start in zip(edges[1:-1:2], edges[2::2], strict=False):
        if start - end > HEIGHT / 3:
            middle = (start + end) // 2
            page[top : round(top + tall), middle : middle + thick] = 0.9
    return in_grey(_turned(page, rng.normal(0, 1)), rng)


def dark_strip(lines: Lines, rng: Rng) -> Image.Image:
    """The table is visible as a dark strip at one or two sides."""
    image = np.asarray(scan(lines, rng)).copy()
    for side in rng.choice(4, size=int(rng.integers(1, 3)), replace=False):
        turned = np.rot90(image, side)
        strip = turned[:, : int(rng.integers(3, 30))]
        strip[:] = (rng.uniform(20, 80) + rng.normal(0, 3, strip.shape)).astype(np.uint8)
    return Image.fromarray(image)


def on_a_table(lines: Lines, rng: Rng) -> Image.Image:
    """A sheet photographed from the side, on a darker table that shows around it, in a shadow."""
    page = np.pad(write(lines, rng), HEIGHT // 2)
    margin = rng.uniform(0.02, 0.2, size=(4, 2)) * min(page.shape)
    height, width = page.shape[0] + 2 * HEIGHT, page.shape[1] + 2 * HEIGHT
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]]) + margin * [
        [1, 1],
        [-1, 1],
        [-1, -1],
        [1, -1],
    ]
    sheet = paint(page, (45, 45, 50), (215, 213, 205))
    source = np.array([[0, 0], [page.shape[1], 0], [page.shape[1], page.shape[0]], [0, page.shape[0]]])
    homography = _homography(corners, source)
    size = (width, height)
    warp = Image.Transform.PERSPECTIVE
    mask = Image.new("L", page.shape[::-1], 255).transform(size, warp, homography.tolist(), Image.Resampling.BILINEAR)
    photo = Image.fromarray(sheet.astype(np.uint8)).transform(
        size, warp, homography.tolist(), Image.Resampling.BILINEAR
    )
    there = np.asarray(mask, np.float32)[:, :, None] / 255
    surroundings = rng.uniform(30, 90) + 20 * texture((height, width), rng, 30)[:, :, None]
    light = shadow((height, width), rng, rng.uniform(0.45, 0.9))[:, :, None]
    colours = (np.asarray(photo) * there + surroundings * (1 - there)) * light
    return photograph(colours.astype(np.float32), rng, 0.6, 3, 85).convert("L")


def frame_line(lines: Lines, rng: Rng) -> Image.Image:
    """With a frame drawn along the edges of the picture."""
    levels = (BLACK_ON_WHITE, WHITE_ON_BLACK)[rng.integers(2)]
    image = np.asarray(in_grey(write(lines, rng), rng, levels, noise=0)).copy()
    thick = int(rng.integers(1, 4))
    line = np.ones_like(image, dtype=bool)
    line[thick:-thick, thick:-thick] = False
    image[line] = levels[0] + rng.uniform(-10, 10)
    return Image.fromarray(image)


def unequal(lines: Lines, rng: Rng) -> Image.Image:
    """Digits of unequal height, as with long tails and small zeros."""
    return in_grey(write(lines, rng, sizes=(0.6, 1.5)), rng)


def broken(lines: Lines, rng: Rng) -> Image.Image:
    """Black and white by a threshold that broke the strokes into many pieces."""
    page = write(lines, rng)
    thin = with_pen(page, rng.uniform(2, 4))[: len(page), : page.shape[1]]
    holes = texture(thin.shape, rng, rng.uniform(3, 5)) > rng.uniform(0.2, 0.35)
    return Image.fromarray(np.where(thin * holes > 0.5, 0, 255).astype(np.uint8))


def tight(lines: Lines, rng: Rng) -> Image.Image:
    """A counter or a display: bold digits, cropped without a margin."""
    rows = [np.hstack([np.pad(ndimage.grey_dilation(enlarge(mask, HEIGHT), 5), 3) for mask in line]) for line in lines]
    width = max(row.shape[1] for row in rows)
    page = np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1]))) for row in rows])
    levels = (BLACK_ON_WHITE, WHITE_ON_BLACK, (40.0, 130.0), (200.0, 90.0))[rng.integers(4)]
    return in_grey(page, rng, levels, noise=4)


def counter(lines: Lines, rng: Rng) -> Image.Image:
    """The wheels of a meter: a light digit on a dark wheel in each window, not quite level, with a frame between them."""
    wide, tall, rim = (
        round(HEIGHT * rng.uniform(0.9, 1.1)),
        round(HEIGHT * rng.uniform(1.35, 1.6)),
        int(rng.integers(3, 8)),
    )
    rows = []
    for line in lines:
        windows = []
        for mask in line:
            digit = enlarge(mask, HEIGHT)[:, : wide - 4]
            window = np.zeros((tall, wide), np.float32)
            top = round((tall - HEIGHT) / 2 + rng.uniform(-0.1, 0.1) * HEIGHT)
            left = (wide - digit.shape[1]) // 2
            window[top : top + HEIGHT, left : left + digit.shape[1]] = digit
            windows.append(np.pad(window, rim, constant_values=rng.uniform(0.35, 0.55)))
        rows.append(np.hstack(windows))
    width = max(row.shape[1] for row in rows)
    page = np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1])), constant_values=0.45) for row in rows])
    return in_grey(np.pad(page, 8, constant_values=0.45), rng, (230.0, 35.0), noise=4)


def _turned(page: Mask, degrees: float) -> Mask:
    return np.asarray(Image.fromarray(page).rotate(degrees, Image.Resampling.BILINEAR, expand=True))


def _homography(corners: np.ndarray, source: np.ndarray) -> np.ndarray:
    """Return the eight coefficients, as Pillow expects them, of the homography that maps four corners to their sources."""
    rows, values = [], []
    for (x, y), (u, v) in zip(corners, source, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return np.linalg.solve(np.array(rows), np.array(values))


CONDITIONS: dict[str, Callable[[Lines, Rng], Image.Image]] = {
    "clean scan": scan,
    "touching": touching,
    "boxes of a form": boxed,
    "table": table,
    "dividers": dividers,
    "dark strip at a side": dark_strip,
    "on a darker table": on_a_table,
    "frame at the edge": frame_line,
    "unequal heights": unequal,
    "broken strokes": broken,
    "tight crop": tight,
    "counter": counter,
}
