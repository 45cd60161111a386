"""Models that are ready to run: torch runs a checkpoint, onnxruntime an ONNX file.

Torch takes a second or more to import, so nothing here imports it before a checkpoint is to be run.
"""

import importlib
import math
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from mnist_cli import cores
from mnist_cli.arrays import ANYTHING, CLASSES, FRAME, Frames, Logits
from mnist_cli.errors import CheckpointError, ConfigError, first_line, missing
from mnist_cli.models import pretrained
from mnist_cli.models.interface import Model

LARGEST = 256_000_000  # bytes of an ONNX file


def import_onnxruntime() -> ModuleType:
    """Return onnxruntime with its telemetry off: from version 1.29 on it reports to Microsoft by default.

    Every import of onnxruntime has to come after this one, since it looks at the environment only once. Raises
    ImportError when it is not installed.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # also for the processes that this one starts
    onnxruntime = importlib.import_module("onnxruntime")
    onnxruntime.disable_telemetry_events()
    return onnxruntime


class OnnxModel:
    """A model that onnxruntime runs, as `exports.to_onnx` makes them.

    It takes uint8 `images` (N, 1, 28, 28) and gives `logits` (N, 10); its metadata say what else there is to know.
    """

    def __init__(self, content: bytes) -> None:
        """Prepare to run the model in an ONNX file.

        Raises whatever onnxruntime does for content that is none, ValueError for a model of something else.
        """
        onnxruntime = import_onnxruntime()
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # what is wrong is raised as well
        options.intra_op_num_threads = cores.available()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the others have work to do
        self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._check()
        facts = self.session.get_modelmeta().custom_metadata_map
        self.rejection_threshold = float(facts.get("least_score", ANYTHING))
        self.val_accuracy = float(facts["val_accuracy"]) if "val_accuracy" in facts else None
        self.parameters = int(facts["parameters"]) if "parameters" in facts else None
        if not (math.isfinite(self.rejection_threshold) and 0 <= (self.val_accuracy or 0) <= 1):  # false for NaN, too
            raise ValueError("what it says of itself cannot be")
        self.runtime = f"onnxruntime {onnxruntime.__version__} on cpu"

    def logits(self, frames: Frames) -> Logits:
        """Return logits (N, 10) for frames (N, 1, 28, 28)."""
        logits: Logits = self.session.run(["logits"], {"images": frames})[0]
        return logits

    def _check(self) -> None:
        """Raise ValueError unless the model is one of ours by what goes in and what comes out."""
        inputs = [(value.name, value.type, value.shape[1:]) for value in self.session.get_inputs()]
        if inputs != [("images", "tensor(uint8)", [1, FRAME, FRAME])]:
            raise ValueError("it does not take uint8 images (N, 1, 28, 28)")
        if "logits" not in [value.name for value in self.session.get_outputs()]:
            raise ValueError("it gives no logits")
        logits = self.logits(np.zeros((2, 1, FRAME, FRAME), np.uint8))
        if logits.shape != (2, CLASSES):
            raise ValueError("its logits are not (N, 10)")
        if not np.isfinite(logits).all():
            raise ValueError("its logits are not numbers")


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to run, and the file that it is from."""

    path: Path  # as the user named it
    model: Model
    val_accuracy: float | None  # 0 to 1; None when it was not measured
    parameters: int | None  # numbers that were learned; None when the file does not say
    runtime: str  # the library that runs it, and the device

    @property
    def is_pretrained(self) -> bool:
        """Whether it is the model that ships with the program."""
        return pretrained.resolve(self.path) != self.path


def load(path: Path, device: str | None = None) -> LoadedModel:
    """Return the model in a checkpoint or an ONNX file; PRETRAINED is the one that ships.

    A checkpoint runs on `device`, the best there is by default, an ONNX file on the CPU. So does the model that ships
    where onnxruntime is installed, unless another device is named.

    Raises CheckpointError when the file holds no such model, ConfigError when there is no such device.
    """
    if path.suffix == ".onnx":
        if device not in {None, "cpu"}:
            raise ConfigError(f"{path} runs on the cpu, not on {device}; the checkpoint that it was made from does")
        return _loaded(path, _read_onnx(path))
    if pretrained.resolve(path) != path and device in {None, "cpu"}:
        with suppress(ImportError):  # there is no onnxruntime, or a broken one
            return _loaded(path, OnnxModel(pretrained.ONNX.read_bytes()))

    import torch

    from mnist_cli.models import checkpoints, devices

    chosen = devices.choose(device)
    checkpoint = checkpoints.load(path)
    runtime = f"torch {torch.__version__} on {chosen}"
    return LoadedModel(path, checkpoint.model.to(chosen), checkpoint.val_accuracy, checkpoint.parameters, runtime)


def _loaded(path: Path, model: OnnxModel) -> LoadedModel:
    return LoadedModel(path, model, model.val_accuracy, model.parameters, model.runtime)


def _read_onnx(path: Path) -> OnnxModel:
    """Return the model in an ONNX file, which may be a stranger's."""
    if not path.is_file():
        raise CheckpointError(f"there is no file {path}; `mnist export` makes ONNX files")
    if path.stat().st_size > LARGEST:
        raise CheckpointError(f"{path} has more than {LARGEST:,} bytes, too many for a classifier of digits")
    content = path.read_bytes()
    try:
        _refuse_more_than_arithmetic(content)
        return OnnxModel(content)
    except ImportError as error:
        raise missing(path, error, "export") from error
    # Protobuf and onnxruntime raise a dozen kinds of error on broken files.
    except Exception as error:
        raise CheckpointError(
            f"{path} is not a model that `mnist export` made, or a damaged one: {first_line(error)}"
        ) from error


def _refuse_more_than_arithmetic(content: bytes) -> None:
    """Raise ValueError for an ONNX file that would read other files, or has loops and functions of its own."""
    import onnx

    model = onnx.load_model_from_string(content)
    attributes = [attribute for node in model.graph.node for attribute in node.attribute]
    if model.functions or any(one.HasField("g") or one.graphs for one in attributes):
        raise ValueError("it has loops or functions, which no classifier of digits needs")
    sparse = [*model.graph.sparse_initializer, *(one.sparse_tensor for one in attributes)]
    tensors = [*model.graph.initializer, *(one.t for one in attributes), *(one.values for one in sparse)]
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in tensors):
        raise ValueError("its weights are in other files")
