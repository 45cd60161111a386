"""Models that are ready to run: torch runs a checkpoint, onnxruntime an ONNX file.

Torch takes a second or more to import, so it is imported only when a checkpoint is loaded.
"""

import importlib
import json
import math
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np

from mnist_cli import cores
from mnist_cli.arrays import ACCEPT_ALL, FRAME, Frames, Logits
from mnist_cli.errors import CheckpointError, ConfigError, first_line, missing
from mnist_cli.files import read_regular
from mnist_cli.labels import DIGITS
from mnist_cli.models import checkpoint_info, pretrained
from mnist_cli.models.interface import Model, checked
from mnist_cli.models.networks import Network

MAX_ONNX_BYTES = 256_000_000


def import_onnxruntime() -> ModuleType:
    """Return onnxruntime with its telemetry off: from version 1.29 on it reports to Microsoft by default.

    Call it before any other import of onnxruntime, which reads the environment only once. Raises
    ImportError when it is not installed.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # also for the processes that this one starts
    onnxruntime = importlib.import_module("onnxruntime")
    onnxruntime.disable_telemetry_events()
    return onnxruntime


class OnnxModel:
    """A model that onnxruntime runs, as `torch_export.to_onnx` makes them.

    It takes uint8 `images` (N, 1, 28, 28) and returns `logits` (N, classes); its metadata hold the other attributes.
    """

    def __init__(self, content: bytes) -> None:
        """Prepare to run the model in an ONNX file.

        Raises whatever onnxruntime raises for invalid content, ValueError for a model with other inputs or outputs.
        """
        onnxruntime = import_onnxruntime()
        self.content = content
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # fatal; errors are raised as well
        options.intra_op_num_threads = cores.available()
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # other threads need the cores
        self.session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        facts = self.session.get_modelmeta().custom_metadata_map
        _check_metadata(facts)
        names = json.loads(facts["class_names"]) if "class_names" in facts else DIGITS
        self.classes = checkpoint_info.check_classes(names)
        self._check()
        self.rejection_threshold = float(facts.get("least_score", ACCEPT_ALL))
        self.val_accuracy = float(facts["val_accuracy"]) if "val_accuracy" in facts else None
        self.data = tuple(map(str, json.loads(facts.get("data", '["mnist"]'))))
        self.parameters = int(facts["parameters"]) if "parameters" in facts else None
        self.runtime = f"onnxruntime {onnxruntime.__version__} on cpu"

    def logits(self, frames: Frames) -> Logits:
        """Return logits (N, classes) for frames (N, 1, 28, 28); raises CheckpointError when they are not finite."""
        logits: Logits = self.session.run(["logits"], {"images": frames})[0]
        return checked(logits)

    def _check(self) -> None:
        """Raise ValueError unless the model has the inputs and outputs of an exported model."""
        inputs = [(value.name, value.type, value.shape[1:]) for value in self.session.get_inputs()]
        if inputs != [("images", "tensor(uint8)", [1, FRAME, FRAME])]:
            raise ValueError("it does not take uint8 images (N, 1, 28, 28)")
        if "logits" not in [value.name for value in self.session.get_outputs()]:
            raise ValueError("it has no output `logits`")
        logits = self.logits(np.zeros((2, 1, FRAME, FRAME), np.uint8))
        if logits.shape != (2, len(self.classes)):
            raise ValueError(f"its logits are not of shape (N, {len(self.classes)})")


def _check_metadata(facts: dict[str, str]) -> None:
    """Raise ValueError for values out of range; comparisons are false for NaN, too."""
    is_valid = {
        "least_score": lambda value: -math.inf < value < math.inf,
        "val_accuracy": lambda value: 0 <= value <= 1,
        "parameters": lambda value: 0 <= value < 1e12,
        "temperature": lambda value: 0 < value < math.inf,
        "pixel_std": lambda value: 0 < value < math.inf,
    }
    for name in is_valid.keys() & facts.keys():
        if not is_valid[name](float(facts[name])):
            raise ValueError(f"invalid metadata: its {name} is {facts[name][:20]}")


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to run, and the file that it was loaded from."""

    path: Path  # as the user named it
    model: Model
    val_accuracy: float | None  # 0 to 1; None if unknown
    parameters: int | None  # the number of learned parameters; None if unknown
    runtime: str  # the library that runs it, and the device
    data: tuple[str, ...] = ("mnist",)  # what it was trained on, as `mnist train --data` was given it

    @property
    def is_pretrained(self) -> bool:
        """Whether it is the model that ships with the program."""
        return pretrained.resolve(self.path) != self.path


