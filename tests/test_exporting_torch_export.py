import json

import numpy as np
import onnx
import pytest
import torch

from mnist_cli.config import TrainConfig
from mnist_cli.errors import ExportError
from mnist_cli.exporting import torch_export
from mnist_cli.models import architectures, checkpoints
from mnist_cli.models.backends import OnnxModel
from mnist_cli.training import loop


@pytest.fixture(scope="module")
def checkpoint(trained):
    """A trained network, calibrated as if images had been held out."""
    loaded = checkpoints.load(trained)
    loaded.model.temperature.fill_(1.5)
    loaded.model.least_score.fill_(-2.0)
    return loaded


@pytest.fixture(scope="module")
def model(checkpoint):
    """The same in ONNX."""
    return torch_export.to_onnx(checkpoint)


@pytest.fixture
def quick(monkeypatch, model):
    """Exporting takes seconds, and gives the same every time."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    monkeypatch.setattr(torch_export, "to_onnx", lambda checkpoint: copy)


@pytest.mark.usefixtures("quick")
def test_an_onnx_file_predicts_as_its_checkpoint_and_has_metadata(checkpoint, val):
    images, labels = val.arrays()
    export = torch_export.make(checkpoint, "onnx", images, labels)
    content, found = export.content, export.comparison
    assert found.is_same
    assert found.accuracy == found.accuracy_before == pytest.approx(checkpoint.val_accuracy)
    read = onnx.load_model_from_string(content)
    onnx.checker.check_model(read, full_check=True)
    facts = {entry.key: entry.value for entry in read.metadata_props}
    assert json.loads(facts.pop("class_names")) == list("0123456789")
    assert {name: float(value) for name, value in facts.items()} == pytest.approx(
        {
            "pixel_mean": architectures.PIXEL_MEAN,
            "pixel_std": architectures.PIXEL_STD,
            "temperature": 1.5,
            "least_score": -2.0,
            "parameters": 784 * 256 + 256 + 256 * 256 + 256 + 256 * 10 + 10,
            "val_accuracy": checkpoint.val_accuracy,
        }
    )
    assert b"mnist_cli" not in content  # no path of the machine that it was made on


@pytest.mark.usefixtures("quick")
def test_probabilities_are_the_softmax_of_the_logits(checkpoint, val):
    images, labels = val.arrays()
    loaded = OnnxModel(torch_export.make(checkpoint, "onnx", images[:100], labels[:100]).content)
    for count in (1, 7):
        logits, probabilities = loaded.session.run(["logits", "probabilities"], {"images": images[:count]})
        assert np.allclose(torch.from_numpy(logits).softmax(dim=1), probabilities, atol=1e-6)


@pytest.mark.usefixtures("quick")
def test_int8_quantization_takes_a_quarter_of_the_size_and_is_nearly_as_accurate(checkpoint, model, train, val):
    images, labels = val.arrays()
    export = torch_export.make(checkpoint, "onnx", images, labels, train.images[:500].numpy())
    content, found = export.content, export.comparison
    assert len(content) < 0.3 * model.ByteSize()
    assert found.accuracy == pytest.approx(found.accuracy_before, abs=0.001)
    assert found.distance > 0
    assert OnnxModel(content).rejection_threshold == -2.0


def test_a_program_of_torch_export_predicts_as_its_checkpoint(checkpoint, val):
    export = torch_export.make(checkpoint, "pt2", *val[:2_000].arrays())
    assert export.comparison.is_same
    assert torch_export.logits_of_pt2(export.content, val.images[:3].numpy()).shape == (3, 10)


@pytest.mark.usefixtures("quick")
def test_another_model_is_not_exported(checkpoint, val):
    other = loop.Trainer(architectures.build("mlp", 1), val[:1], val[:1], TrainConfig()).model.eval()
    changed = checkpoints.Checkpoint(checkpoint.path, other, checkpoint.config, [], {}, {})
    with pytest.raises(ExportError, match=r"predictions differ, the logits by up to .* instead of"):
        torch_export.make(changed, "onnx", *val[:1_000].arrays())
    with pytest.raises(ExportError):
        torch_export.make(checkpoint, "onnx", *val[:1_000].arrays(), np.zeros((100, 1, 28, 28), np.uint8))
