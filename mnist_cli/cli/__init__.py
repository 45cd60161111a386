"""The command line: `mnist` and its commands, one file each.

A command turns options into calls of the library and prints what they return; results go to stdout, everything else to
stderr. Nothing here imports torch, numpy or Pillow at the top, and the file of a command is imported only when the
command is typed, so that `mnist --help` starts fast.
"""

import os
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.main import get_command

from mnist_cli.cli.console import FriendlyErrors, print_status
from mnist_cli.cli.usage import Command
from mnist_cli.errors import first_line
from mnist_cli.version import __version__

SUMMARIES = {  # the commands, each with the line that `mnist --help` has for it
    "download": "Install the MNIST files, or those of another data set.",
    "train": "Train a classifier and save it after every epoch.",
    "tune": "Search for better hyperparameters.",
    "evaluate": "Evaluate models on the 10,000 val images or other data.",
    "predict": "Recognize the digit in each picture.",
    "runs": "List the runs, compare them, or remove some.",
    "info": "Show the contents of a checkpoint.",
    "export": "Export a model for other programs, browsers or C.",
    "serve": "Serve a page to draw digits on, and an HTTP API.",
    "samples": "Write a few pictures to try `mnist predict` with.",
    "data": "Show what is in a data set, and labels that may be wrong.",
    "convert": "Write a data set in another format.",
}


class LazyCommands(Mapping[str, Any]):
    """The commands by their names, each imported when it is looked up."""

    def __getitem__(self, name: str) -> Any:
        if name not in SUMMARIES:
            raise KeyError(name)
        return _load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(SUMMARIES)

    def __len__(self) -> int:
        return len(SUMMARIES)


@cache
def _load(name: str) -> Any:
    """Return the command of the file with its name: the function of that name, or all of a group of commands."""
    module = import_module(f"{__name__}.{name}")
    group = getattr(module, "app", None)
    if group is None:
        group = typer.Typer(rich_markup_mode=None, add_completion=False)
        group.command(cls=Command)(getattr(module, name))
    loaded = get_command(group)
    loaded.name = name
    return loaded


class Program(FriendlyErrors):
    """`mnist` itself, whose commands are imported when they are typed."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{**settings, "commands": LazyCommands()})

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands."""
        return list(self.commands)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands with their summaries."""
        with formatter.section("Commands"):
            formatter.write_dl(list(SUMMARIES.items()))


app = typer.Typer(
    cls=Program,
    no_args_is_help=True,
    rich_markup_mode=None,  # Rich would draw boxes around the help, and double the time that it takes
    pretty_exceptions_show_locals=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"mnist {__version__}")
        raise typer.Exit


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: object = None,
    line: str | None = None,
) -> None:
    """Print a warning without the line of code that gives it."""
    print_status(f"Warning: {first_line(str(message))}")


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
    else:
        warnings.showwarning = _show_warning
