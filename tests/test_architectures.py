import numpy as np
import pytest
import torch
from torch import nn

from mnist_cli.errors import CheckpointError, ConfigError
from mnist_cli.models import architectures, devices

IMAGES = torch.randint(0, 256, (5, 1, 28, 28), dtype=torch.uint8)


def test_the_default_network_is_784_256_256_10():
    layers = [layer for layer in architectures.build("mlp").layers if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in layers] == [(784, 256), (256, 256), (256, 10)]


def test_a_model_gives_logits_not_probabilities():
    logits = architectures.build("mlp", seed=0)(IMAGES)
    assert logits.shape == (5, 10)
    assert not torch.allclose(logits.exp().sum(dim=1), torch.ones(5))
    assert logits.min() < 0


def test_forward_leaves_the_images_as_they_are():
    before = IMAGES.clone()
    architectures.build("mlp", seed=0)(IMAGES)
    assert torch.equal(IMAGES, before)


def test_the_pixel_constants_are_those_of_the_training_images(train):
    levels = train.images.double()
    assert levels.mean().item() == pytest.approx(architectures.PIXEL_MEAN, abs=1e-4)
    assert levels.std(correction=0).item() == pytest.approx(architectures.PIXEL_STD, abs=1e-4)


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_generator():
    state = torch.get_rng_state()
    one, two, other = (architectures.build("mlp", seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert not torch.equal(one["layers.1.weight"], other["layers.1.weight"])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", ["linear", "mlp", "cnn"])
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "gelu", "sigmoid", "tanh"])
def test_every_architecture_takes_every_activation_and_dropout(name, activation):
    model = architectures.build(name, 0, hidden=(8, 6, 5, 4), activation=activation, dropout=0.5).eval()
    assert model(IMAGES).shape == (5, 10)
    rebuilt = architectures.build(model.name, **model.arguments)
    rebuilt.load_state_dict(model.state_dict())
    assert torch.equal(rebuilt.eval()(IMAGES), model(IMAGES))


def test_logits_of_numpy_frames_are_numpy_arrays():
    model = architectures.build("mlp", 0).eval()
    logits = model.logits(IMAGES.numpy())
    assert logits.dtype == np.float32
    assert np.array_equal(logits, model(IMAGES).detach().numpy())


@pytest.mark.parametrize("hidden", [(4,), (4, 5), (4, 5, 6), (4, 5, 6, 7)])
def test_a_cnn_may_have_any_number_of_layers(hidden):
    assert architectures.build("cnn", 0, hidden=hidden)(IMAGES).shape == (5, 10)


def test_the_error_for_a_cnn_without_layers_suggests_an_option():
    with pytest.raises(ConfigError, match="--hidden 16,32,64"):
        architectures.build("cnn", hidden=())


def test_an_unknown_activation_is_named_with_the_choices():
    with pytest.raises(ConfigError, match=r"no activation 'swish'.*gelu"):
        architectures.build("mlp", activation="swish")


def test_an_unknown_model_is_named_with_the_choices():
    with pytest.raises(ConfigError, match=r"no model 'resnet'.*mlp"):
        architectures.build("resnet")


def test_logits_that_are_no_numbers_are_an_error():
    model = architectures.build("linear")
    nn.init.constant_(model.layers[1].weight, 1e38)
    with pytest.raises(CheckpointError, match="logits are infinite or NaN"):
        model.logits(IMAGES.numpy())


@pytest.mark.parametrize(("images", "threads"), [(architectures.SMALL - 1, 1), (architectures.SMALL, 3)])
def test_one_thread_computes_a_small_batch(images, threads):
    model, seen, before = architectures.build("linear"), [], torch.get_num_threads()
    model.register_forward_hook(lambda *_: seen.append(torch.get_num_threads()))
    with devices.computing_threads(3):
        model.logits(np.zeros((images, 1, 28, 28), np.uint8))
        assert (seen, torch.get_num_threads()) == ([threads], 3)
    assert torch.get_num_threads() == before
