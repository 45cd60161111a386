"""The errors that a user can correct.

MnistError
├── ConfigError      an invalid option or configuration
├── DataError        data files that are missing, corrupted or invalid
├── DivergenceError  a training run whose loss became infinite or NaN
├── ProcessError     another process of a distributed run ended or does not respond
│   └── ReportedElsewhereError   another process prints the message
├── CheckpointError  a file that holds no usable model
├── ExportError      an exported model whose predictions differ from those of its checkpoint
└── ImageError       a picture that cannot be read
    ├── FormatError      not a picture, or not in a supported format
    └── TooLargeError    more pixels or bytes than allowed

StoppedError is no MnistError but a KeyboardInterrupt: a signal stopped a run.

Each message is one sentence for the user: what is wrong, with which file, what to type next. The command line prints it,
as it does an OSError, and exits with status 1, or 2 for a ConfigError; every other exception is a bug and keeps its
traceback.
"""

from pathlib import Path

# What is wrong with an input, by the type of the error in pydantic, with which Typer and FastAPI validate.
INPUT_FAULTS = {
    "int_parsing": "is not a whole number",
    "int_from_float": "is not a whole number",
    "float_parsing": "is not a number",
    "bool_parsing": "is neither true nor false",
    "greater_than_equal": "is less than {ge:g}",
    "less_than_equal": "is more than {le:g}",
}
MAX_SHOWN_CHARACTERS = 200  # of the message of another library, or of an input


class StoppedError(KeyboardInterrupt):
    """A signal stopped a training run, which was saved first and can be resumed."""

    def __init__(self, path: Path, epoch: int, number: int) -> None:
        """Store the path of the checkpoint, the epoch, and the number of the signal."""
        super().__init__(f"stopped in epoch {epoch}; resume with `mnist train --resume {path}`")
        self.path, self.epoch, self.number = path, epoch, number


class MnistError(Exception):
    """The base class of all errors that a user can correct."""


class ConfigError(MnistError):
    """An option, a value, or a combination of them is invalid."""


class DataError(MnistError):
    """Data files are missing, corrupted or invalid, or cannot be downloaded."""


class DivergenceError(MnistError):
    """Training diverged: the loss is infinite or NaN."""


class ProcessError(MnistError):
    """Another process of a distributed run ended or does not respond."""


class ReportedElsewhereError(ProcessError):
    """A distributed run cannot start or continue; another of its processes prints why."""


class CheckpointError(MnistError):
    """A file does not hold a checkpoint that this program can use."""


class ExportError(MnistError):
    """An exported model does not give the same predictions as its checkpoint."""


class ImageError(MnistError):
    """A picture cannot be read."""


class FormatError(ImageError):
    """A file is not a picture in a supported format."""


class TooLargeError(ImageError):
    """A picture has more pixels or bytes than allowed."""


def missing(what: object, error: ImportError, extra: str) -> MnistError:
    """Return the error for a package that `what` needs and that is not installed, naming the extra that installs it."""
    package = error.name or "a package"  # the ImportError of a broken package may have no name
    return MnistError(f'{what} needs {package}, which is not installed; type: pip install "mnist-cli[{extra}]"')


def input_fault(kind: str, value: object, message: str, /, **bounds: object) -> str:
    """Return what is wrong with an input, given the type, input, message and context of an error of pydantic."""
    if kind == "missing":
        return "it is missing"
    if kind not in INPUT_FAULTS:
        return message
    return f"{str(value)[:MAX_SHOWN_CHARACTERS]!r} {INPUT_FAULTS[kind].format(**bounds)}"


def first_line(error: Exception | str) -> str:
    """Return the first line of a message, or of that of an error, shortened: torch adds details, and text from a file may be long."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return line if len(line) <= MAX_SHOWN_CHARACTERS else line[:MAX_SHOWN_CHARACTERS] + "…"
