"""The JSON that the service returns, as its OpenAPI document describes it, and its errors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field

from mnist_cli.arrays import FRAME
from mnist_cli.errors import MnistError
from mnist_cli.labels import DIGITS
from mnist_cli.recognition.result import Result
from mnist_cli.serving.uploads import NAMELESS

Probability = Annotated[float, Field(ge=0, le=1)]
Level = Annotated[int, Field(ge=0, le=255)]
Row = Annotated[list[Level], Field(min_length=FRAME, max_length=FRAME)]
Map = Annotated[list[list[float]], Field(min_length=FRAME, max_length=FRAME)]
Digit = Annotated[int, Field(ge=0, le=len(DIGITS) - 1)]


class DigitReply(BaseModel):
    """A digit found in a picture."""

    digit: Digit | None = Field(description="null for a `reason`")
    confidence: Probability
    box: Annotated[list[int], Field(min_length=4, max_length=4, description="x, y, width, height in pixels")]
    reason: str | None = Field(description="why no digit is predicted")


class NumberReply(BaseModel):
    """A group of adjacent digits in a line."""

    text: str = Field(description="`?` for a symbol that is not a digit")
    confidence: Probability = Field(description="the product of the probabilities of its digits")
    box: Annotated[list[int], Field(min_length=4, max_length=4, description="x, y, width, height in pixels")]
    digits: list[DigitReply]


class LineReply(BaseModel):
    """A line of digits."""

    numbers: list[NumberReply] = Field(description="from left to right")


class Reply(BaseModel):
    """The result for a picture, with the keys of `mnist predict --json`."""

    path: str = Field(description="the name of the file in the form, or `-`")
    digit: Digit | None = Field(description="null for a `reason`, or when the class is no digit")
    label: str | None = Field(description="the name of the class, of the digit 7 for example `7`; null for a `reason`")
    confidence: Probability | None
    probabilities: Annotated[list[Probability], Field(min_length=2)] | None = Field(
        description="of the classes that /api/model lists: the digits 0 to 9, unless the model has others"
    )
    reason: str | None = Field(description="why no digit is predicted, or what is wrong with the request")
    digits: list[DigitReply] = Field(default=[], description="with `many`: all digits, in reading order")
    text: str = Field(
        default="",
        description="with `many`: the digits as text, line by line, with `?` for a symbol that is not a digit",
    )
    numbers: list[str] = Field(default=[], description="with `many`: the numbers that they form, in reading order")
    lines: list[LineReply] = Field(default=[], description="with `many`: the lines, from top to bottom")
    frame: Annotated[list[Row], Field(min_length=FRAME, max_length=FRAME)] | None = Field(
        default=None, description="with `frame`: the input of the model, 0 = paper .. 255 = ink"
    )


class LayerReply(BaseModel):
    """A hidden layer, after its activation function."""

    name: str = Field(description="such as `conv 5x5` or `linear`")
    maps: list[list[list[float]]] = Field(
        description="of each unit, rows of values; of a fully connected layer, one value"
    )
    contributions: list[float] = Field(description="by how much the logit of the class falls without each unit")


class EvidenceReply(BaseModel):
    """Where in the frame the evidence for a class lies."""

    label: str = Field(description="the name of the class")
    map: Map = Field(
        description="by how much its logit, less the mean of all, falls where 4x4 pixels are covered with paper"
    )


class UnitReply(BaseModel):
    """What a unit looks at."""

    layer: int
    index: int
    weights: list[list[float]] | None = Field(description="of the first layer only: what full ink adds at each pixel")
    box: Annotated[list[int], Field(min_length=4, max_length=4)] = Field(
        description="the part of the frame that excites it most: x, y, width, height in pixels"
    )
    map: Map = Field(description="by how much its maximum falls where 4x4 pixels are covered with paper")


class InspectionReply(BaseModel):
    """What the network computes for a picture; without ink there is only a reason."""

    reason: str | None = Field(description="`no ink` or `not a digit`")
    label: str | None = Field(description="the likeliest class; null for a `reason`")
    threshold: float = Field(description="the score below which a frame is not a digit")
    ink: list[list[Level]] = Field(default=[], description="as it was found in the picture, smaller if it is large")
    frame: Annotated[list[Row], Field(max_length=FRAME)] = Field(
        default=[], description="the input of the model, 0 = paper .. 255 = ink, with the changes"
    )
    layers: list[LayerReply] = Field(default=[], description="the hidden layers, the first one first")
    logits: list[float] = Field(default=[], description="of the classes, divided by the temperature")
    temperature: float | None = Field(default=None, description="that calibrates the probabilities")
    score: float | None = Field(default=None, description="the energy score, logsumexp of the logits")
    probabilities: list[Probability] = Field(default=[], description="the softmax of the logits")
    evidence: list[EvidenceReply] = Field(default=[], description="for the class, and for its strongest rival")
    unit: UnitReply | None = Field(default=None, description="with `unit`")
    compared: list[list[Probability]] = Field(
        default=[],
        description="the probabilities of the models that /api/model lists as `compared`, for the same frame",
    )


class ModelReply(BaseModel):
    """The loaded model."""

    checkpoint: str
    val_accuracy: Probability | None = Field(
        description="on its validation images, those of MNIST unless it was trained on other data; null if unknown"
    )
    parameters: int | None
    classes: list[str] = Field(description="in the order of the probabilities")
    version: str = Field(description="of mnist-cli")
    runtime: str = Field(description="torch or onnxruntime, and the device")
    collect: bool = Field(description="whether /api/corrections stores pictures")
    compared: list[str] = Field(
        description="the checkpoints of further models, which /api/inspect compares with this one"
    )


class SavedReply(BaseModel):
    """The path of a saved correction."""

    path: str = Field(description="the name of the PNG file in the folder that --collect names")
    digit: Digit | None = Field(description="null for another class")
    label: str = Field(description="the class")


class HealthReply(BaseModel):
    """The status of the service."""

    status: str


def refuse(status: int, reason: str, headers: Mapping[str, str] | None = None) -> JSONResponse:
    """Return the JSON response for an error, with the keys of a result."""
    return JSONResponse(Result(Path(NAMELESS), error=MnistError(reason)).to_dict(), status, headers)
