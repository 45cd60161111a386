"""`mnist info`: the metadata of a checkpoint."""

import hashlib
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from mnist_cli.cli import tables
from mnist_cli.cli.console import CHECKPOINT, DEFAULT_CHECKPOINT, print_result, print_status
from mnist_cli.config import to_toml
from mnist_cli.models import checkpoint_info, layers, pretrained
from mnist_cli.models.checkpoint_info import Header
from mnist_cli.results import percent
from mnist_cli.training import runs


def info(
    checkpoint: Annotated[
        Path | None,
        typer.Argument(
            metavar=f"[{CHECKPOINT}]",
            readable=False,
            help="A file that `mnist train` wrote, the name of a run, `latest` or `pretrained`.",
            show_default=DEFAULT_CHECKPOINT,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object, with the results of all epochs.")
    ] = False,
) -> None:
    """Show the contents of a checkpoint: model, scores, layers, and the configuration of its run.

    The model is not built, and no code in the file is run. `pretrained` is the model that ships with the program.
    """
    path = runs.find_checkpoint(checkpoint)
    if checkpoint is None:
        print_status(f"Showing {path}; `mnist info {CHECKPOINT}` shows another.")
    header = checkpoint_info.read(path)
    with pretrained.resolve(path).open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
    if as_json:
        print_result(json.dumps(_values(header, size, sha256), default=str))
    else:
        _print(header, size, sha256)


def _values(header: Header, size: int, sha256: str) -> dict[str, Any]:
    return {
        "path": str(header.path),
        "size": size,
        "sha256": sha256,
        "model": header.model,
        "arguments": header.arguments,
        "parameters": header.parameters,
        "layers": header.shapes,
        "summary": [
            {"name": layer.name, "output": layer.output, "parameters": layer.parameters}
            for layer in layers.describe(header.shapes)
        ],
        "metrics": [_finite(asdict(result)) for result in header.metrics],
        "config": asdict(header.config),
        "versions": header.versions,
    }


def _finite(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values with None for infinity and NaN, which JSON does not have."""
    return {name: None if value is None or not math.isfinite(value) else value for name, value in values.items()}


def _print(header: Header, size: int, sha256: str) -> None:
    facts = [
        ("checkpoint", str(header.path)),
        ("size", f"{size:,} bytes"),
        ("SHA-256", sha256),
        ("written by", ", ".join(f"{program} {version}" for program, version in header.versions.items())),
        ("model", f"{header.model} with {header.parameters:,} parameters"),
        ("epochs", f"{header.epochs:,} of {header.config.epochs:,}"),
    ]
    if header.metrics:
        last = header.metrics[-1]
        facts += [("val accuracy", percent(last.val_accuracy)), ("val loss", f"{last.val_loss:.4f}")]
    if header.seconds:
        facts.append(("trained for", f"{header.seconds:,.0f} s"))
    print_result(tables.columns(facts, left={0, 1}) + "\n")
    rows = [
        (layer.name, _by(layer.output), f"{layer.parameters:,}", layer.prefix)
        for layer in layers.describe(header.shapes)
    ]
    total = ("all", "", f"{header.parameters:,}", "")
    tables.show([("layer", "output shape", "parameters", "name in the file"), *rows, total], left={0, 1, 3})
    weights = [(name, _by(shape)) for name, shape in header.shapes.items()]
    print_result("\nweights\n" + tables.columns(weights, left={0, 1}, indent=2))
    print_result("\nconfiguration")
    print_result("\n".join(f"  {line}" for line in to_toml(header.config).splitlines()))


def _by(shape: tuple[int, ...]) -> str:
    """Write a shape as `16 x 12 x 12`."""
    return " x ".join(map(str, shape)) or "1"
