import shutil
import sys

import numpy as np
import onnx
import pytest
import torch

from mnist_cli.config import PRETRAINED
from mnist_cli.errors import CheckpointError, ConfigError, MnistError
from mnist_cli.models import architectures, backends, checkpoints, interface, pretrained
from mnist_cli.models.backends import OnnxModel
from mnist_cli.models.interface import Ensemble

IMAGES = torch.randint(0, 256, (5, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_a_checkpoint_is_loaded_with_its_score(trained, val):
    loaded = backends.load(trained, "cpu")
    assert loaded.path == trained
    assert loaded.val_accuracy > 0.85
    answers = loaded.model.logits(val.images[:1_000].numpy()).argmax(axis=1)
    assert (answers == val.labels[:1_000].numpy()).mean() > 0.85


def test_a_file_that_cannot_be_loaded_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match="not found"):
        backends.load(tmp_path / "none.pt")
    with pytest.raises(ConfigError, match="no device 'abacus'"):
        backends.load(PRETRAINED, "abacus")


def test_an_ensemble_is_the_mean_of_its_members_probabilities():
    members = [architectures.build("linear", seed).eval() for seed in (1, 2)]
    expected = sum(member(IMAGES).softmax(1) for member in members) / 2
    assert np.allclose(np.exp(Ensemble(members).logits(IMAGES.numpy())), expected.detach(), atol=1e-6)


def test_test_time_augmentation_is_the_mean_over_five_shifts():
    model = architectures.build("linear", 1).eval()
    places = [(0, 0), (0, 1), (0, -1), (1, 0), (-1, 0)]
    expected = sum(model(IMAGES.roll(place, dims=(2, 3))).softmax(1) for place in places) / 5
    assert np.allclose(np.exp(Ensemble([model], True).logits(IMAGES.numpy())), expected.detach(), atol=1e-6)


@pytest.mark.slow
def test_the_two_forms_of_the_model_that_ships_agree(val):
    assert pretrained.ONNX.stat().st_size <= 2_000_000
    quick, original = backends.load(PRETRAINED), checkpoints.load(PRETRAINED)
    assert isinstance(quick.model, OnnxModel)
    assert quick.path == PRETRAINED
    assert quick.val_accuracy == pytest.approx(original.val_accuracy)
    assert quick.model.rejection_threshold == pytest.approx(float(original.model.rejection_threshold))
    one, two = (interface.logits_of(model, val.images.numpy()) for model in (quick.model, original.model))
    assert np.abs(one - two).max() <= 1e-4, "make onnx"


def test_without_onnxruntime_the_model_that_ships_runs_on_torch(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert isinstance(backends.load(PRETRAINED).model, architectures.Classifier)


def test_an_onnx_file_without_onnxruntime_says_what_to_type(tmp_path, monkeypatch):
    path = shutil.copy(pretrained.ONNX, tmp_path / "model.onnx")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MnistError, match=r'model.onnx needs onnxruntime, which .* pip install "mnist-cli\[export\]"'):
        backends.load(path)


def test_an_onnx_file_runs_on_the_cpu_alone(tmp_path):
    with pytest.raises(ConfigError, match=r"model.onnx runs on the cpu only"):
        backends.load(tmp_path / "model.onnx", "cuda")


@pytest.mark.parametrize("size", [0, 1, 1_000, 500_000])
def test_a_truncated_onnx_file_is_an_error(tmp_path, size):
    path = tmp_path / "model.onnx"
    path.write_bytes(pretrained.ONNX.read_bytes()[:size])
    with pytest.raises(
        CheckpointError, match=r"model.onnx is not a model that `mnist export` wrote, or it is corrupted: .+"
    ):
        backends.load(path)


def test_a_missing_and_a_huge_onnx_file_are_errors(tmp_path, monkeypatch):
    with pytest.raises(CheckpointError, match=r"not found: .*`mnist export`"):
        backends.load(tmp_path / "none.onnx")
    monkeypatch.setattr(backends, "MAX_ONNX_BYTES", 1_000)
    with pytest.raises(CheckpointError, match="more than 1,000 bytes"):
        backends.load(shutil.copy(pretrained.ONNX, tmp_path / "model.onnx"))


def outside(model):
    model.graph.initializer[0].data_location = onnx.TensorProto.EXTERNAL


def loop(model):
    model.graph.node[0].attribute.add(name="body", type=onnx.AttributeProto.GRAPH).g.name = "again"


def floats(model):
    model.graph.input[0].type.tensor_type.elem_type = onnx.TensorProto.FLOAT


def wordless(model):
    model.graph.output[0].CopyFrom(model.graph.output[1])
    del model.graph.output[1]


def numberless(model):
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            tensor.raw_data = np.full_like(onnx.numpy_helper.to_array(tensor), np.nan).tobytes()


def saying(key, value):
    def change(model):
        next(entry for entry in model.metadata_props if entry.key == key).value = value

    return change


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (outside, "its weights are in other files"),
        (loop, "it has loops or functions"),
        (floats, "it does not take uint8 images"),
        (wordless, "it has no output `logits`"),
        (numberless, "logits are infinite or NaN"),
        (saying("least_score", "much"), "could not convert string to float: 'much'"),
        (saying("least_score", "nan"), "invalid metadata"),
        (saying("val_accuracy", "nan"), "invalid metadata"),
        (saying("val_accuracy", "7"), "invalid metadata"),
        (saying("temperature", "-1"), "invalid metadata: its temperature is -1"),
        (saying("pixel_std", "0"), "invalid metadata: its pixel_std is 0"),
        (saying("parameters", "9" * 5000), "invalid metadata"),
    ],
)
def test_an_untrusted_onnx_file_is_refused_in_one_sentence(tmp_path, change, why):
    model = onnx.load(pretrained.ONNX)
    change(model)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(CheckpointError, match=why):
        backends.load(tmp_path / "model.onnx")
