"""The explanation of a prediction as a picture: the input picture, its ink, the input of the model, the probabilities, and
if it is known, where in the frame the evidence for the likeliest class and for the runner-up lies.

On a terminal the input of the model is drawn in half blocks.
"""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageColor, ImageDraw, ImageFont
from rich.color import Color
from rich.style import Style
from rich.text import Text

from mnist_cli.arrays import FRAME, Frame, Picture
from mnist_cli.recognition.detection import Detection
from mnist_cli.recognition.predictions import Prediction
from mnist_cli.results import percent

PANEL = 10 * FRAME  # px, side of a panel, so that a pixel of a frame is 10x10 px
MARGIN = 44  # px, around everything and between the panels
TOP = 128  # px, where the panels begin, below the verdict
CAPTION = 14  # px, between a panel and its caption
BARS = 10  # classes whose probabilities are shown
MAX_NAME = 12  # characters of the name of a class
SMALL = 2 * FRAME  # px, side of each model input when there are several digits
CELL = (SMALL + 24, SMALL + 32)  # px, width and height of its cell, with the digit and its probability below
LEAST_COLUMNS = 6  # of cells, however narrow the page is
SIZE = (5 * MARGIN + 4 * PANEL, TOP + PANEL + CAPTION + 20 + MARGIN)  # px, width and height of an explanation
CAPTIONS = ("picture", "ink found in it", "model input, 28 x 28", "probability of each class")

BACKGROUND, PAPER, EDGE = "#f6f5f1", "#ffffff", "#dcdad3"
TEXT, MUTED = "#2b3440", "#79818c"
WINNER, BAR, TRACK = "#2f7f86", "#a9c3c6", "#e9e8e2"
DOUBT = "#bd7b3c"  # for a reason instead of a digit


