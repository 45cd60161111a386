from pathlib import Path

import numpy as np

from mnist_cli.recognition.answers import Answer
from mnist_cli.recognition.predictions import NO_INK, Prediction

FRAME = np.arange(784, dtype=np.uint16).reshape(1, 28, 28).astype(np.uint8)
SEVEN = Prediction([0.0, 0.125, 0.0, 0.0, 0.0, 0.0, 0.0, 0.75, 0.0, 0.125], 5.0, frame=FRAME)


def test_the_frame_is_told_row_by_row():
    values = Answer(Path("seven.png"), prediction=SEVEN).values(frame=True)
    assert (len(values["frame"]), values["frame"][1][:2]) == (28, [28, 29])


def test_there_is_no_frame_without_ink_or_without_a_picture():
    assert Answer(Path("blank.png"), prediction=NO_INK).values(frame=True)["frame"] is None
    assert Answer(Path("none.png"), error="there is no such file").values(frame=True)["frame"] is None
