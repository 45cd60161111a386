"""`mnist evaluate`: measure checkpoints on the val images."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mnist_cli.cli.terminal import DataDir, Device, percent, repair_data
from mnist_cli.config import DATA_DIR

if TYPE_CHECKING:
    from mnist_cli.training import Evaluation


def evaluate(
    checkpoint: Annotated[
        list[Path], typer.Argument(metavar="CHECKPOINT...", readable=False, help="Files that `mnist train` wrote.")
    ],
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Measure the models together: the mean of what they say.")
    ] = False,
    tta: Annotated[
        bool, typer.Option("--tta", help="Show each image in five places, a pixel apart, and take the mean.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object a line: loss, accuracy, errors, images.")
    ] = False,
    device: Device = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Measure models on the 10,000 val images.

    Reports loss, accuracy and errors, of each checkpoint or of all together. A model is rebuilt from its checkpoint
    alone, and none of the images was trained on.
    """
    from mnist_cli import checkpoints, data, devices, models, training

    place = devices.choose(device)
    members = [checkpoints.load(path).model.to(place) for path in checkpoint]
    repair_data(data_dir, "val")
    digits = data.load(data_dir, "val").to(place)
    together = ensemble or len(members) == 1
    paths: list[Path | None] = [None] if together else [*checkpoint]
    for path, group in zip(paths, [members] if together else [[member] for member in members], strict=True):
        model = models.Ensemble(group, tta) if tta or len(group) > 1 else group[0]
        result = training.evaluate(model, digits)
        typer.echo(_as_json(path, result) if as_json else _as_lines(path, result))


def _as_json(path: Path | None, result: "Evaluation") -> str:
    """Return the result as one object, with the checkpoint's path where there are several."""
    values = {"loss": result.loss, "accuracy": result.accuracy, "errors": result.errors, "images": result.images}
    return json.dumps(({"path": str(path)} if path else {}) | values, allow_nan=False)


def _as_lines(path: Path | None, result: "Evaluation") -> str:
    low, high = result.interval()
    lines = [
        f"val loss      {result.loss:.4f}",
        f"val accuracy  {percent(result.accuracy)}  (95 % interval {percent(low)} to {percent(high)})",
        f"errors        {result.errors:,} of {result.images:,}",
    ]
    return "\n".join([f"{path}:", *lines] if path else lines)
