"""Simulated photos and scans of a symbol on a page, with various pens, papers and lighting.

Each condition takes the mask of a symbol, such as an MNIST image divided by 255, and returns a picture of it. `CONDITIONS`
has all of them by name.
"""

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage
from skimage.morphology import skeletonize

from pretraining.strokes import Mask

Rng = np.random.Generator
Colours = NDArray[np.float32]  # (height, width, 3), 0 to 255

WHITE, BLACK = (250, 250, 250), (25, 25, 30)


def enlarge(mask: Mask, height: int) -> Mask:
    """Return the symbol `height` px tall with the sharp edge of a pen."""
    rows, columns = np.flatnonzero(mask.max(axis=1) > 0.1), np.flatnonzero(mask.max(axis=0) > 0.1)
    symbol = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    symbol = np.pad(symbol, 1)
    size = max(2, round(symbol.shape[1] * height / symbol.shape[0])), height
    if height <= symbol.shape[0]:
        return np.asarray(Image.fromarray(symbol).resize(size, Image.Resampling.BOX))
    large = np.asarray(Image.fromarray(symbol).resize(size, Image.Resampling.BICUBIC))
    steep = max(1.0, height / 28)
    return ((large - 0.45) * steep + 0.5).clip(0, 1).astype(np.float32)


def with_pen(symbol: Mask, width: float) -> Mask:
    """Draw a symbol again along the middle of its strokes, with a pen `width` px wide."""
    middle = skeletonize(symbol > 0.5)
    reach = int(np.ceil(width / 2 + 1))
    distance = ndimage.distance_transform_edt(~np.pad(middle, reach))
    pen: Mask = (width / 2 + 0.5 - distance).clip(0, 1).astype(np.float32)
    return pen


def place(symbol: Mask, rng: Rng, margin: tuple[float, float] = (0.1, 0.8)) -> Mask:
    """Put a symbol somewhere on a larger page; margins are fractions of its longer side."""
    longer = max(symbol.shape)
    top, bottom, left, right = (round(float(fraction) * longer) for fraction in rng.uniform(*margin, size=4))
    return np.pad(symbol, ((top, bottom), (left, right)))


def paint(mask: Mask, ink: Colours | tuple[float, ...], paper: Colours | tuple[float, ...]) -> Colours:
    """Return the page in colour."""
    there = mask[:, :, None]
    painted: Colours = (np.asarray(paper, np.float32) * (1 - there) + np.asarray(ink, np.float32) * there).astype(
        np.float32
    )
    return painted


def photograph(
    page: Colours, rng: Rng, blur: float = 0.0, noise: float = 3.0, quality: int | None = None
) -> Image.Image:
    """Return a photo of a page; `blur` is the standard deviation in px, `quality` that of JPEG."""
    if blur:
        page = ndimage.gaussian_filter(page, (blur, blur, 0))
    grain = rng.normal(0, noise, size=page.shape[:2])[:, :, None] + rng.normal(0, noise / 3, size=page.shape)
    image = Image.fromarray((page + grain).clip(0, 255).astype(np.uint8))
    return compress(image, quality) if quality else image


def compress(image: Image.Image, quality: int) -> Image.Image:
    """Return the image after JPEG compression."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return Image.open(file).convert(image.mode)


def slope(shape: tuple[int, int], rng: Rng, least: float) -> Mask:
    """Return illumination that decreases from 1 to `least` across a page, in a random direction."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    along = (np.cos(angle) * x + np.sin(angle) * y) / np.sqrt(2)
    light: Mask = (least + (1 - least) * (along + 1) / 2).astype(np.float32)
    return light


def shadow(shape: tuple[int, int], rng: Rng, darkness: float) -> Mask:
    """Return illumination with a shadow over a part of the page, with a soft edge as of a hand or a phone."""
    angle, offset, softness = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.4), rng.uniform(0.05, 0.4)
    y, x = np.mgrid[-1 : 1 : shape[0] * 1j, -1 : 1 : shape[1] * 1j]
    bend = rng.normal(0, 0.3)
    along = np.cos(angle) * x + np.sin(angle) * y + bend * (x * np.sin(angle) - y * np.cos(angle)) ** 2 - offset
    light: Mask = (1 - (1 - darkness) / (1 + np.exp(-along / softness * 3))).astype(np.float32)
    return light


def texture(shape: tuple[int, int], rng: Rng, grain: float) -> Mask:
    """Return smooth noise, 0 to 1, with spots of about `grain` px."""
    small = rng.random((max(2, round(shape[0] / grain)), max(2, round(shape[1] / grain)))).astype(np.float32)
    return np.asarray(Image.fromarray(small).resize((shape[1], shape[0]), Image.Resampling.BICUBIC)).clip(0, 1)


