"""What there is to say about a picture, whoever asks: the command line or a program that talks to the service."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mnist_cli.arrays import Picture
    from mnist_cli.recognition.numbers import Found
    from mnist_cli.recognition.predictions import Prediction


@dataclass
class Answer:
    """What there is to say about one file."""

    path: Path
    picture: "Picture | None" = None
    error: str | None = None  # why there is no picture
    prediction: "Prediction | None" = None  # of its only digit; None when it has none or several
    found: "list[Found]" = field(default_factory=list)  # its digits, when several are looked for

    def set_found(self, found: "list[Found]") -> None:
        """Take the digits of a picture that may have several; the only one is its prediction, too."""
        self.found = found
        self.prediction = found[0].prediction if len(found) == 1 else None

    @property
    def digit(self) -> int | None:
        """The only digit in the picture, or None for a `reason`."""
        return self.prediction.digit if self.prediction else None

    @property
    def reason(self) -> str | None:
        """Why no single digit is named."""
        if self.prediction or self.error:
            return self.prediction.reason if self.prediction else self.error
        return "several digits" if self.found else "no digit"

    @property
    def text(self) -> str:
        """What the digits in the picture read, line by line."""
        return text_of(self.found)

    def values(self, top_k: int = 0, many: bool = False, frame: bool = False) -> dict[str, Any]:
        """Return what JSON tells of it.

        That has the `top_k` likeliest digits, unless 0, all digits if there may be `many`, and, if asked for the
        `frame`, the 28 rows of 28 levels that the model saw, 0 = paper .. 255 = ink.
        """
        prediction = self.prediction
        values: dict[str, Any] = {
            "path": str(self.path),
            "digit": self.digit,
            "confidence": prediction.confidence if prediction else None,
            "probabilities": prediction.probabilities if prediction else None,
            "reason": self.reason,
        }
        if top_k:
            values["top"] = likeliest(prediction, top_k) if prediction else None
        if many:
            values["digits"] = [_found_values(found) for found in self.found]
            values["text"] = self.text
        if frame:
            seen = prediction.frame if prediction else None
            values["frame"] = None if seen is None else seen[0].tolist()
        return values


def text_of(found: Sequence["Found"]) -> str:
    """Return the digits as text, line by line, with a `?` for each that has a reason."""
    lines = groupby(found, key=lambda one: one.line)
    signs = (["?" if one.prediction.reason else str(one.prediction.digit) for one in line] for _, line in lines)
    return "\n".join("".join(line) for line in signs)


def likeliest(prediction: "Prediction", top_k: int) -> list[tuple[int, float]]:
    """Return the `top_k` likeliest digits and their probabilities, the likeliest first."""
    return sorted(enumerate(prediction.probabilities), key=lambda pair: -pair[1])[:top_k]


def _found_values(found: "Found") -> dict[str, Any]:
    prediction = found.prediction
    return {
        "digit": prediction.digit,
        "confidence": prediction.confidence,
        "box": list(found.box),
        "reason": prediction.reason,
    }
