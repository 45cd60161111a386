"""What the commands share: the two streams, common options, and the one place where errors are shown."""

import codecs
import errno
import io
import os
import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer._click.exceptions import UsageError  # Typer carries its own Click, and does not export this
from typer.core import TyperGroup

from mnist_cli import cores
from mnist_cli.cli.usage import explaining
from mnist_cli.config import DATA_DIR
from mnist_cli.errors import ConfigError, MnistError, ProcessError, missing
from mnist_cli.names import encode_any, printable
from mnist_cli.results import percent
from mnist_cli.training import runs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mnist_cli.datasets.data_folder import DataFolder
    from mnist_cli.datasets.labelled_images import DataSet
    from mnist_cli.datasets.mnist_files import Split
    from mnist_cli.models.backends import LoadedModel

DataDir = Annotated[
    Path | None,
    typer.Option(
        envvar="MNIST_DATA_DIR",
        readable=False,  # checked later, so that the error message can say what to do
        help="Folder of the MNIST files; what is missing in it is unpacked there.",
        show_default=f"{DATA_DIR} if MNIST is in it, else the user's cache",
        rich_help_panel="Data",
    ),
]
MNIST = "mnist"  # the data set where no other is named
Data = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SOURCE",
        help="Measure on this data set, whatever `mnist train --data` takes: a name, a folder, a file.",
        show_default="mnist; for a model of other classes, the data that it was trained on",
        rich_help_panel="Data",
    ),
]
MaxUnreadable = Annotated[
    float,
    typer.Option(min=0, max=1, help="The fraction of the pictures that may be unreadable.", rich_help_panel="Data"),
]
CHECKPOINT = "CHECKPOINT|RUN"  # the metavar of an option or argument that names one
CHECKPOINT_HELP = "a file that `mnist train` or `mnist export` wrote, the name of a run, `latest` or `pretrained`"
DEFAULT_CHECKPOINT = "MNIST_CHECKPOINT, else the newest run, else the model that ships with mnist"
DEFAULT_MODEL = (
    "MNIST_CHECKPOINT, else the newest run unless it is far less accurate than the model that ships, else that"
)
ModelToUse = Annotated[
    Path | None,
    typer.Option(
        readable=False,
        metavar=CHECKPOINT,
        help=f"The model to use: {CHECKPOINT_HELP}.",
        show_default=DEFAULT_MODEL,
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        help="Device to compute on: cpu, cuda, cuda:1, mps.",
        show_default="cuda if there is one, else mps, else cpu",
        rich_help_panel="Hardware",
    ),
]


HINTS = {
    errno.ENOSPC: "free some space, or work in another folder",
    errno.EACCES: "give yourself the permission, or work in another folder",
    errno.EPERM: "give yourself the permission, or work in another folder",
    errno.EROFS: "work in a folder that can be written to",
    errno.ENOTDIR: "move away the file that is where a folder should be",
    errno.EEXIST: "move away the file that is where a folder should be",
    errno.EISDIR: "move away the folder that is where a file should be",
}


class FriendlyErrors(TyperGroup):
    """Show an error that the user can correct as one line on stderr; a bug keeps its traceback.

    The exit status is 2 for an invalid option or value (ConfigError), as for other wrong usage, and 1 for a file.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the options before the name of the command."""
        with explaining(ctx, args):
            return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except UsageError as error:
            if _is_reported_by_first_process(error):
                raise typer.Exit(error.exit_code) from error
            raise
        except (MnistError, OSError, MemoryError, RuntimeError) as error:
            # A broken pipe means that the reader of stdout has ended, as `head` does; Typer handles it.
            if isinstance(error, BrokenPipeError) or _is_debugging() or not _show_known(error):
                raise
            raise typer.Exit(2 if isinstance(error, ConfigError) else 1) from error

    def main(self, *args: Any, **options: Any) -> Any:
        """Parse a command line and run it; writing the help to a full disk is handled as an error, too."""
        _open_streams()
        cores.limit_threads()
        try:
            return super().main(*args, **options)
        except OSError as error:
            if _is_debugging():
                raise
            _show_os_error(error)
            sys.exit(1)


def _show_known(error: Exception) -> bool:
    """Show an error that the user can correct as one line; return False for any other error, which is a bug or Typer's."""
    if _is_reported_by_first_process(error):
        return True
    if isinstance(error, MnistError):
        show_error(str(error))
    elif isinstance(error, OSError):  # a full disk, no permission, a folder where a file should be
        _show_os_error(error)
    elif isinstance(error, MemoryError) or re.search("allocate|out of memory", str(error)):
        show_error("there is not enough memory for this; try a smaller --batch-size or --hidden, or another --device")
    else:
        return False
    return True


def _is_reported_by_first_process(error: Exception) -> bool:
    """Return whether the first process that torchrun started on this machine reports the same error."""
    is_shared = isinstance(error, MnistError | UsageError) and not isinstance(error, ProcessError)
    return is_shared and os.environ.get("LOCAL_RANK", "0") != "0"


def _is_debugging() -> bool:
    return os.environ.get("MNIST_DEBUG", "0") not in {"", "0"}


