"""`mnist export`: write a trained model in a format for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mnist_cli.cli.console import CHECKPOINT, MNIST, Data, DataDir, MaxUnreadable, load_data, print_answer, say
from mnist_cli.errors import ConfigError, missing
from mnist_cli.labels import DIGITS
from mnist_cli.results import percent
from mnist_cli.training import runs

if TYPE_CHECKING:
    from types import ModuleType

CALIBRATION_IMAGES = 2_000  # training images from which the ranges of the activations are calibrated


Exported = Annotated[
    Path,
    typer.Argument(
        metavar=CHECKPOINT,
        readable=False,
        help="A file that `mnist train` wrote, the name of a run, `latest` or `pretrained`.",
    ),
]
Output = Annotated[
    Path | None,
    typer.Option(readable=False, help="The file to write.", show_default="the checkpoint with suffix .onnx or .pt2"),
]
Format = Annotated[Literal["onnx", "pt2"], typer.Option(help="ONNX, for any program, or pt2, for torch.export.load.")]
Int8 = Annotated[bool, typer.Option("--int8", help="Quantize to 8-bit integers: a quarter of the size, and faster.")]


def export(
    checkpoint: Exported,
    output: Output = None,
    format: Format = "onnx",
    int8: Int8 = False,
    data: Data = None,
    max_unreadable: MaxUnreadable = 0.0,
    data_dir: DataDir = None,
) -> None:
    """Export a model for other programs, verified on the 10,000 val images, or on those of --data.

    It is written only if it gives the same predictions as the checkpoint, with logits within 0.0001; with --int8, only if
    its accuracy is within 0.1 percentage points. Only the path is printed on stdout.

    \b
      mnist export checkpoints/NAME/last.pt
      mnist export pretrained --output digits.onnx --int8
      mnist predict --checkpoint digits.onnx seven.png
    """  # noqa: D301  (a backspace, which keeps the lines below it as they are)
    if int8 and format != "onnx":
        raise ConfigError("--int8 is for ONNX files, so it cannot be combined with --format")
    checkpoint = runs.find_checkpoint(checkpoint)
    path = output or checkpoint.with_suffix(f".{format}")
    if path.suffix != f".{format}":  # which also keeps the checkpoint from being overwritten
        raise ConfigError(f"--output must end in .{format}, which {path} does not")
    exports = _import_exports()

    from mnist_cli.files import replacing
    from mnist_cli.models import checkpoints

    loaded = checkpoints.load(checkpoint)
    sources = data or ([MNIST] if loaded.model.classes == DIGITS else loaded.config.data)
    measured = load_data(sources, data_dir, max_unreadable).split().labelled_as(loaded.model.classes)
    assert measured.val
    calibration = measured.train.images[:CALIBRATION_IMAGES] if int8 else None
    say("Exporting takes some seconds.")
    content, found = exports.make(loaded, format, measured.val.images, measured.val.labels, calibration)
    with replacing(path) as file:
        file.write(content)
    print_answer(str(path))
    if int8:
        say(f"val accuracy {percent(found.accuracy)}; the checkpoint has {percent(found.accuracy_before)}.")
    else:
        say(f"Same predictions as the checkpoint on {found.images:,} val images, logits within {found.distance:.1g}.")


def _import_exports() -> "ModuleType":
    """Return the module `exports`; raises MnistError when a package of the extra `export` is not installed."""
    from mnist_cli.models import backends

    try:
        backends.import_onnxruntime()
        import onnxscript  # noqa: F401  (torch needs it, and its own error is longer)

        from mnist_cli.models import exports
    except ImportError as error:
        raise missing("`mnist export`", error, "export") from error
    return exports
