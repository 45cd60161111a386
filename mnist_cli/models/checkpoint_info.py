"""What a checkpoint says of itself, read without its weights and without torch: at once, and from hundreds of files."""

import io
import math
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_cli.config import TrainConfig, means_pretrained
from mnist_cli.errors import CheckpointError, first_line
from mnist_cli.results import EpochResult
from mnist_cli.version import __version__

FORMAT = "mnist-cli checkpoint"
VERSION = 1
BUNDLED = Path(__file__).parents[1] / "bundled" / "pretrained.pt"
LARGEST = 50_000_000  # bytes of plain values; a run of 100,000 epochs has less
LEARNED = (".weight", ".bias")  # how the names of parameters end; batch norm and preprocessing have other tensors

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Header:
    """All that is in a checkpoint but the numbers in its tensors."""

    path: Path
    model: str  # the architecture
    arguments: dict[str, Any]  # that it is built with
    shapes: dict[str, Shape]  # of its weights and of the other tensors beside them
    parameters: int  # numbers that were learned
    config: TrainConfig
    metrics: list[EpochResult]  # one per finished epoch
    versions: dict[str, str]  # of the programs that wrote it

    @property
    def epochs(self) -> int:
        """The number of finished epochs."""
        return self.metrics[-1].epoch if self.metrics else 0

    @property
    def seconds(self) -> float:
        """How long training took, without the measuring."""
        return sum(result.seconds for result in self.metrics)

    @property
    def val_accuracy(self) -> float | None:
        """The accuracy on the val images after the last finished epoch, 0 to 1; None before the first."""
        return self.metrics[-1].val_accuracy if self.metrics else None


def locate(path: Path) -> Path:
    """Return the file that `path` means: PRETRAINED stands for the model that ships with the program."""
    return BUNDLED if means_pretrained(path) else path


def read(path: Path) -> Header:
    """Return what the checkpoint at `path` says of itself.

    Raises CheckpointError when there is no such file, or it is not one that this version can read.
    """
    content = _read_content(path)
    try:
        shapes = dict(content["weights"])
        return Header(
            path,
            _text(content["model"]["name"]),
            _arguments(**content["model"]["arguments"]),
            shapes,
            sum(math.prod(shape) for name, shape in shapes.items() if name.endswith(LEARNED)),
            TrainConfig(**{**content["config"], "hidden": tuple(content["config"]["hidden"])}),
            [_epoch_result(values) for values in content["metrics"]],
            {_text(program): _text(version) for program, version in content["versions"].items()},
        )
    # Whatever is wrong with a stranger's file, that is what has to be said.
    except Exception as error:
        raise CheckpointError(f"{path} is a damaged checkpoint: {first_line(error)}") from error


def _epoch_result(values: dict[str, Any]) -> EpochResult:
    result = EpochResult(**values)
    for name, value in vars(result).items():
        if value is None and name in {"held_out_loss", "train_accuracy"}:
            continue
        if not (math.isfinite(value) or name.endswith("loss")):  # which is what may become infinite
            raise ValueError(f"the {name} of an epoch is {value}")
    if not isinstance(result.epoch, int):
        raise TypeError("the number of an epoch is none")
    for accuracy in (result.val_accuracy, result.train_accuracy or 0):
        if not 0 <= accuracy <= 1:
            raise ValueError(f"epoch {result.epoch} has an accuracy of {accuracy:.3g}")
    return result


def _arguments(hidden: list[int], activation: str, dropout: float) -> dict[str, Any]:
    """Return what a model is built with, of the kinds that a TrainConfig has; their shapes are for whoever builds it."""
    if not isinstance(hidden, list) or not all(isinstance(width, int) for width in hidden):
        raise TypeError("the widths of its layers are no numbers")
    if not 0 <= dropout < 1:  # false for NaN, too
        raise ValueError(f"its dropout is {dropout}")
    return {"hidden": hidden, "activation": _text(activation), "dropout": float(dropout)}


def _text(value: object) -> str:
    """Return a string as it is; of what is nested, a few bytes of a pickle make more than any memory as text."""
    if not isinstance(value, str):
        raise TypeError(f"a name in it is a {type(value).__name__}")
    return value


def _read_content(path: Path) -> dict[str, Any]:
    """Return the dict in a checkpoint of this program and format version, with a Shape in place of each tensor."""
    file = locate(path)
    if not file.exists():
        raise CheckpointError(f"there is no file {path}; `mnist train` makes checkpoints")
    if file.is_dir():
        raise CheckpointError(f"{path} is a folder; name the file in it, such as {path / 'last.pt'}")
    if file.suffix in {".onnx", ".pt2"}:
        raise CheckpointError(f"{path} is an exported model; name the checkpoint that it was made from")
    # torch.save writes a zip; insisting on one keeps bare pickles out before anything looks inside.
    if not file.is_file() or not zipfile.is_zipfile(file):
        raise CheckpointError(f"{path} is not a checkpoint, or not a whole one; `mnist train` makes checkpoints")
    try:
        with zipfile.ZipFile(file) as archive:
            _check_sizes(archive.infolist(), file.stat().st_size)
            (entry,) = (entry for entry in archive.infolist() if entry.filename.endswith("/data.pkl"))
            if entry.file_size > LARGEST:
                raise ValueError(f"it has {entry.file_size:,} bytes beside its weights")
            pickled = archive.read(entry)
            _check_places(pickled)
            content = _Unpickler(io.BytesIO(pickled)).load()
    except _ForeignCodeError as error:
        raise CheckpointError(
            f"{path} is refused: opening it would run code of its own ({error}), and a checkpoint needs none"
        ) from error
    # Pickle and zipfile raise a dozen kinds of error on broken files, some of them by accident.
    except Exception as error:
        raise CheckpointError(f"{path} is not a checkpoint, or a damaged one: {first_line(error)}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path} is a checkpoint of another program; `mnist train` makes ours")
    version = content.get("version")
    if not isinstance(version, int) or version != VERSION:
        raise CheckpointError(f"{path} has a format version that mnist {__version__} does not read; it reads {VERSION}")
    return content


def _check_sizes(entries: list[zipfile.ZipInfo], size: int) -> None:
    """Raise ValueError when a zip of so many bytes unpacks to more, which none does that torch wrote."""
    if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise ValueError("it is compressed, as no checkpoint is")
    if sum(entry.file_size for entry in entries) > size:
        raise ValueError("it has more in it than its size allows")


def _check_places(pickled: bytes) -> None:
    """Raise ValueError for a pickle that numbers what it has beyond its own length: room is made for all up to there."""
    for opcode, argument, _ in pickletools.genops(pickled):
        if opcode.name in {"PUT", "LONG_BINPUT"} and int(argument or 0) > len(pickled):
            raise ValueError("its pickle asks for more memory than it can need")


class _ForeignCodeError(Exception):
    """A pickle asks for a function or class that no checkpoint of ours has."""


class _Unpickler(pickle.Unpickler):
    """Reads plain values, and of each tensor its shape; it can call nothing but the two functions below."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name in the pickle."""
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _shape
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name.endswith("Storage"):  # only named, never called
            return name
        raise _ForeignCodeError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> None:
        """Leave out the numbers of a tensor."""


def _shape(storage: None, offset: int, size: Shape, *rest: object) -> Shape:
    return tuple(size)