def _page(mask: Mask, rng: Rng, low: int = 60, high: int = 220) -> Mask:
    """Return the symbol at a random size on a page."""
    return place(enlarge(mask, int(rng.integers(low, high))), rng)


def _dark(rng: Rng) -> tuple[float, ...]:
    return tuple(rng.uniform(10, 70, size=3))


def _pale(rng: Rng) -> tuple[float, ...]:
    level = rng.uniform(170, 250)
    return tuple(level + rng.normal(0, 5, size=3))


def as_mnist(mask: Mask, rng: Rng) -> Image.Image:
    """The original image of MNIST: white on black, 28x28."""
    if max(mask.shape) <= 28:
        return Image.fromarray((mask * 255).astype(np.uint8))
    small = Image.fromarray(mask).resize((20, 20), Image.Resampling.BOX)
    return Image.fromarray((np.pad(np.asarray(small), 4) * 255).astype(np.uint8))


def scan(mask: Mask, rng: Rng) -> Image.Image:
    """A clean scan: black on white."""
    return Image.fromarray((255 - 255 * _page(mask, rng)).astype(np.uint8))


def inverted(mask: Mask, rng: Rng) -> Image.Image:
    """White on black, as on a blackboard."""
    page = paint(_page(mask, rng), tuple(rng.uniform(190, 255, size=3)), tuple(rng.uniform(0, 70, size=3)))
    return photograph(page, rng, noise=float(rng.uniform(0, 6)))


def sloping_light(mask: Mask, rng: Rng) -> Image.Image:
    """A phone photo by a window: the light decreases across the page."""
    symbol = _page(mask, rng)
    page = paint(symbol, _dark(rng), _pale(rng)) * slope(symbol.shape, rng, rng.uniform(0.35, 0.8))[:, :, None]
    return photograph(page, rng, rng.uniform(0, 1.5), 4, int(rng.integers(50, 95)))


def in_shadow(mask: Mask, rng: Rng) -> Image.Image:
    """A phone photo with the shadow of a hand on it."""
    symbol = _page(mask, rng)
    page = paint(symbol, _dark(rng), _pale(rng)) * shadow(symbol.shape, rng, rng.uniform(0.35, 0.75))[:, :, None]
    return photograph(page, rng, rng.uniform(0, 1.5), 4, int(rng.integers(50, 95)))


def grey_paper(mask: Mask, rng: Rng) -> Image.Image:
    """Paper darker than mid-grey."""
    symbol = _page(mask, rng)
    paper = rng.uniform(70, 120)
    page = (
        paint(symbol, (paper * rng.uniform(0.2, 0.6),) * 3, (paper,) * 3) * slope(symbol.shape, rng, 0.85)[:, :, None]
    )
    return photograph(page, rng, rng.uniform(0, 1), 3)


def blue_ink(mask: Mask, rng: Rng) -> Image.Image:
    """A blue or red ballpoint pen on paper."""
    symbol = enlarge(mask, int(rng.integers(70, 200)))
    if rng.random() < 0.5:
        symbol = with_pen(symbol, rng.uniform(0.02, 0.06) * len(symbol) + 1)
    symbol = place(symbol, rng)
    ink = ((30, 50, 150), (60, 90, 190), (190, 40, 50))[rng.integers(3)]
    ink_page = paint(texture(symbol.shape, rng, 4) * 0.3, (230, 230, 240), ink)
    return photograph(paint(symbol, ink_page, _pale(rng)), rng, rng.uniform(0, 1), 3, int(rng.integers(60, 95)))


def pencil(mask: Mask, rng: Rng) -> Image.Image:
    """Pencil: grey, thin, and grainy where the paper is rough."""
    symbol = enlarge(mask, int(rng.integers(80, 220)))
    symbol = place(with_pen(symbol, rng.uniform(0.025, 0.06) * len(symbol) + 1), rng)
    symbol = symbol * (0.55 + 0.45 * texture(symbol.shape, rng, 2))
    grey = rng.uniform(80, 140)
    light = slope(symbol.shape, rng, rng.uniform(0.75, 1))[:, :, None]
    return photograph(paint(symbol, (grey,) * 3, (rng.uniform(205, 245),) * 3) * light, rng, rng.uniform(0, 1), 4)


