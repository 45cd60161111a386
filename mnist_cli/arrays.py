"""The array types of pictures, frames and logits, with the size of a frame."""

import numpy as np
from numpy.typing import NDArray

ACCEPT_ALL = -1e9  # a rejection threshold below every score, so that no frame is rejected
FRAME = 28  # px, height and width of the input of a model

# (height, width, channels), 1 channel of grey or 3 of colour, 0 = black .. 255 = white; uint8 with all pixels of a file
Picture = NDArray[np.float32]
Levels = NDArray[np.float32]  # (height, width), higher = more like ink, in grey levels
Ink = NDArray[np.float32]  # (height, width), 0 = paper .. 1 = ink
Frame = NDArray[np.uint8]  # (1, 28, 28), 0 = paper .. 255 = ink
Frames = NDArray[np.uint8]  # (N, 1, 28, 28), 0 = paper .. 255 = ink
Logits = NDArray[np.float32]  # (N, classes)