def explain(
    picture: Picture, prediction: Prediction | None, digits: Sequence[Detection], source: str = ""
) -> Image.Image:
    """Return how the only digit of `picture` was recognized, or which `digits` were found in it, as an RGB image.

    `source` is written into it: the name of the file and of the model.
    """
    if prediction and not digits:
        return draw(picture, prediction, source)
    page = draw_page(picture, digits)
    columns = max(page.width // CELL[0], LEAST_COLUMNS)
    below = page.height + MARGIN // 2
    rows = -(-len(digits) // columns)
    image = Image.new("RGB", (max(page.width, columns * CELL[0]), below + rows * CELL[1] + MARGIN), BACKGROUND)
    image.paste(page)
    pen = ImageDraw.Draw(image)
    for index, digit in enumerate(digits):
        row, column = divmod(index, columns)
        _draw_digit(image, digit, (column * CELL[0], below + row * CELL[1]))
    if source:
        _write_source(pen, source, (image.width - 8, image.height - MARGIN // 2 - 8), image.width - 16)
    return image


def draw(picture: Picture, prediction: Prediction, source: str = "") -> Image.Image:
    """Return the explanation of a prediction for `picture`, as an RGB image.

    `source` is written into its corner: the name of the file and of the model.
    """
    evidence = prediction.evidence
    width = SIZE[0] + (len(evidence.maps) * (PANEL + MARGIN) if evidence else 0)
    page = Image.new("RGB", (width, SIZE[1]), BACKGROUND)
    pen = ImageDraw.Draw(page)
    _write_verdict(pen, prediction)
    if source:
        _write_source(pen, source, (width - MARGIN, MARGIN // 2), width / 2)
    blank = np.zeros((FRAME, FRAME), np.float32)
    ink = blank if prediction.ink is None else np.pad(prediction.ink, max(prediction.ink.shape) // 10)
    frame = blank if prediction.frame is None else prediction.frame[0]
    for column, (levels, around) in enumerate([(picture, TRACK), (255 - 255 * ink, PAPER), (frame, "black")]):
        left = MARGIN + column * (PANEL + MARGIN)
        page.paste(_panel(levels, around), (left, TOP))
        pen.rectangle((left - 1, TOP - 1, left + PANEL, TOP + PANEL), outline=EDGE)
    _draw_bars(pen, 4 * MARGIN + 3 * PANEL, prediction)
    captions = list(CAPTIONS)
    if evidence:
        most = max(float(np.abs(evidence.maps).max()), 1e-6)
        for name, values in zip(evidence.classes, evidence.maps, strict=True):
            left = MARGIN + len(captions) * (PANEL + MARGIN)
            page.paste(_evidence(frame, values / most), (left, TOP))
            pen.rectangle((left - 1, TOP - 1, left + PANEL, TOP + PANEL), outline=EDGE)
            captions.append(f"evidence for {name[:MAX_NAME]}")
    for column, caption in enumerate(captions):
        left = MARGIN + column * (PANEL + MARGIN)
        pen.text((left, TOP + PANEL + CAPTION), caption, MUTED, _font(16))
    return page


def draw_page(picture: Picture, digits: Sequence[Detection]) -> Image.Image:
    """Return a picture of several digits, RGB, with a box around each and its digit, or a `?`."""
    page = _image(picture)
    pen = ImageDraw.Draw(page)
    line = max(1, max(page.size) // 400)
    for one in digits:
        x, y, width, height = one.box
        colour = DOUBT if one.prediction.reason else WINNER
        pen.rectangle((x - line, y - line, x + width + line, y + height + line), outline=colour, width=line)
        pen.text((x, y - line), one.text, colour, _font(max(12, height // 3)), anchor="lb")
    return page


def to_png(image: Image.Image) -> bytes:
    """Return an image as the content of a file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def half_blocks(frame: Frame) -> Text:
    """Return the input of a model as 14 lines of 28 characters, each of which is two pixels, one above the other."""
    lines = []
    for upper, lower in zip(frame[0, ::2].tolist(), frame[0, 1::2].tolist(), strict=True):
        pairs = zip(upper, lower, strict=True)
        lines.append(Text.assemble(*(("▀", Style(color=_grey(over), bgcolor=_grey(under))) for over, under in pairs)))
    return Text("\n").join(lines)


def _draw_digit(image: Image.Image, digit: Detection, corner: tuple[int, int]) -> None:
    """Draw the model input of one of several digits, with the digit and its probability below."""
    left, top = corner[0] + 8, corner[1]
    if digit.prediction.frame is not None:
        image.paste(_image(digit.prediction.frame[0]).resize((SMALL, SMALL), Image.Resampling.NEAREST), (left, top))
    colour = DOUBT if digit.prediction.reason else WINNER
    words = f"{digit.text}  {percent(digit.prediction.confidence, 1)}"
    ImageDraw.Draw(image).text((left, top + SMALL + 4), words, colour, _font(14))


def _write_verdict(pen: ImageDraw.ImageDraw, prediction: Prediction) -> None:
    """Write the class, or the reason why there is none, above the panels."""
    label = prediction.label
    sign, words = (label, f"{percent(prediction.confidence, 1)} sure") if label else ("?", str(prediction.reason))
    baseline, size = TOP - MARGIN + 8, 72 if len(sign) == 1 else 36
    pen.text((MARGIN - 4, baseline), sign, WINNER if label else DOUBT, _font(size), anchor="ls")
    pen.text((MARGIN + max(56, 20 + pen.textlength(sign, _font(size))), baseline), words, TEXT, _font(26), anchor="ls")


def _write_source(pen: ImageDraw.ImageDraw, source: str, corner: tuple[int, int], room: float) -> None:
    """Write the names of picture and model, right-aligned at a top right corner; beyond `room`, px, only their end."""
    from mnist_cli.reporting import fonts  # imports matplotlib, which a prediction in a notebook does not need

    file, text = fonts.fit(source)
    font = ImageFont.truetype(file, 15)
    shown = text
    while pen.textlength(shown, font) > room:
        text = text[1:]
        shown = f"…{text}"
    pen.text(corner, shown, MUTED, font, anchor="ra")


def _panel(levels: NDArray[np.float32] | NDArray[np.uint8], around: str) -> Image.Image:
    """Return levels, 0 = black to 255 = white, in the middle of a panel and scaled to fit it."""
    image = _image(levels)
    scale = PANEL / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    # When enlarged, single pixels stay visible.
    kind = Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS
    panel = Image.new("RGB", (PANEL, PANEL), around)
    panel.paste(image.resize(size, kind), ((PANEL - size[0]) // 2, (PANEL - size[1]) // 2))
    return panel


def _evidence(frame: NDArray[np.float32] | NDArray[np.uint8], values: NDArray[np.float32]) -> Image.Image:
    """Return a panel with a pale frame and values over it: WINNER where they are 1, DOUBT where they are -1."""
    pixels = np.full((FRAME, FRAME, 3), ImageColor.getrgb(PAPER), np.float32)
    layers = ((frame / np.float32(255), EDGE), (values.clip(0, 1), WINNER), ((-values).clip(0, 1), DOUBT))
    for opacity, colour in layers:
        pixels += opacity[..., np.newaxis] * (np.array(ImageColor.getrgb(colour), np.float32) - pixels)
    return _panel(pixels, PAPER)


def _image(levels: NDArray[np.float32] | NDArray[np.uint8]) -> Image.Image:
    """Return levels, 0 = black to 255 = white, as an RGB image."""
    pixels = levels.clip(0, 255).astype(np.uint8)
    return Image.fromarray(pixels[:, :, 0] if pixels.shape[2:] == (1,) else pixels).convert("RGB")


def _draw_bars(pen: ImageDraw.ImageDraw, left: int, prediction: Prediction) -> None:
    """Draw the highest ten probabilities as bars, in the order of the classes; without ink there are none to tell."""
    named = list(zip(prediction.classes, prediction.probabilities, strict=True))
    shown = sorted(sorted(range(len(named)), key=lambda index: -named[index][1])[:BARS])
    names = [named[index][0][:MAX_NAME] for index in shown]
    widest = max(pen.textlength(name, _font(18)) for name in names)
    height, start, end = PANEL / BARS, left + max(28, round(widest) + 10), left + PANEL - 68
    for row, (name, index) in enumerate(zip(names, shown, strict=True)):
        probability = named[index][1]
        middle = TOP + (row + 0.5) * height
        likeliest = named[index][0] == prediction.label
        colour = TEXT if likeliest else MUTED
        pen.text((left, middle), name, colour, _font(18), anchor="lm")
        pen.rectangle((start, middle - 7, end, middle + 7), TRACK)
        if prediction.ink is None:
            continue
        pen.text((left + PANEL, middle), percent(probability, 1), colour, _font(16), anchor="rm")
        if length := round(probability * (end - start)):
            pen.rectangle((start, middle - 7, start + length, middle + 7), WINNER if likeliest else BAR)


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _grey(level: int) -> Color:
    return Color.from_rgb(level, level, level)