def whiteboard(mask: Mask, rng: Rng) -> Image.Image:
    """A coloured marker on a whiteboard with a reflection."""
    symbol = _page(mask, rng, 80, 220)
    ink = ((30, 40, 60), (30, 70, 170), (190, 30, 40), (20, 130, 70))[rng.integers(4)]
    page = paint(symbol * rng.uniform(0.75, 1), ink, (rng.uniform(195, 225),) * 3)
    y, x = np.mgrid[-1 : 1 : symbol.shape[0] * 1j, -1 : 1 : symbol.shape[1] * 1j]
    centre = rng.uniform(-1, 1, size=2)
    glare = np.exp(-(((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / rng.uniform(0.1, 0.6)))[:, :, None]
    return photograph(page + (255 - page) * glare * rng.uniform(0.2, 0.7), rng, rng.uniform(0.3, 1.5), 3)


def coloured_background(mask: Mask, rng: Rng) -> Image.Image:
    """On a coloured background, also in ink of the same brightness."""
    backgrounds = ((60, 150, 70), (230, 130, 40), (240, 200, 60), (110, 160, 210))
    symbol, background = _page(mask, rng), backgrounds[rng.integers(4)]
    ink = ((25, 25, 25), (240, 240, 235), (200, 30, 40), (40, 40, 160))[rng.integers(4)]
    return photograph(paint(symbol, ink, background), rng, rng.uniform(0, 1), 3, int(rng.integers(60, 95)))


def blurred(mask: Mask, rng: Rng) -> Image.Image:
    """Out of focus."""
    symbol = _page(mask, rng, 60, 180)
    page = paint(symbol, _dark(rng), _pale(rng)) * slope(symbol.shape, rng, rng.uniform(0.7, 1))[:, :, None]
    return photograph(page, rng, rng.uniform(0.012, 0.035) * max(symbol.shape), 3)


def form_cell(mask: Mask, rng: Rng) -> Image.Image:
    """In the cell of a form, cut out with the lines around it."""
    symbol = place(enlarge(mask, int(rng.integers(50, 140))), rng, (0.12, 0.4))
    height, width = symbol.shape
    thick = int(rng.integers(1, 5))
    box = np.zeros((height + 2 * thick, width + 2 * thick), np.float32)
    box[thick:-thick, thick:-thick] = 1
    margins = rng.integers(0, 12, size=4) * (rng.random(4) < 0.8)
    lines = np.pad(1 - box, (margins[:2], margins[2:]))
    symbol = np.pad(symbol, ((thick + margins[0], thick + margins[1]), (thick + margins[2], thick + margins[3])))
    colour = ((30, 30, 30), (110, 110, 110), (200, 90, 80), (90, 130, 190))[rng.integers(4)]
    page = paint(symbol, _dark(rng), paint(lines, colour, _pale(rng)))
    image = photograph(page, rng, rng.uniform(0, 0.8), 2, int(rng.integers(50, 95)))
    paper = tuple(int(level) for level in page[-1, -1]) if margins[1] else (235, 235, 235)
    return image.rotate(rng.normal(0, 1), Image.Resampling.BILINEAR, fillcolor=paper)


def lined_paper(mask: Mask, rng: Rng) -> Image.Image:
    """On lined paper."""
    return _on_lines(mask, rng, is_graph=False)


def graph_paper(mask: Mask, rng: Rng) -> Image.Image:
    """On graph paper."""
    return _on_lines(mask, rng, is_graph=True)


def _on_lines(mask: Mask, rng: Rng, is_graph: bool) -> Image.Image:
    symbol = _page(mask, rng, 80, 220)
    spacing = rng.uniform(0.15, 0.6) * max(symbol.shape) * (1 if is_graph else 1.6)
    thick = int(rng.integers(1, 3))
    lines = np.zeros_like(symbol)
    for axis in (0, 1) if is_graph else (0,):
        for position in np.arange(rng.uniform(0, spacing), symbol.shape[axis] - thick, spacing):
            where = slice(int(position), int(position) + thick)
            lines[(where, slice(None)) if axis == 0 else (slice(None), where)] = 1
    turned = Image.fromarray(lines).rotate(rng.normal(0, 0.7), Image.Resampling.BILINEAR)
    colour = ((150, 185, 220), (170, 170, 175), (190, 210, 190), (120, 150, 200))[rng.integers(4)]
    page = paint(symbol, _dark(rng), paint(np.asarray(turned), colour, (rng.uniform(235, 252),) * 3))
    page = page * slope(symbol.shape, rng, rng.uniform(0.75, 1))[:, :, None]
    return photograph(page, rng, rng.uniform(0.2, 0.8), 2, int(rng.integers(60, 95)))


def one_pixel_pen(mask: Mask, rng: Rng) -> Image.Image:
    """Drawn in Paint with a pen one pixel wide."""
    symbol = enlarge(mask, int(rng.integers(40, 200)))
    line = place(skeletonize(symbol > 0.5).astype(np.float32), rng)
    return Image.fromarray((255 - 255 * line).astype(np.uint8)).convert("RGB")


def thin_on_a_large_canvas(mask: Mask, rng: Rng) -> Image.Image:
    """A thin digit on a canvas 1,752 px wide."""
    symbol = with_pen(enlarge(mask, int(rng.integers(250, 700))), rng.uniform(2, 6))
    height, width = 1240, 1752
    symbol = symbol[:height, :width]
    top, left = rng.integers(0, height - len(symbol) + 1), rng.integers(0, width - symbol.shape[1] + 1)
    canvas = np.zeros((height, width), np.float32)
    canvas[top : top + len(symbol), left : left + symbol.shape[1]] = symbol
    return Image.fromarray((255 - 255 * canvas).astype(np.uint8))


def mouse_cursor(mask: Mask, rng: Rng) -> Image.Image:
    """Drawn with a mouse, whose cursor is still in the picture."""
    symbol = _page(mask, rng, 60, 200)
    image = Image.fromarray((255 - 255 * symbol).astype(np.uint8)).convert("RGB")
    radius = int(rng.integers(4, 10))
    y, x = int(rng.integers(0, symbol.shape[0])), int(rng.integers(0, symbol.shape[1]))
    ImageDraw.Draw(image).ellipse((x - radius, y - radius, x + radius, y + radius), outline=(130, 130, 130))
    return image


def pale_colours(mask: Mask, rng: Rng) -> Image.Image:
    """Ink nearly as pale as the paper."""
    paper = rng.uniform(215, 255, size=3)
    ink = paper - rng.uniform(16, 45) * rng.uniform(0.3, 1, size=3)
    return photograph(paint(_page(mask, rng), tuple(ink), tuple(paper)), rng, noise=0.7)


def fills_the_frame(mask: Mask, rng: Rng) -> Image.Image:
    """No margin at all."""
    symbol = enlarge(mask, int(rng.integers(30, 200)))[1:-1, 1:-1]
    page = paint(symbol, _dark(rng), _pale(rng)) if rng.random() < 0.5 else paint(symbol, (255,) * 3, (0,) * 3)
    return photograph(page, rng, noise=1.5)


def cut_by_the_frame(mask: Mask, rng: Rng) -> Image.Image:
    """A part of the digit is outside the picture."""
    symbol = place(enlarge(mask, int(rng.integers(60, 200))), rng, (0.05, 0.3))
    rows, columns = np.flatnonzero(symbol.any(axis=1)), np.flatnonzero(symbol.any(axis=0))
    cut = max(1, round(rng.uniform(0.01, 0.06) * len(rows)))
    match rng.integers(4):
        case 0:
            symbol = symbol[rows[0] + cut :]
        case 1:
            symbol = symbol[: rows[-1] + 1 - cut]
        case 2:
            symbol = symbol[:, columns[0] + cut :]
        case _:
            symbol = symbol[:, : columns[-1] + 1 - cut]
    return photograph(paint(symbol, _dark(rng), _pale(rng)), rng, noise=2)


def transparent(mask: Mask, rng: Rng) -> Image.Image:
    """Ink on a transparent background, in any grey."""
    symbol = _page(mask, rng)
    level = float(rng.choice([0, 255])) if rng.random() < 0.7 else float(rng.uniform(0, 255))
    ink = np.full((*symbol.shape, 3), level, np.float32)
    return Image.fromarray(np.dstack([ink, symbol * 255]).astype(np.uint8))


def few_colours(mask: Mask, rng: Rng) -> Image.Image:
    """A palette of 16 colours, or 1 bit a pixel."""
    symbol = _page(mask, rng, 40, 160)
    if rng.random() < 0.5:
        return Image.fromarray((255 - 255 * symbol).astype(np.uint8)).convert("1")
    return Image.fromarray(paint(symbol, _dark(rng), _pale(rng)).astype(np.uint8)).quantize(16)


def blocky_jpeg(mask: Mask, rng: Rng) -> Image.Image:
    """32x32 pixels with strong JPEG artefacts."""
    small = _fitted(mask, 32, int(rng.integers(20, 30)), rng)
    light = rng.random() < 0.5
    page = paint(small, (235,) * 3, (20,) * 3) if light else paint(small, (20,) * 3, (235,) * 3)
    return compress(Image.fromarray(page.astype(np.uint8)), int(rng.integers(15, 45)))


def thumbnail_16(mask: Mask, rng: Rng) -> Image.Image:
    """16x16 pixels without a margin, often stretched to be nearly square."""
    return Image.fromarray((_fitted(mask, 16, 16, rng, stretched=True) * 255).astype(np.uint8))


def thumbnail_8(mask: Mask, rng: Rng) -> Image.Image:
    """8x8 pixels without a margin, in 17 levels, often stretched to be nearly square."""
    small = _fitted(mask, 8, 8, rng, stretched=True)
    return Image.fromarray((np.round(small / max(small.max(), 0.1) * 16) * (255 / 16)).astype(np.uint8))


def thumbnail(mask: Mask, rng: Rng) -> Image.Image:
    """8x8 to 16x16 pixels with or without a margin, in a pen of any width."""
    symbol = enlarge(mask, 96)
    if rng.random() < 0.5:
        symbol = _grown(symbol, rng.uniform(0, 0.06))
    side = int(rng.choice([8, 8, 9, 10, 12, 16]))
    height = side - int(rng.integers(0, 3) * (rng.random() < 0.3))
    small = _fitted(symbol, side, height, rng, stretched=True)
    steps = 16 if rng.random() < 0.7 else 255
    small = np.round(small / max(small.max(), 0.1) * rng.uniform(0.8, 1) * steps) / steps
    return Image.fromarray((small * 255).astype(np.uint8))


def _fitted(mask: Mask, side: int, height: int, rng: Rng, *, stretched: bool = False) -> Mask:
    """Return the symbol scaled to fit `height` px and centred in a square."""
    symbol = enlarge(mask, 96)[2:-2, 2:-2]
    scale = height / max(symbol.shape)
    wider = (symbol.shape[0] / symbol.shape[1]) ** rng.uniform(0, 0.8) if stretched and rng.random() < 0.5 else 1.0
    size = (
        min(height, max(1, round(symbol.shape[1] * scale * wider))),
        min(height, max(1, round(symbol.shape[0] * scale))),
    )
    small = np.asarray(Image.fromarray(symbol).resize(size, Image.Resampling.BOX))
    top, left = (side - size[1]) // 2, (side - size[0]) // 2
    return np.pad(small, ((top, side - size[1] - top), (left, side - size[0] - left)))


def thick_marker(mask: Mask, rng: Rng) -> Image.Image:
    """A marker so thick that the holes of the digit nearly close."""
    grown = _grown(enlarge(mask, int(rng.integers(60, 200))), rng.uniform(0.01, 0.045))
    page = paint(place(grown, rng, (0.1, 0.5)), _dark(rng), _pale(rng))
    return photograph(page, rng, rng.uniform(0, 1), 3)


def _grown(symbol: Mask, reach: float) -> Mask:
    """Return a symbol with thicker strokes, by a fraction of its height."""
    hole = ndimage.distance_transform_edt(symbol <= 0.5)
    grown: Mask = (reach * len(symbol) + 0.5 - hole).clip(0, 1).astype(np.float32)
    return grown


def broken_strokes(mask: Mask, rng: Rng) -> Image.Image:
    """Black and white after a threshold that broke the strokes."""
    symbol = enlarge(mask, int(rng.integers(60, 180)))
    thin = with_pen(symbol, rng.uniform(0.04, 0.1) * len(symbol) + 1) if rng.random() < 0.5 else symbol
    grain = max(3.0, 0.06 * len(symbol))
    broken = (thin * (texture(thin.shape, rng, grain) > rng.uniform(0.15, 0.3))).astype(np.float32)
    return Image.fromarray(np.where(place(broken, rng) > 0.5, 0, 255).astype(np.uint8))


CONDITIONS: dict[str, Callable[[Mask, Rng], Image.Image]] = {
    "as MNIST has it": as_mnist,
    "clean scan": scan,
    "light on dark": inverted,
    "sloping light": sloping_light,
    "shadow": in_shadow,
    "dark grey paper": grey_paper,
    "blue or red ink": blue_ink,
    "pencil": pencil,
    "whiteboard": whiteboard,
    "coloured background": coloured_background,
    "out of focus": blurred,
    "cell of a form": form_cell,
    "lined paper": lined_paper,
    "graph paper": graph_paper,
    "one-pixel pen": one_pixel_pen,
    "thin, on 1,752 px": thin_on_a_large_canvas,
    "mouse cursor": mouse_cursor,
    "pale colours": pale_colours,
    "fills the frame": fills_the_frame,
    "cut by the frame": cut_by_the_frame,
    "transparent": transparent,
    "palette, 1 bit": few_colours,
    "32x32 JPEG": blocky_jpeg,
    "16x16, no margin": thumbnail_16,
    "8x8, no margin": thumbnail_8,
    "thick marker": thick_marker,
    "broken strokes": broken_strokes,
}