def _open_streams() -> None:
    """Open the null device for closed streams, and let the others print any file name.

    For Python a closed stream is None, and the next file would get its descriptor. File names may be undecodable, or have
    characters that the encoding of a stream lacks.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    codecs.register_error("any_name", encode_any)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="any_name")


def _show_os_error(error: OSError) -> None:
    path = f"{error.filename}: " if error.filename else ""
    hint = f"; {HINTS[error.errno]}" if error.errno in HINTS else ""
    show_error(f"{path}{error.strerror or error}{hint}")


def show_error(message: str) -> None:
    """Print one line that begins with a red word."""
    # Not with `err=True`, which bypasses the stream by which a progress bar makes room for the line.
    typer.echo(f"{typer.style('Error:', fg='red', bold=True)} {printable(message)}", file=sys.stderr)


def print_result(text: str, end: str = "\n") -> None:
    """Print on stdout; a terminal gets no control characters, and a pipe gets the exact bytes of file names."""
    if sys.stdout.isatty():
        text = "\n".join(map(printable, text.split("\n")))
    sys.stdout.write(text + end)
    sys.stdout.flush()


def print_status(message: str) -> None:
    """Print one line on stderr, for the user to read; of the processes that torchrun started, only the first does."""
    if os.environ.get("RANK", "0") == "0":
        typer.echo(printable(message), err=True)


@contextmanager
def status(what: str) -> Iterator[None]:
    """Show on a terminal what is being done while a block runs."""
    is_shown = sys.stderr.isatty() and os.environ.get("RANK", "0") == "0"
    if is_shown:
        typer.echo(f"{what} …", nl=False, err=True)
    try:
        yield
    finally:
        if is_shown:
            typer.echo("\r\x1b[2K", nl=False, err=True)  # to the beginning of the line, which is erased


def command(*arguments: object) -> str:
    """Return a command of this program as the user has to type it."""
    as_called = [sys.executable, "-m", "mnist_cli"] if sys.argv[0].endswith("__main__.py") else [sys.argv[0]]
    program = ["mnist"] if shutil.which("mnist") else as_called
    return shlex.join([*program, *map(str, arguments)])


def check_packages(what: str) -> None:
    """Raise MnistError when a package of the extra `serve`, which `what` needs, is not installed."""
    try:
        import fastapi  # noqa: F401
        import httptools  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise missing(what, error, "serve") from error


def prepare_data(data_dir: Path | None, *splits: "Split", extra: str = "") -> "DataFolder":
    """Make sure that the MNIST files of `splits` can be read, and return their folder.

    Prints what was unpacked or repaired, and what is ignored in the folder `extra`.
    """
    from mnist_cli.datasets import data_folder, mnist_files

    if extra:
        from mnist_cli.datasets import labelled_pictures

        if left_out := labelled_pictures.describe_left_out(Path(extra)):
            print_status(left_out)

    with status("Checking the MNIST files"):
        folder = data_folder.prepare(data_dir, [file for split in splits for file in mnist_files.SPLITS[split]])
    if folder.path is None:
        print_status(
            "Unpacking the bundled MNIST files in memory, since there is no cache folder that can be written to."
        )
    elif folder.faults and set(folder.faults.values()) == {"is missing"}:
        print_status(f"Unpacked the bundled MNIST files to {mnist_files.raw_dir(folder.path)}.")
    else:
        for file, fault in folder.faults.items():
            print_status(f"Repaired {mnist_files.raw_dir(folder.path) / file.name}, which {fault}.")
    return folder


def find_model(checkpoint: Path | None) -> Path:
    """Return the checkpoint to predict with, and report a newer run that is passed over."""
    if checkpoint:
        return runs.find_checkpoint(checkpoint)
    default = runs.find_default()
    if bad := default.passed_over:
        run = runs.of(bad.path).name
        why = (
            "it has no finished epoch"
            if bad.val_accuracy is None
            else f"its val accuracy of {percent(bad.val_accuracy)} is more than a percentage point below that of the model that "
            "ships"
        )
        print_status(f"Not using the newest run, {run}: {why}. `--checkpoint {run}` uses it.")
    return default.path


def load_data(sources: "Sequence[str]", folder: "DataFolder | Path | None", max_unreadable: float = 0.0) -> "DataSet":
    """Return the data set that sources make together, with a progress bar while pictures are decoded, and its notes shown.

    They are read from a folder that `prepare_data` returned, or else MNIST, if it is one of them, is prepared. What is decoded is cached, so whoever loads it again does not wait.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from mnist_cli.datasets import data_sources

    if MNIST in sources and (folder is None or isinstance(folder, Path)):
        folder = prepare_data(folder, "train", "val")
    data_dir = folder if folder is None or isinstance(folder, Path) else folder.path
    console = Console(stderr=True)
    is_shown = console.is_terminal and os.environ.get("RANK", "0") == "0"
    columns = TextColumn("reading pictures"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not is_shown) as bar:
        task = bar.add_task("pictures", total=None)
        data = data_sources.load_all(
            sources, data_dir, max_unreadable, lambda done, total: bar.update(task, completed=done, total=total)
        )
    for note in data.notes:
        print_status(note)
    return data


def describe_model(loaded: "LoadedModel", is_named: bool) -> str:
    """Return which model is used, its accuracy, and how to use another."""
    score = "val accuracy unknown" if loaded.val_accuracy is None else f"val accuracy {percent(loaded.val_accuracy)}"
    if "mnist" not in loaded.data:
        score += f" on {', '.join(loaded.data)}"
    if loaded.is_pretrained:
        return f"Using the model that ships with mnist ({score}); `mnist train` makes your own."
    return f"Using {loaded.path} ({score}){'' if is_named else '; --checkpoint names another'}."
