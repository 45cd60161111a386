from pathlib import Path

import numpy as np

from mnist_cli.errors import ImageError
from mnist_cli.recognition.detection import Detection
from mnist_cli.recognition.predictions import NO_INK, Prediction
from mnist_cli.recognition.result import Result

FRAME = np.arange(784, dtype=np.uint16).reshape(1, 28, 28).astype(np.uint8)
SEVEN = Prediction([0.0, 0.125, 0.0, 0.0, 0.0, 0.0, 0.0, 0.75, 0.0, 0.125], 5.0, frame=FRAME)


def test_the_frame_is_a_list_of_rows():
    values = Result(Path("seven.png"), prediction=SEVEN).to_dict(frame=True)
    assert (len(values["frame"]), values["frame"][1][:2]) == (28, [28, 29])


def test_there_is_no_frame_without_ink_or_without_a_picture():
    assert Result(Path("blank.png"), prediction=NO_INK).to_dict(frame=True)["frame"] is None
    assert Result(Path("none.png"), error=ImageError("there is no such file")).to_dict(frame=True)["frame"] is None


def test_a_result_is_shown_by_its_digit_its_text_or_its_reason():
    assert repr(Result(Path("seven.png"), prediction=SEVEN)) == "Result(path='seven.png', digit=7, confidence=0.75)"
    assert repr(Result(prediction=NO_INK)) == "Result(reason='no ink')"
    digits = [Detection((0, 0, 9, 9), SEVEN), Detection((0, 20, 9, 9), NO_INK, line=1)]
    assert repr(Result(Path("page.png"), digits=digits)) == "Result(path='page.png', text='7\\n?')"


def test_a_picture_with_several_digits_has_no_single_one():
    digits = [Detection((0, 0, 9, 9), SEVEN), Detection((10, 0, 9, 9), SEVEN)]
    result = Result(Path("page.png"), digits=digits)
    assert (result.digit, result.confidence, result.reason, result.text) == (None, None, "several digits", "77")
    assert Result(Path("page.png")).reason == "no digit"
