import pytest
import torch

from mnist_cli.config import TrainConfig
from mnist_cli.models import architectures
from mnist_cli.training import cuda_graph
from mnist_cli.training.loop import Trainer

CONFIG = TrainConfig(model="cnn", hidden=(8, 16), epochs=2, batch_size=64, augment="shift", gradient_clip=1.0)


def train_briefly(train, config, device="cpu", capturing=True):
    """Return the results and weights of training with captured steps, or without."""
    digits = train[:1_000].to(torch.device(device))  # the last of 16 batches is a smaller one
    trainer = Trainer(architectures.build_from(config).to(device), digits, digits, config)
    trainer.step.captures = capturing
    return [result.train_loss for result in trainer.epochs()], list(trainer.model.parameters())


def test_a_captured_step_trains_on_every_batch(train, monkeypatch):
    captured = []
    monkeypatch.setattr(cuda_graph, "capture", lambda step: captured.append(step) or step)
    losses, weights = train_briefly(train, CONFIG)
    plain_losses, plain_weights = train_briefly(train, CONFIG, capturing=False)
    assert len(captured) == 1
    assert losses == plain_losses
    assert all(map(torch.equal, weights, plain_weights))


def test_a_step_that_cannot_be_captured_runs_eagerly(monkeypatch):
    def refuse(step):
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(cuda_graph, "capture", refuse)
    taken = []
    step = cuda_graph.GraphedStep(lambda: taken.append(1))
    for _ in range(cuda_graph.WARM_UP):
        step()
    with pytest.warns(UserWarning, match="not permitted when stream is capturing"):
        step()
    step()
    assert len(taken) == cuda_graph.WARM_UP + 2


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_on_cuda_the_captured_step_computes_what_the_plain_one_does(train, optimizer):
    config = TrainConfig(**{**vars(CONFIG), "optimizer": optimizer, "learning_rate": 1e-3})
    losses, weights = train_briefly(train, config, device="cuda")
    plain_losses, plain_weights = train_briefly(train, config, device="cuda", capturing=False)
    assert losses == pytest.approx(plain_losses, rel=1e-3)
    for weight, plain in zip(weights, plain_weights, strict=True):
        assert torch.allclose(weight, plain, atol=1e-3)
