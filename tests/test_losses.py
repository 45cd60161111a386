import pytest
import torch
from torch.nn import functional

from mnist_cli.training import losses


@pytest.mark.parametrize("label_smoothing", [0.0, 0.2])
@pytest.mark.parametrize("kind", ["cross_entropy", "mse"])
def test_a_label_is_a_target_with_one_certain_class(kind, label_smoothing):
    logits, labels = torch.randn(7, 10), torch.randint(0, 10, (7,))
    certain = functional.one_hot(labels, 10).float()
    expected = losses.loss_of(logits, labels, kind, label_smoothing)
    assert losses.loss_of(logits, certain, kind, label_smoothing).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("kind", ["cross_entropy", "mse"])
def test_the_loss_is_least_where_the_probabilities_are_the_target(kind):
    target = torch.randn(5, 10).softmax(1)
    logits = target.log().requires_grad_()
    (gradient,) = torch.autograd.grad(losses.loss_of(logits, target, kind), logits)
    assert gradient.abs().max() < 1e-6


def test_a_soft_target_is_a_mean_of_the_label_and_the_softened_probabilities_of_the_teacher():
    labels, logits = torch.tensor([3, 0]), torch.randn(2, 10) * 5
    softened = (logits / losses.TEACHER_TEMPERATURE).softmax(1)
    expected = (1 - losses.TEACHER_WEIGHT) * functional.one_hot(labels, 10) + losses.TEACHER_WEIGHT * softened
    torch.testing.assert_close(losses.soft_targets(labels, logits), expected)
