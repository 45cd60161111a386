"""The command line: `mnist` and its commands, one file each.

A command turns options into calls of the library and prints what they return; results go to stdout, everything else to
stderr. Nothing here imports torch, numpy or Pillow at the top, so that `mnist --help` starts fast.
"""

import os
from typing import Annotated

import typer

from mnist_cli.cli import runs
from mnist_cli.cli.console import FriendlyErrors
from mnist_cli.cli.convert import convert
from mnist_cli.cli.data import data
from mnist_cli.cli.download import download
from mnist_cli.cli.evaluate import evaluate
from mnist_cli.cli.export import export
from mnist_cli.cli.info import info
from mnist_cli.cli.predict import predict
from mnist_cli.cli.samples import samples
from mnist_cli.cli.serve import serve
from mnist_cli.cli.train import train
from mnist_cli.cli.tune import tune
from mnist_cli.cli.usage import Command
from mnist_cli.version import __version__

app = typer.Typer(
    cls=FriendlyErrors,
    no_args_is_help=True,
    rich_markup_mode=None,  # Rich would draw boxes around the help, and double the time that it takes
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)
app.command(cls=Command)(download)
app.command(cls=Command)(train)
app.command(cls=Command)(tune)
app.command(cls=Command)(evaluate)
app.command(cls=Command)(predict)
app.add_typer(runs.app, name="runs")
app.command(cls=Command)(info)
app.command(cls=Command)(export)
app.command(cls=Command)(serve)
app.command(cls=Command)(samples)
app.command(cls=Command)(data)
app.command(cls=Command)(convert)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mnist {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback behind an error; MNIST_DEBUG=1 does the same.")
    ] = False,
) -> None:
    """Train, evaluate and use a classifier of handwritten digits.

    Start with `mnist train`: the data ships with the program. Then `mnist evaluate` the checkpoint it names, and
    `mnist predict` pictures of your own.
    """
    if debug:
        os.environ["MNIST_DEBUG"] = "1"
