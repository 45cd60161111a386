import onnx
import pytest
from test_exporting_networks import noise

from mnist_cli.config import PRETRAINED
from mnist_cli.errors import ConfigError
from mnist_cli.exporting import torch_export
from mnist_cli.models import backends, checkpoints, onnx_networks, pretrained
from mnist_cli.models.interface import Ensemble


@pytest.fixture(scope="module")
def shipped():
    return backends.load(PRETRAINED, "cpu").model


def test_the_layers_of_the_model_that_ships_compute_its_logits(shipped):
    network = backends.network_of(shipped)
    assert network.logits(noise(20)) == pytest.approx(shipped.logits(noise(20)), abs=1e-3)
    assert [len(layer.weight) for layer in network.layers] == [32, 64, 144, 256, 10]
    assert network.temperature == pytest.approx(float(checkpoints.load(PRETRAINED).model.temperature))


@pytest.mark.slow
def test_the_layers_of_an_exported_mlp_compute_its_logits(trained):
    checkpoint = checkpoints.load(trained)
    content = torch_export.to_onnx(checkpoint).SerializeToString()
    network = backends.network_of(backends.OnnxModel(content))
    assert network.logits(noise(20)) == pytest.approx(checkpoint.model.logits(noise(20)), abs=1e-3)


@pytest.mark.slow
def test_a_quantized_model_is_refused_with_the_reason():
    model = torch_export.quantized(onnx.load(pretrained.ONNX), noise(100))
    with pytest.raises(ConfigError, match=r"cannot be shown: its weights are 8-bit integers"):
        backends.network_of(backends.OnnxModel(model.SerializeToString()))


def test_layers_that_do_not_compute_the_logits_are_refused(shipped, monkeypatch):
    monkeypatch.setitem(onnx_networks.ACTIVATIONS, "Relu", "tanh")
    with pytest.raises(ConfigError, match="not those that `mnist export` writes"):
        backends.network_of(shipped)
    monkeypatch.delitem(onnx_networks.ACTIVATIONS, "Relu")
    with pytest.raises(ConfigError, match="cannot be shown"):
        backends.network_of(shipped)


def test_an_ensemble_has_no_layers(shipped):
    with pytest.raises(ConfigError, match="an ensemble has no layers"):
        backends.network_of(Ensemble([shipped, shipped]))
