"""`mnist evaluate`: measure a checkpoint on the val images."""

import json
from pathlib import Path
from typing import Annotated

import typer

from mnist_cli.cli.terminal import DataDir, Device, percent, repair_data
from mnist_cli.config import DATA_DIR


def evaluate(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="A file that `mnist train` wrote.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object: loss, accuracy, errors, images.")
    ] = False,
    device: Device = None,
    data_dir: DataDir = DATA_DIR,
) -> None:
    """Measure a model on the 10,000 val images.

    Reports loss, accuracy and errors. The model is rebuilt from the checkpoint alone, and none of the images was
    trained on.
    """
    from mnist_cli import checkpoints, data, devices, training

    place = devices.choose(device)
    model = checkpoints.load(checkpoint).model.to(place)
    repair_data(data_dir)
    result = training.evaluate(model, data.load(data_dir, "val").to(place))
    if as_json:
        values = {"loss": result.loss, "accuracy": result.accuracy, "errors": result.errors, "images": result.images}
        typer.echo(json.dumps(values))
        return
    low, high = result.interval()
    typer.echo(f"val loss      {result.loss:.4f}")
    typer.echo(f"val accuracy  {percent(result.accuracy)}  (95 % interval {percent(low)} to {percent(high)})")
    typer.echo(f"errors        {result.errors:,} of {result.images:,}")
