"""The result of recognizing one picture, which the command line, Python and the service share."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_cli.errors import MnistError

if TYPE_CHECKING:
    from mnist_cli.arrays import Picture
    from mnist_cli.recognition.detection import Detection
    from mnist_cli.recognition.predictions import Prediction


@dataclass(frozen=True, repr=False)
class Result:
    """The single digit of a picture, or all its digits, or the reason why there is none."""

    path: Path | None = None  # None when the picture is not from a file
    prediction: "Prediction | None" = None  # of the single digit; None for no digit, several digits, or an `error`
    digits: "Sequence[Detection]" = ()  # in reading order, when a picture may have several
    error: MnistError | None = None  # why the picture could not be read
    picture: "Picture | None" = None

    def __repr__(self) -> str:
        facts: dict[str, object] = {"path": str(self.path)} if self.path else {}
        if self.digits:
            facts["text"] = self.text
        elif self.reason:
            facts["reason"] = self.reason
        else:
            facts |= {"digit": self.digit, "confidence": self.confidence}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in facts.items())})"

    @property
    def digit(self) -> int | None:
        """The single digit in the picture, or None for a `reason`."""
        return self.prediction.digit if self.prediction else None

    @property
    def confidence(self) -> float | None:
        """The probability of the likeliest digit, 0 to 1; None without a prediction."""
        return self.prediction.confidence if self.prediction else None

    @property
    def probabilities(self) -> list[float] | None:
        """The probabilities of the digits 0 to 9, which sum to 1; None without a prediction."""
        return self.prediction.probabilities if self.prediction else None

    @property
    def reason(self) -> str | None:
        """Why there is no single digit."""
        if self.prediction:
            return self.prediction.reason
        if self.error:
            return str(self.error)
        return "several digits" if self.digits else "no digit"

    @property
    def text(self) -> str:
        """The digits as text, line by line, with a `?` for each that has a reason."""
        lines = groupby(self.digits, key=lambda detection: detection.line)
        texts = (["?" if one.prediction.reason else str(one.prediction.digit) for one in line] for _, line in lines)
        return "\n".join("".join(line) for line in texts)

    def to_dict(self, top_k: int = 0, many: bool = False, frame: bool = False) -> dict[str, Any]:
        """Return the result as plain values, for JSON.

        `top_k` adds the likeliest digits, `many` all digits and their text, and `frame` the input of the model as 28 rows
        of 28 levels, 0 = paper .. 255 = ink.
        """
        prediction = self.prediction
        values: dict[str, Any] = {
            "path": None if self.path is None else str(self.path),
            "digit": self.digit,
            "confidence": self.confidence,
            "probabilities": self.probabilities,
            "reason": self.reason,
        }
        if top_k:
            values["top"] = likeliest(prediction, top_k) if prediction else None
        if many:
            values["digits"] = [_detection_values(detection) for detection in self.digits]
            values["text"] = self.text
        if frame:
            shown = prediction.frame if prediction else None
            values["frame"] = None if shown is None else shown[0].tolist()
        return values


def likeliest(prediction: "Prediction", top_k: int) -> list[tuple[int, float]]:
    """Return the `top_k` likeliest digits and their probabilities, the likeliest first."""
    return sorted(enumerate(prediction.probabilities), key=lambda pair: -pair[1])[:top_k]


def _detection_values(detection: "Detection") -> dict[str, Any]:
    prediction = detection.prediction
    return {
        "digit": prediction.digit,
        "confidence": prediction.confidence,
        "box": list(detection.box),
        "reason": prediction.reason,
    }
