"""What can go wrong through no fault of the program.

MnistError
├── ConfigError      a value that no run can have
├── DataError        the MNIST files
├── DivergenceError  a run whose loss is no longer a number
├── ProcessError     another of the processes that train together is gone
│   └── ToldElsewhereError   what went wrong is told by another process
├── CheckpointError  a file that should hold a trained model
├── ExportError      a model for other programs that would not answer as it should
└── ImageError       a picture that should hold a digit
    ├── FormatError      no picture at all, or in a format that is not read here
    └── TooLargeError    one with more pixels than are read

Each message is one sentence for the user: what is wrong, with which file, what to type next. The command line prints it,
as it does an OSError, and exits with status 1, or 2 for a ConfigError; everything else that is raised is a bug and keeps
its traceback.
"""

from pathlib import Path

# What is wrong with an input, by the kinds of faults that pydantic knows; Typer and FastAPI check with it.
INPUT_FAULTS = {
    "int_parsing": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_parsing": "is not a number",
    "bool_parsing": "is neither true nor false",
    "greater_than_equal": "is less than {ge:g}",
    "less_than_equal": "is more than {le:g}",
}
LONGEST = 200  # characters of what an error of another program says


class StoppedError(KeyboardInterrupt):
    """A signal stopped a training run, which was saved first and can be resumed."""

    def __init__(self, path: Path, epoch: int, number: int) -> None:
        """Tell where it was saved, in which epoch it was, and the number of the signal."""
        super().__init__(f"stopped in epoch {epoch}; go on with `mnist train --resume {path}`")
        self.path, self.epoch, self.number = path, epoch, number


class MnistError(Exception):
    """The root of all errors that a user can cause and mend."""


class ConfigError(MnistError):
    """A run is asked for that cannot be."""


class DataError(MnistError):
    """The MNIST files are missing, damaged or cannot be had."""


class DivergenceError(MnistError):
    """A run learns nothing any more: its loss is infinite or not a number."""


class ProcessError(MnistError):
    """Another of the processes that train together has ended, or does not answer."""


class ToldElsewhereError(ProcessError):
    """A run cannot begin or go on; another of its processes says why, so this one need not."""


class CheckpointError(MnistError):
    """A file does not hold a checkpoint that this program can use."""


class ExportError(MnistError):
    """A model for other programs does not answer as the checkpoint does that it was made from."""


class ImageError(MnistError):
    """A file does not hold a picture of a digit."""


class FormatError(ImageError):
    """A file is no picture in a format that is read here."""


class TooLargeError(ImageError):
    """A picture has more pixels than are read."""


def missing(what: object, error: ImportError, extra: str) -> MnistError:
    """Return the error that `what` needs a package that comes with an extra, which could not be imported."""
    package = error.name or "a package"  # a broken one may have no name
    return MnistError(f'{what} needs {package}, which is not installed; type: pip install "mnist-cli[{extra}]"')


def input_fault(kind: str, value: object, message: str, /, **bounds: object) -> str:
    """Return what is wrong with an input, from the type, the input, the message and the context in an error of pydantic."""
    if kind == "missing":
        return "it is missing"
    if kind not in INPUT_FAULTS:
        return message
    return f"{str(value)[:LONGEST]!r} {INPUT_FAULTS[kind].format(**bounds)}"


def first_line(error: Exception) -> str:
    """Return what an error says, short of the details torch lists below it and of what a stranger wrote at length."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= LONGEST else line[:LONGEST] + "…"
