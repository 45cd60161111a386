"""A few pictures to try the program with, drawn from one val image of each digit that ships with the page of `mnist serve`."""

from importlib.resources import files

import numpy as np
from PIL import Image, ImageDraw

from mnist_cli.arrays import FRAME

SCALE = 8  # px of a sample for each pixel of MNIST
MARGIN = 60  # px of paper around the ink
PAPER, PEN = 244, 42  # grey levels
BLACKBOARD, CHALK = 38, 226
NUMBER = ("27041", "94162")  # the lines of the picture for --many
STAR = [(0.5, 0.05), (0.78, 0.9), (0.05, 0.38), (0.95, 0.38), (0.22, 0.9)]  # corners, as fractions of the side


def draw() -> dict[str, Image.Image]:
    """Return the pictures, greyscale, by the names of their files."""
    return {
        "seven.png": _written([["7"]], PAPER, PEN),
        "two.png": _written([["2"]], PAPER, PEN),
        "chalk-4.png": _written([["4"]], BLACKBOARD, CHALK),
        "number.png": _written([list(line) for line in NUMBER], PAPER, PEN),
        "star.png": _star(),
    }


def _written(lines: list[list[str]], paper: int, pen: int) -> Image.Image:
    """Return digits in lines, written with `pen` on `paper`."""
    ink = np.concatenate([np.concatenate([_ink(digit) for digit in line], axis=1) for line in lines])
    height, width = ink.shape
    enlarged = Image.fromarray(ink).resize((width * SCALE, height * SCALE), Image.Resampling.BICUBIC)
    page = Image.new("L", (enlarged.width + 2 * MARGIN, enlarged.height + 2 * MARGIN), paper)
    page.paste(pen, (MARGIN, MARGIN), enlarged)
    return page


def _ink(digit: str) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Return the val image of a digit, (28, 28), 0 = paper to 255 = ink."""
    with (files("mnist_cli") / f"serving/page/examples/{digit}.png").open("rb") as file, Image.open(file) as image:
        return np.asarray(image.convert("L"))


def _star() -> Image.Image:
    """Return a drawing of a star, as a negative example."""
    side = SCALE * FRAME
    page = Image.new("L", (side + 2 * MARGIN, side + 2 * MARGIN), PAPER)
    corners = [(MARGIN + x * side, MARGIN + y * side) for x, y in [*STAR, *STAR[:2]]]
    ImageDraw.Draw(page).line(corners, fill=PEN, width=SCALE + 4, joint="curve")
    return page