def load(path: Path, device: str | None = None) -> LoadedModel:
    """Return the model in a checkpoint or an ONNX file; PRETRAINED is the one that ships.

    A checkpoint runs on `device`, by default the best one available, an ONNX file on the CPU. So does the model that ships
    if onnxruntime is installed, unless another device is named.

    Raises CheckpointError when the file is not such a model, ConfigError when there is no such device.
    """
    if path.suffix == ".onnx":
        if device not in {None, "cpu"}:
            raise ConfigError(
                f"{path} runs on the cpu only; to use {device}, name the checkpoint that it was exported from"
            )
        return _loaded(path, _read_onnx(path))
    if pretrained.resolve(path) != path and device in {None, "cpu"}:
        with suppress(ImportError):  # there is no onnxruntime, or a broken one
            return _loaded(path, OnnxModel(pretrained.ONNX.read_bytes()))

    import torch

    from mnist_cli.models import checkpoints, devices

    chosen = devices.choose(device)
    checkpoint = checkpoints.load(path)
    runtime = f"torch {torch.__version__} on {chosen}"
    data = checkpoint.config.trained_on
    return LoadedModel(path, checkpoint.model.to(chosen), checkpoint.val_accuracy, checkpoint.parameters, runtime, data)


def network_of(model: Model) -> Network:
    """Return the layers of a model, with which numpy computes what lies between frames and logits.

    Raises ConfigError for a model without them: an ensemble, a quantized one, an ONNX file in another form than ours.
    """
    if isinstance(model, OnnxModel):
        return _network_in_onnx(model)
    from mnist_cli.models import architectures, torch_networks

    if not isinstance(model, architectures.Classifier):
        raise ConfigError("an ensemble has no layers of its own; choose one of its models")
    return torch_networks.network_of(model)


def _network_in_onnx(model: OnnxModel) -> Network:
    """Return the layers of a model in an ONNX file, which must compute its logits."""
    try:
        from mnist_cli.models import onnx_networks

        network = onnx_networks.network_of(model.content)
        frames = np.random.default_rng(0).integers(0, 256, (4, 1, FRAME, FRAME), np.uint8)
        logits = model.logits(frames)
        is_same = np.allclose(network.logits(frames), logits, rtol=1e-3, atol=1e-3 * np.abs(logits).max())
    except ImportError as error:
        raise missing("what is inside an ONNX file", error, "export") from error
    # A file may pass the checks and have its nodes in another order, or with other shapes.
    except (ArithmeticError, AssertionError, LookupError, ValueError) as error:
        raise ConfigError(f"the layers of this ONNX file cannot be shown: {first_line(error)}") from error
    if not is_same:
        raise ConfigError("the layers of this ONNX file cannot be shown: they are not those that `mnist export` writes")
    return network


def _loaded(path: Path, model: OnnxModel) -> LoadedModel:
    return LoadedModel(path, model, model.val_accuracy, model.parameters, model.runtime, model.data)


def _read_onnx(path: Path) -> OnnxModel:
    """Return the model in an ONNX file, which is not trusted."""
    try:
        content = read_regular(path, MAX_ONNX_BYTES)
    except FileNotFoundError as error:
        raise CheckpointError(f"file not found: {path}; `mnist export` writes ONNX files") from error
    except OSError as error:
        raise CheckpointError(f"{path} is not a model: {error.strerror or error}") from error
    if content is None:
        raise CheckpointError(f"{path} has more than {MAX_ONNX_BYTES:,} bytes, too many for a classifier of digits")
    try:
        from mnist_cli.models import onnx_files

        onnx_files.check(content)
        return OnnxModel(content)
    except ImportError as error:
        raise missing(path, error, "export") from error
    # Protobuf and onnxruntime raise a dozen kinds of errors on corrupted files.
    except Exception as error:
        raise CheckpointError(
            f"{path} is not a model that `mnist export` wrote, or it is corrupted: {first_line(error)}"
        ) from error
