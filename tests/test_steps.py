import pytest
import torch

from mnist_cli.config import TrainConfig
from mnist_cli.models import architectures
from mnist_cli.training.losses import loss_of
from mnist_cli.training.steps import TrainingStep


def test_a_step_moves_the_weights_along_the_gradient_and_sums_up_what_it_saw(train):
    config = TrainConfig(model="linear", hidden=(), optimizer="sgd", momentum=0.0, weight_decay=0.0)
    model, batch = architectures.build_from(config), train[:50]
    logits = model(batch.images)
    loss = loss_of(logits, batch.labels, "cross_entropy")
    gradients = torch.autograd.grad(loss / 50, list(model.parameters()))
    expected = [weight - 0.5 * gradient for weight, gradient in zip(model.parameters(), gradients, strict=True)]
    step = TrainingStep(model, config, batch)
    step(batch, 50, learning_rate=0.5)
    for weight, moved in zip(model.parameters(), expected, strict=True):
        assert torch.allclose(weight, moved, atol=1e-6)
    assert step.loss_sum.item() == pytest.approx(loss.item())
    assert step.correct.item() == (logits.argmax(dim=1) == batch.labels).sum().item()
    step.reset_sums()
    assert (step.loss_sum.item(), step.correct.item()) == (0, 0)


def test_a_part_of_a_batch_without_an_image_can_be_stepped_on(train):
    """As in the second of two processes when the last batch of an epoch has one image."""
    config = TrainConfig(model="cnn", hidden=(4, 8))
    model = architectures.build_from(config).train()
    before = [statistics.clone() for name, statistics in model.named_buffers() if "running" in name]
    TrainingStep(model, config, train[:2])(train[:0], 1, learning_rate=0.1)
    after = [statistics for name, statistics in model.named_buffers() if "running" in name]
    assert all(map(torch.equal, before, after))
    assert all(weight.isfinite().all() for weight in model.parameters())
