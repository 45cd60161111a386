"""A picture from the user, redrawn the way MNIST draws digits.

Whatever the size, colours, light and place of the digit in a picture, a model sees it as in MNIST: light ink on dark
paper, 20 pixels long, in the middle of 28x28.
"""

from mnist_cli.images.decode import WORKING_SIZE, Picture, read, to_array
from mnist_cli.images.frame import FRAME, Frame, Ink, already_drawn, draw
from mnist_cli.images.ink import candidates

__all__ = [
    "FRAME",
    "WORKING_SIZE",
    "Frame",
    "Ink",
    "Picture",
    "already_drawn",
    "candidates",
    "draw",
    "read",
    "to_array",
]
