"""`mnist convert`: write a data set in another format."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from mnist_cli.cli.console import DataDir, MaxUnreadable, load_data, print_result, print_status


def convert(
    source: Annotated[str, typer.Argument(metavar="SOURCE", help="A data set, as `mnist train --data` takes it.")],
    dest: Annotated[
        Path,
        typer.Argument(metavar="DEST", readable=False, help="The file or folder to write, which is not there yet."),
    ],
    format: Annotated[
        Literal["png", "idx", "npz", "csv", "parquet"] | None,
        typer.Option(
            help="png is a folder of pictures for each class, idx the files of MNIST.",
            show_default="by the suffix of DEST; png for a folder",
        ),
    ] = None,
    max_unreadable: MaxUnreadable = 0.0,
    data_dir: DataDir = None,
) -> None:
    """Write a data set in another format, for other programs.

    Where the data bring a part for validation it is kept apart: as `train` and `val`, as files t10k-…, as x_test, or in a
    second file with `-val` in its name. Only what was written is printed on stdout.

    \b
      mnist convert mnist pictures
      mnist convert mine mine.npz
      mnist convert fashion-mnist other --format idx
    """  # noqa: D301  (a backspace, which keeps the lines below it as they are)
    from mnist_cli.datasets import conversion

    data = load_data([source], data_dir, max_unreadable)
    written = conversion.write(data, dest, format or conversion.format_for(dest))
    print_result("\n".join(map(str, written)))
    val = f" and {len(data.val):,} for validation" if data.val else ""
    print_status(f"{len(data.train):,} images{val}, {len(data.classes)} classes.")
