import pytest
import torch

from mnist_cli.config import TrainConfig
from mnist_cli.models import architectures
from mnist_cli.training import steps
from mnist_cli.training.backpropagation import Backpropagation
from mnist_cli.training.losses import loss_of, soft_targets
from mnist_cli.training.steps import TrainingStep


def test_a_step_updates_the_weights_by_the_gradient_and_sums_up_loss_and_errors(train):
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


def weights_after(count, digits, **config):
    """Return the weights after some steps of a run that clips its gradients, and its sums."""
    config = TrainConfig(hidden=(32, 16), gradient_clip=0.5, label_smoothing=0.1, batch_size=64, **config)
    model = architectures.build_from(config).train()
    step = TrainingStep(model, config, digits[:64])
    for batch in list(digits.batches(64))[:count]:
        step(batch, 64, learning_rate=1e-3)
    return torch.cat([weight.detach().flatten() for weight in model.parameters()]), step


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_explicit_backpropagation_learns_what_autograd_learns(train, monkeypatch, optimizer):
    weights, step = weights_after(20, train, optimizer=optimizer)
    monkeypatch.setattr(steps, "FULLY_CONNECTED", set())
    by_autograd, plain = weights_after(20, train, optimizer=optimizer)
    assert isinstance(step.differentiate, Backpropagation)
    assert not isinstance(plain.differentiate, Backpropagation)
    torch.testing.assert_close(weights, by_autograd, rtol=1e-3, atol=1e-4)
    assert step.loss_sum.item() == pytest.approx(plain.loss_sum.item(), rel=1e-5)
    assert step.correct.item() == pytest.approx(plain.correct.item(), abs=2)


@pytest.mark.parametrize("options", [{"model": "cnn"}, {"compile": True}])
def test_convolutions_and_compiled_networks_are_left_to_autograd(train, options):
    config = TrainConfig(hidden=(4, 8), **options)
    step = TrainingStep(architectures.build_from(config), config, train[:10])
    assert not isinstance(step.differentiate, Backpropagation)


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_a_taught_model_learns_soft_targets_and_its_teacher_stays_as_it_is(train, model):
    config, batch = TrainConfig(model=model, hidden=(4, 8)), train[:50]
    teacher = architectures.build("cnn", 5, hidden=(4, 8)).eval().requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    model = architectures.build_from(config).train()
    targets = soft_targets(batch.labels, teacher(batch.images))
    expected = loss_of(architectures.build_from(config).train()(batch.images), targets, "cross_entropy")
    step = TrainingStep(model, config, batch, teacher=teacher)
    step(batch, 50, learning_rate=0.1)
    assert step.loss_sum.item() == pytest.approx(expected.item(), rel=1e-5)
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_a_part_of_a_batch_without_an_image_can_be_stepped_on(train, model):
    """As in the second of two processes when the last batch of an epoch has one image."""
    config = TrainConfig(model=model, hidden=(4, 8))
    model = architectures.build_from(config).train()
    before = [statistics.clone() for name, statistics in model.named_buffers() if "running" in name]
    TrainingStep(model, config, train[:2])(train[:0], 1, learning_rate=0.1)
    after = [statistics for name, statistics in model.named_buffers() if "running" in name]
    assert all(map(torch.equal, before, after))
    assert all(weight.isfinite().all() for weight in model.parameters())
