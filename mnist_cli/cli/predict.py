"""`mnist predict`: say which digit is in a picture."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnist_cli.cli.terminal import Device, percent, printable, say, show_error
from mnist_cli.config import CHECKPOINTS_DIR
from mnist_cli.errors import ImageError

if TYPE_CHECKING:
    from mnist_cli.predictions import Prediction

BATCH = 256  # pictures held at once, so that the memory does not grow with their number


def predict(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", readable=False, help="Pictures of one digit each, such as PNGs.")
    ],
    checkpoint: Annotated[
        Path | None,
        typer.Option(readable=False, help="The model to use.", show_default=f"the newest under {CHECKPOINTS_DIR}"),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line: path, digit, confidence, probabilities.")
    ] = False,
    device: Device = None,
) -> None:
    """Name the digit in each picture, and how sure the model is.

    A picture may have any size and be dark on light or light on dark: it is redrawn the way MNIST draws digits.
    A file that cannot be used is named on stderr; the others are still answered, and the exit status is 1.
    """
    from mnist_cli import checkpoints, devices, images, predictions

    place = devices.choose(device)
    loaded = checkpoints.load(checkpoint or checkpoints.find_newest(CHECKPOINTS_DIR))
    score = "no epoch finished" if loaded.val_accuracy is None else f"val accuracy {percent(loaded.val_accuracy)}"
    hint = "" if checkpoint else "; --checkpoint names another"
    say(f"Using {loaded.path} ({score}){hint}.")
    model = loaded.model.to(place)
    all_read = True
    for start in range(0, len(files), BATCH):
        paths, frames = [], []
        for path in files[start : start + BATCH]:
            try:
                frames.append(images.read(path))
                paths.append(path)
            except ImageError as error:
                show_error(str(error))
                all_read = False
        for path, prediction in zip(paths, predictions.classify(model, frames), strict=True):
            typer.echo(_as_json(path, prediction) if as_json else _as_line(path, prediction))
    if not all_read:
        raise typer.Exit(1)


def _as_line(path: Path, prediction: "Prediction") -> str:
    return f"{printable(path)}: {prediction.digit}  {percent(prediction.confidence, digits=1)}"


def _as_json(path: Path, prediction: "Prediction") -> str:
    return json.dumps(
        {
            "path": str(path),
            "digit": prediction.digit,
            "confidence": prediction.confidence,
            "probabilities": prediction.probabilities,
        }
    )
