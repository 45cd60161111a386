import itertools

import pytest
import torch

from mnist_cli.models import architectures
from mnist_cli.training.backpropagation import ACTIVATIONS, Backpropagation
from mnist_cli.training.losses import loss_of

CASES = list(itertools.product(ACTIVATIONS, ["cross_entropy", "mse"], [0.0, 0.3], [0.0, 0.1]))


def make_batch(count=64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (count, 1, 28, 28), generator=generator, dtype=torch.uint8)
    return images, torch.randint(0, 10, (count,), generator=generator)


def autograd(model, images, labels, loss, label_smoothing, scale):
    """The same with torch's automatic differentiation; dropout draws the same mask from the same seed."""
    model.zero_grad()
    torch.manual_seed(7)
    logits = model.layers(images.to(model.pixel_mean.dtype).sub(model.pixel_mean).div(model.pixel_std))
    value = loss_of(logits, labels, loss, label_smoothing)
    (value * scale).backward()
    return value.detach(), [parameter.grad.clone() for parameter in model.parameters()]


@pytest.mark.parametrize(("precision", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-5)])
@pytest.mark.parametrize(("activation", "loss", "dropout", "label_smoothing"), CASES)
def test_the_gradient_is_that_of_autograd(activation, loss, dropout, label_smoothing, precision, tolerance):
    model = architectures.build("mlp", seed=1, hidden=(40, 30), activation=activation, dropout=dropout).to(precision)
    images, labels = make_batch()
    expected_loss, expected = autograd(model, images, labels, loss, label_smoothing, 1 / 64)
    torch.manual_seed(7)
    loss_, logits = Backpropagation(model, loss, label_smoothing)(images, labels, 1 / 64)
    assert loss_.item() == pytest.approx(expected_loss.item(), rel=tolerance)
    assert logits.shape == (64, 10)
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        error = (parameter.grad - gradient).norm() / gradient.norm()
        assert error < tolerance


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_with_rounded_operands_the_gradient_is_as_near_as_with_autocast(loss):
    model = architectures.build("mlp", seed=1, hidden=(40, 30))
    images, labels = make_batch()
    expected_loss, expected = autograd(model, images, labels, loss, 0.1, 1 / 64)
    with torch.autocast("cpu", torch.bfloat16):
        _, rounded = autograd(model, images, labels, loss, 0.1, 1 / 64)
    loss_, logits = Backpropagation(model, loss, 0.1, torch.bfloat16)(images, labels, 1 / 64)
    assert loss_.item() == pytest.approx(expected_loss.item(), rel=0.01)
    assert loss_.dtype == logits.dtype == torch.float32
    for parameter, gradient, other in zip(model.parameters(), expected, rounded, strict=True):
        error, usual = (parameter.grad - gradient).norm(), (other - gradient).norm()
        assert 1e-5 * gradient.norm() < error < 1.5 * usual


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_the_gradient_for_target_probabilities_is_that_of_autograd(loss):
    model = architectures.build("mlp", seed=1, hidden=(40, 30)).double()
    images, _ = make_batch()
    targets = torch.randn(64, 10, dtype=torch.float64).softmax(1)
    expected_loss, expected = autograd(model, images, targets, loss, 0.1, 1 / 64)
    loss_, _ = Backpropagation(model, loss, 0.1)(images, targets, 1 / 64)
    assert loss_.item() == pytest.approx(expected_loss.item(), rel=1e-9)
    for parameter, gradient in zip(model.parameters(), expected, strict=True):
        assert (parameter.grad - gradient).norm() < 1e-9 * gradient.norm()


def test_batches_of_any_size_follow_each_other():
    model = architectures.build("linear", seed=1)
    backpropagate = Backpropagation(model, "cross_entropy", 0.0)
    for count in (64, 17, 64, 1):
        images, labels = make_batch(count, seed=count)
        backpropagate(images, labels, 1 / count)
        mine = [parameter.grad.clone() for parameter in model.parameters()]
        again = architectures.build("linear", seed=1)
        _, expected = autograd(again, images, labels, "cross_entropy", 0.0, 1 / count)
        for one, other in zip(mine, expected, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)
