"""Exporting a trained model to ONNX or `torch.export`, and verifying that it predicts the same as the checkpoint."""

import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mnist_cli.arrays import FRAME, Frames, Logits
from mnist_cli.config import TrainConfig
from mnist_cli.exporting import comparison
from mnist_cli.exporting.comparison import Export
from mnist_cli.models import interface
from mnist_cli.models.architectures import Classifier
from mnist_cli.models.backends import OnnxModel, import_onnxruntime
from mnist_cli.models.checkpoints import Checkpoint

Format = Literal["onnx", "pt2"]

OPSET = 22  # the newest one that every onnxruntime supports which the extra `export` allows
CALIBRATION_BATCH = 100  # images


class WithProbabilities(nn.Module):
    """A classifier that returns logits and their softmax."""

    def __init__(self, model: Classifier) -> None:
        """Wrap `model`."""
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits and probabilities, (N, classes) each, for uint8 images (N, 1, 28, 28)."""
        logits = self.model(images)
        return logits, logits.softmax(dim=1)


def make(
    checkpoint: Checkpoint,
    kind: Format,
    images: Frames,
    labels: NDArray[np.integer[Any]],
    calibration: Frames | None = None,
) -> Export:
    """Return the exported model, compared with the checkpoint on labelled images.

    With training images for `calibration` an ONNX model is quantized to 8-bit integers.

    Raises ExportError when the predictions, logits or accuracy differ from the checkpoint's by more than allowed.
    """
    if kind == "pt2":
        content = to_pt2(checkpoint)
        logits = logits_of_pt2(content, images)
    else:
        model = to_onnx(checkpoint)
        if calibration is not None:
            model = quantized(model, calibration)
        onnx.helper.set_model_props(model, _facts(checkpoint))
        content = model.SerializeToString()
        logits = interface.logits_of(OnnxModel(content), images)
    found = comparison.compare(logits, checkpoint, images, labels)
    comparison.require(found.is_same if calibration is None else found.is_as_good, checkpoint, found)
    return Export(content, found)


def to_onnx(checkpoint: Checkpoint) -> onnx.ModelProto:
    """Return the model in ONNX: uint8 `images` (N, 1, 28, 28) in, `logits` and `probabilities` (N, classes) out."""
    with _quiet():
        program = torch.onnx.export(
            WithProbabilities(checkpoint.model),
            _example(),
            dynamic_shapes=_any_number(),
            opset_version=OPSET,
            input_names=["images"],
            output_names=["logits", "probabilities"],
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for part in (*model.graph.node, *model.graph.initializer, *model.graph.value_info):
        part.ClearField("metadata_props")  # they have paths of this machine
    return model


def to_pt2(checkpoint: Checkpoint) -> bytes:
    """Return the model as a file for `torch.export.load`, with the same input and outputs as `to_onnx`."""
    content = io.BytesIO()
    with _quiet():
        program = torch.export.export(WithProbabilities(checkpoint.model), _example(), dynamic_shapes=_any_number())
        torch.export.save(program, content, extra_files=_facts(checkpoint))
    return content.getvalue()


def quantized(model: onnx.ModelProto, images: Frames) -> onnx.ModelProto:
    """Return an ONNX model quantized to 8-bit integers; the ranges of its activations are calibrated on `images`."""
    import_onnxruntime()
    from onnxruntime import quantization

    class Batches(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            starts = range(0, len(images), CALIBRATION_BATCH)
            self.batches: Iterator[Frames] = (images[start : start + CALIBRATION_BATCH] for start in starts)

        def get_next(self) -> dict[str, Frames] | None:
            batch = next(self.batches, None)
            return None if batch is None else {"images": batch}

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "int8.onnx"
        with _quiet():
            # Weights of 7 bits: on processors without VNNI the sums of products of 8 bits overflow and are clipped.
            quantization.quantize_static(model, path, Batches(), per_channel=True, reduce_range=True)
        return onnx.load_model(path)


@torch.inference_mode()
def logits_of_pt2(content: bytes, images: Frames) -> Logits:
    """Return the logits (N, classes) of images (N, 1, 28, 28), computed by a file that `to_pt2` made."""
    program = torch.export.load(io.BytesIO(content)).module()
    batches = torch.from_numpy(images).split(interface.BATCH)
    return np.concatenate([program(batch)[0].numpy() for batch in batches])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the warnings of torch and onnxruntime from the user: about deprecated insides, about a torchvision that is
    not installed and not needed, about a preparation for models larger than ours.
    """
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(logging.NOTSET)


def _example() -> tuple[Tensor]:
    """Return images to trace the network with; two, since a batch of one would be traced as a constant."""
    return (torch.zeros(2, 1, FRAME, FRAME, dtype=torch.uint8),)


def _any_number() -> dict[str, dict[int, Any]]:
    return {"images": {0: torch.export.Dim("N")}}


def _facts(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the metadata of an exported file: constants, number of parameters, class names, val accuracy if known."""
    constants = ("pixel_mean", "pixel_std", "temperature", "least_score")
    facts = {name: str(getattr(checkpoint.model, name).item()) for name in constants}
    facts["parameters"] = str(checkpoint.parameters)
    facts["class_names"] = json.dumps(checkpoint.model.classes)
    if checkpoint.config.trained_on != TrainConfig().data:
        facts["data"] = json.dumps(checkpoint.config.trained_on)
    if checkpoint.val_accuracy is not None:
        facts["val_accuracy"] = str(checkpoint.val_accuracy)
    return facts
