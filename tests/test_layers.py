import pytest
import torch

from mnist_cli.models import architectures, layers


def described(model):
    return layers.describe({name: tuple(tensor.shape) for name, tensor in model.state_dict().items()})


MODELS = {
    "linear": architectures.build("linear"),
    "mlp": architectures.build("mlp", hidden=(32, 16), dropout=0.5),
    "mlp without hidden layers": architectures.build("mlp", hidden=()),
    "cnn": architectures.build("cnn", hidden=(4, 8, 16)),
    "deep cnn": architectures.build("cnn", hidden=(4, 8, 16, 32, 8), dropout=0.3),
    "shallow cnn": architectures.build("cnn", hidden=(4,)),
}


@pytest.mark.parametrize("name", MODELS)
def test_shapes_and_parameters_are_those_of_the_network_as_torch_runs_it(name):
    model = MODELS[name].eval()
    outputs = {}
    for number, module in enumerate(model.layers):  # a pooling or norm that follows belongs to the layer before it
        module.register_forward_hook(lambda _, __, output, number=number: outputs.update({number: output.shape[1:]}))
    model(torch.zeros(1, 1, 28, 28, dtype=torch.uint8))
    weighted = [number for number, module in enumerate(model.layers) if list(module.parameters())]
    found = described(model)
    assert [layer.prefix for layer in found] == [f"layers.{number}" for number in weighted]
    for layer, number in zip(found, weighted, strict=True):
        pooled = number + 1 in outputs and isinstance(model.layers[number + 1], torch.nn.MaxPool2d)
        assert layer.output == tuple(outputs[number + pooled])
        assert layer.parameters == sum(weights.numel() for weights in model.layers[number].parameters())


def test_a_layer_is_named_by_its_kind_and_size():
    assert [layer.name for layer in described(MODELS["cnn"])] == [
        "1 conv 5x5, 4",
        "1 batch norm, 4",
        "2 conv 3x3, 8",
        "2 batch norm, 8",
        "3 conv 3x3, 16",
        "3 batch norm, 16",
        "4 linear, 10",
    ]
    assert [layer.name for layer in described(MODELS["mlp"])] == ["1 linear, 32", "2 linear, 16", "3 linear, 10"]


def test_a_parameter_is_called_after_its_layer():
    found = described(MODELS["mlp"])
    assert layers.name_of("layers.1.weight", found) == "1 linear, 32"
    assert layers.name_of("layers.1.bias", found) == "1 linear, 32, bias"
    assert layers.name_of("elsewhere.bias", found) == "elsewhere, bias"
