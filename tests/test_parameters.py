import pytest
import torch

from mnist_cli.config import TrainConfig
from mnist_cli.models import architectures
from mnist_cli.training import optimizers
from mnist_cli.training.parameters import ParameterGroups


def make(flat, optimizer="adam", **config):
    """Return a model, its parameters and an optimizer of them."""
    config = TrainConfig(optimizer=optimizer, hidden=(16, 8), **config)
    model = architectures.build_from(config)
    parameters = ParameterGroups(model, flat=flat)
    return model, parameters, optimizers.make_optimizer(parameters, config)


def step(model, optimizer, seed):
    """Take a step with gradients that are the same in every model."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        gradient = torch.randn(parameter.shape, generator=generator)
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        parameter.grad.copy_(gradient)
    optimizer.step()


def test_flat_parameters_and_their_gradients_are_views_of_one_vector_for_each_group():
    model, parameters, _ = make(flat=True)
    before = [parameter.clone() for parameter in architectures.build("mlp", seed=0, hidden=(16, 8)).parameters()]
    assert all(map(torch.equal, before, model.parameters()))
    weights, others = parameters.tensors
    for vector, ndim in ((weights, 2), (others, 1)):
        mine = [parameter for parameter in model.parameters() if parameter.ndim == ndim]
        with torch.no_grad():
            vector.fill_(ndim)
        vector.grad.fill_(-ndim)
        assert all((parameter == ndim).all() and (parameter.grad == -ndim).all() for parameter in mine)
        assert vector.numel() == sum(parameter.numel() for parameter in mine)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_a_flat_run_and_another_one_go_on_from_each_others_state_to_the_same_weights(optimizer, momentum):
    config = {"momentum": momentum, "weight_decay": 0.1}
    whole, _, its_optimizer = make(True, optimizer, **config)
    for seed in range(4):
        step(whole, its_optimizer, seed)
    for first, second in [(True, False), (False, True), (True, True)]:
        begun, parameters, begun_optimizer = make(first, optimizer, **config)
        for seed in range(2):
            step(begun, begun_optimizer, seed)
        state = optimizers.state_of(begun_optimizer, parameters)
        assert [group["params"] for group in state["param_groups"]] == [[0, 1, 2], [3, 4, 5]]
        going_on, parameters, next_optimizer = make(second, optimizer, **config)
        going_on.load_state_dict(begun.state_dict())
        optimizers.load_state(next_optimizer, parameters, optimizer, state)
        for seed in range(2, 4):
            step(going_on, next_optimizer, seed)
        for parameter, other in zip(whole.parameters(), going_on.parameters(), strict=True):
            # The last elements of a tensor are rounded differently from those of a vector register.
            tolerance = 0 if first and second else 1e-6
            torch.testing.assert_close(parameter, other, rtol=tolerance, atol=tolerance)


def test_the_state_of_a_flat_run_is_that_of_each_parameter():
    plain, plain_parameters, plain_optimizer = make(flat=False)
    flat, flat_parameters, flat_optimizer = make(flat=True)
    assert optimizers.state_of(flat_optimizer, flat_parameters)["state"] == {}
    for model, optimizer in ((plain, plain_optimizer), (flat, flat_optimizer)):
        step(model, optimizer, 0)
    expected = optimizers.state_of(plain_optimizer, plain_parameters)
    state = optimizers.state_of(flat_optimizer, flat_parameters)
    assert state["param_groups"] == expected["param_groups"]
    assert state["state"].keys() == expected["state"].keys()
    for number, values in expected["state"].items():
        assert state["state"][number].keys() == values.keys()
        for name, value in values.items():
            torch.testing.assert_close(state["state"][number][name], value)


def test_a_state_that_a_parameter_is_missing_from_is_refused():
    _, parameters, optimizer = make(flat=True, optimizer="rmsprop")
    whole, other_parameters, other = make(flat=False, optimizer="rmsprop")
    step(whole, other, 0)
    state = optimizers.state_of(other, other_parameters)
    with pytest.raises(KeyError):
        optimizers.load_state(optimizer, parameters, "rmsprop", {"state": {0: state["state"][0]}})
    del state["state"][1]["momentum_buffer"]
    with pytest.raises(ValueError, match="keeps different things"):
        optimizers.load_state(optimizer, parameters, "rmsprop", state)
