"""`mnist export`: write a trained model in a format for other programs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from mnist_cli.cli.console import CHECKPOINT, MNIST, Data, DataDir, MaxUnreadable, load_data, print_result, print_status
from mnist_cli.errors import ConfigError, ExportError, missing
from mnist_cli.labels import DIGITS
from mnist_cli.results import percent
from mnist_cli.training import runs

if TYPE_CHECKING:
    from mnist_cli.datasets.labelled_images import DataSet
    from mnist_cli.exporting.comparison import Export
    from mnist_cli.models.checkpoints import Checkpoint

SUFFIXES = {"onnx": ".onnx", "pt2": ".pt2", "html": ".html", "c": ".h"}
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
    typer.Option(
        readable=False, help="The file to write.", show_default="the checkpoint with suffix .onnx, .pt2, .html or .h"
    ),
]
Format = Annotated[
    Literal["onnx", "pt2", "html", "c"],
    typer.Option(
        help="ONNX, for any program; pt2, for torch.export.load; html, a page to draw on that works without a server; c, a "
        "header for microcontrollers, always in 8-bit integers."
    ),
]
Int8 = Annotated[
    bool,
    typer.Option(
        "--int8", help="Quantize to 8-bit integers: a quarter of the size; for onnx, where it is also faster, and html."
    ),
]


def export(
    checkpoint: Exported,
    output: Output = None,
    format: Format = "onnx",
    int8: Int8 = False,
    data: Data = None,
    max_unreadable: MaxUnreadable = 0.0,
    data_dir: DataDir = None,
) -> None:
    """Export a model for other programs, for any browser or for C, verified on the 10,000 val images, or on those of --data.

    It is written only if it gives the same predictions as the checkpoint, onnx and pt2 with logits within 0.0001; in 8-bit
    integers, only if its accuracy is within 0.1 percentage points. Only the path is printed on stdout.

    \b
      mnist export checkpoints/NAME/last.pt
      mnist export pretrained --output digits.onnx --int8
      mnist predict --checkpoint digits.onnx seven.png
      mnist export pretrained --format html
    """  # noqa: D301  (a backspace, which keeps the lines below it as they are)
    if int8 and format not in ("onnx", "html"):
        raise ConfigError(f"--int8 is for ONNX files and pages, so it cannot be combined with --format {format}")
    checkpoint = runs.find_checkpoint(checkpoint)
    suffix = SUFFIXES[format]
    path = output or checkpoint.with_suffix(suffix)
    if path.suffix != suffix:  # which also keeps the checkpoint from being overwritten
        raise ConfigError(f"--output must end in {suffix}, which {path} does not")
    if format in ("onnx", "pt2"):
        _check_extra()

    from mnist_cli.files import replacing
    from mnist_cli.models import checkpoints

    loaded = checkpoints.load(checkpoint)
    if format in ("html", "c") and loaded.model.classes != DIGITS:
        raise ExportError(f"{checkpoint} has other classes than the digits, for which --format {format} is")
    sources = data or ([MNIST] if loaded.model.classes == DIGITS else loaded.config.data)
    measured = load_data(sources, data_dir, max_unreadable).split().labelled_as(loaded.model.classes)
    exported = _exported(loaded, format, int8, measured)
    with replacing(path) as file:
        file.write(exported.content)
    print_result(str(path))
    found = exported.comparison
    if exported.size:
        print_status(f"{exported.size}.")
    if int8 or format == "c":
        print_status(f"val accuracy {percent(found.accuracy)}; the checkpoint has {percent(found.accuracy_before)}.")
    else:
        print_status(
            f"Same predictions as the checkpoint on {found.images:,} val images, logits within {found.distance:.1g}."
        )


def _exported(checkpoint: "Checkpoint", format: str, int8: bool, measured: "DataSet") -> "Export":
    """Return the exported model; raises ExportError when it differs too much from the checkpoint."""
    assert measured.val
    images, labels = measured.val.images, measured.val.labels
    has_calibration = format == "c" or (format == "onnx" and int8)
    calibration = measured.train.images[:CALIBRATION_IMAGES] if has_calibration else None
    print_status("Exporting takes some seconds.")
    if format == "html":
        from mnist_cli.exporting import webpage

        return webpage.make(checkpoint, images, labels, int8)
    if format == "c":
        from mnist_cli.exporting import c_header

        assert calibration is not None
        return c_header.make(checkpoint, images, labels, calibration)

    from mnist_cli.exporting import torch_export

    return torch_export.make(checkpoint, "pt2" if format == "pt2" else "onnx", images, labels, calibration)


def _check_extra() -> None:
    """Raise MnistError when a package of the extra `export` is not installed."""
    from mnist_cli.models import backends

    try:
        backends.import_onnxruntime()
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401  (torch needs it, and its own error is longer)
    except ImportError as error:
        raise missing("`mnist export`", error, "export") from error
