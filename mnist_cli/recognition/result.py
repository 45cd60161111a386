"""The result of recognizing one picture, which the command line, Python and the service share."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_cli.errors import MnistError
from mnist_cli.labels import short_name
from mnist_cli.recognition.numbers import Line, Number, group

if TYPE_CHECKING:
    from mnist_cli.arrays import Picture
    from mnist_cli.recognition.attribution import Evidence
    from mnist_cli.recognition.detection import Detection
    from mnist_cli.recognition.predictions import Prediction


@dataclass(frozen=True, repr=False)
class Result:
    """What was recognized in a picture: its single digit, or all its digits, or the reason why there is none."""

    path: Path | str | None = None  # a str for a URL; None when the picture is not from a file
    prediction: "Prediction | None" = None  # of the single digit; None for no digit, several digits, or an `error`
    digits: "Sequence[Detection]" = ()  # in reading order, when a picture may have several
    error: MnistError | None = None  # why the picture could not be read
    picture: "Picture | None" = None
    no_digits: str = "no digit"  # the reason where `digits` were looked for and there are none

    def __repr__(self) -> str:
        facts: dict[str, object] = {"path": str(self.path)} if self.path else {}
        if self.digits:
            facts["text"] = self.text
        elif self.reason:
            facts["reason"] = self.reason
        else:
            named = {"label": self.label} if self.digit is None else {"digit": self.digit}
            facts |= {**named, "confidence": self.confidence}
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in facts.items())})"

    @property
    def digit(self) -> int | None:
        """The single digit in the picture, or None for a `reason` or another class."""
        return self.prediction.digit if self.prediction else None

    @property
    def label(self) -> str | None:
        """The name of the class in the picture, such as `7`, or None for a `reason`."""
        return self.prediction.label if self.prediction else None

    @property
    def confidence(self) -> float | None:
        """The probability of the likeliest class, 0 to 1; None without a prediction."""
        return self.prediction.confidence if self.prediction else None

    @property
    def probabilities(self) -> list[float] | None:
        """The probabilities of the classes, the digits 0 to 9 for example, which sum to 1; None without a prediction."""
        return self.prediction.probabilities if self.prediction else None

    @property
    def evidence(self) -> "Evidence | None":
        """Where in the frame the evidence for the likeliest class and for the runner-up lies, if that was asked for."""
        return self.prediction.evidence if self.prediction else None

    @property
    def reason(self) -> str | None:
        """Why there is no single digit."""
        if self.prediction:
            return self.prediction.reason
        if self.error:
            return str(self.error)
        return "several digits" if self.digits else self.no_digits

    @property
    def text(self) -> str:
        """The digits as text, line by line, with a `?` for each that has a reason; `numbers` has the spaces, too."""
        return "\n".join(line.text.replace(" ", "") for line in self.lines)

    @property
    def lines(self) -> list[Line]:
        """The lines of the digits, from top to bottom, each with its numbers."""
        return group(self.digits)

    @property
    def numbers(self) -> list[str]:
        """The numbers as text, in reading order, with a `?` for each digit that has a reason."""
        return [number.text for line in self.lines for number in line.numbers]

    def to_dict(self, top_k: int = 0, many: bool = False, frame: bool = False) -> dict[str, Any]:
        """Return the result as plain values, for JSON.

        `top_k` adds the likeliest digits, also to each of many; `many` adds all digits, their text, and the numbers and
        lines that they form; `frame` adds the input of the model as 28 rows of 28 levels, 0 = paper .. 255 = ink.
        """
        prediction = self.prediction
        values: dict[str, Any] = {
            "path": None if self.path is None else str(self.path),
            "digit": self.digit,
            "label": self.label,
            "confidence": self.confidence,
            "probabilities": self.probabilities,
            "reason": self.reason,
        }
        if top_k:
            values["top"] = likeliest(prediction, top_k) if prediction else None
        if many:
            values["digits"] = [_detection_values(digit, top_k) for digit in self.digits]
            values["text"] = self.text
            values["numbers"] = self.numbers
            values["lines"] = [
                {"numbers": [_number_values(number, top_k) for number in line.numbers]} for line in self.lines
            ]
        if frame:
            shown = prediction.frame if prediction else None
            values["frame"] = None if shown is None else shown[0].tolist()
        return values


def likeliest(prediction: "Prediction", top_k: int) -> list[tuple[int | str, float]]:
    """Return the `top_k` likeliest classes, a digit as a number, and their probabilities, the likeliest first."""
    named = zip(map(short_name, prediction.classes), prediction.probabilities, strict=True)
    return sorted(named, key=lambda pair: -pair[1])[:top_k]


def csv_columns(classes: Sequence[str]) -> list[str]:
    """Return the columns of a CSV table: the class, called `digit` where all classes are, and a probability for each class."""
    answer = "digit" if all(name.isdecimal() for name in classes) else "label"
    return ["path", answer, "confidence", "reason", *(f"p{name}" for name in classes)]


def csv_cells(prediction: "Prediction | None", reason: str | None, classes: Sequence[str]) -> list[object]:
    """Return the cells of `csv_columns` after the path."""
    if prediction is None:
        return [None, None, reason, *[None] * len(classes)]
    return [prediction.label, prediction.confidence, reason, *prediction.probabilities]


def _number_values(number: Number, top_k: int) -> dict[str, Any]:
    return {
        "text": number.text,
        "before": number.digits[0].before or None,
        "confidence": number.confidence,
        "box": list(number.box),
        "digits": [_detection_values(digit, top_k) for digit in number.digits],
    }


def _detection_values(detection: "Detection", top_k: int) -> dict[str, Any]:
    prediction = detection.prediction
    values: dict[str, Any] = {
        "digit": prediction.digit,
        "confidence": prediction.confidence,
        "box": list(detection.box),
        "reason": prediction.reason,
    }
    if top_k:
        values["top"] = likeliest(prediction, top_k)
    return values
