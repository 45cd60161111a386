"""What the commands share: the two streams, the options all of them have, and the one place where errors are shown."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from mnist_cli.errors import MnistError

DataDir = Annotated[
    Path,
    typer.Option(envvar="MNIST_DATA_DIR", help="Folder of the MNIST files; what is missing in it is unpacked there."),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="Where to compute: cpu, cuda, cuda:1, mps.", show_default="cuda if there is one, else mps, else cpu"
    ),
]


class FriendlyErrors(TyperGroup):
    """Show what a user can mend as one line on stderr, with exit status 1; a bug keeps its traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # The reader of our answers left, as `head` does. Python would complain once more when it flushes stdout.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(1) from None
        except MnistError as error:
            show_error(str(error))
            raise typer.Exit(1) from error
        except OSError as error:  # no room, no permission, a folder where a file should be
            show_error(": ".join(str(part) for part in (error.filename, error.strerror or error) if part))
            raise typer.Exit(1) from error


def show_error(message: str) -> None:
    """Print one line that begins with a red word."""
    typer.echo(f"{typer.style('Error:', fg='red', bold=True)} {message}", err=True)


def say(message: str) -> None:
    """Print one line about what is going on."""
    typer.echo(message, err=True)


def percent(share: float, digits: int = 2) -> str:
    """Write 0.9921 as `99.21 %`."""
    return f"{100 * share:.{digits}f} %"


def repair_data(data_dir: Path) -> None:
    """Make sure that the MNIST files are in `data_dir`, saying what had to be done."""
    from mnist_cli import idx

    faults = idx.repair(data_dir)
    if len(faults) == len(idx.FILES) and set(faults.values()) == {"is missing"}:
        say(f"Unpacked the bundled MNIST files to {idx.raw_dir(data_dir)}.")
        return
    for file, fault in faults.items():
        say(f"Repaired {idx.raw_dir(data_dir) / file.name}, which {fault}.")
