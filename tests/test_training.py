import pytest
import torch
from torch.nn import functional

from mnist_cli import models, training
from mnist_cli.config import TrainConfig
from mnist_cli.training import Evaluation, Trainer


def make_trainer(train, val, **config):
    config = TrainConfig(**config)
    return Trainer(models.build(config.model, seed=config.seed), train, val, config)


def test_a_network_learns_32_images_by_heart(train):
    some = train[:32]
    results = list(make_trainer(some, some, epochs=60, batch_size=8).epochs())
    assert results[-1].val_accuracy == 1
    assert results[-1].train_loss < 0.02 < results[0].train_loss


def test_evaluate_equals_a_loop_over_single_images(val):
    model, some = models.build("mlp", seed=3), val[:1_234]  # not a multiple of any batch
    losses, errors = [], 0
    for image, label in zip(some.images, some.labels, strict=True):
        logits = model(image.unsqueeze(0))
        losses.append(functional.cross_entropy(logits, label.unsqueeze(0)).item())
        errors += int(logits.argmax() != label)
    result = training.evaluate(model, some)
    assert result.loss == pytest.approx(sum(losses) / 1_234, rel=1e-5)
    assert (result.errors, result.images) == (errors, 1_234)
    assert result.accuracy == pytest.approx(1 - errors / 1_234)


@pytest.mark.parametrize("training_mode", [True, False])
def test_evaluate_leaves_the_mode_and_the_weights(val, training_mode):
    model = models.build("mlp", seed=0).train(training_mode)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = []
    model.register_forward_hook(lambda module, *_: modes.append(module.training))
    training.evaluate(model, val[:100])
    assert modes == [False]
    assert model.training is training_mode
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_model_trains_in_training_mode_also_after_an_evaluation(train):
    trainer = make_trainer(train[:100], train[:100], epochs=2, batch_size=50)
    modes = []
    trainer.model.register_forward_hook(lambda module, *_: modes.append(module.training))
    list(trainer.epochs())
    assert modes == [True, True, False, True, True, False]


def test_the_train_loss_is_a_mean_over_images_not_over_batches(train):
    some = train[:70]  # a batch of 64 and one of 6
    trainer = make_trainer(some, some, epochs=1, learning_rate=1e-12)  # weights that hardly move
    result = next(trainer.epochs())
    assert result.train_loss == pytest.approx(result.val_loss, rel=1e-4)


def test_epochs_pause_with_the_weights_of_the_epoch(train):
    trainer = make_trainer(train[:200], train[200:400], epochs=3)
    for result in trainer.epochs():
        assert result.epoch == trainer.epoch
        assert training.evaluate(trainer.model, train[200:400]).loss == result.val_loss
    assert trainer.epoch == 3


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(train):
    def weights(seed):
        trainer = make_trainer(train[:500], train[:10], epochs=2, seed=seed)
        list(trainer.epochs())
        return torch.cat([parameter.flatten() for parameter in trainer.model.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_progress_counts_every_image(train):
    seen = []
    list(make_trainer(train[:70], train[:10], epochs=2).epochs(seen.append))
    assert seen == [64, 6, 64, 6]


def test_the_state_holds_what_the_optimizer_knows(train):
    trainer = make_trainer(train[:128], train[:10], epochs=1)
    list(trainer.epochs())
    state = trainer.state_dict()
    assert state["epoch"] == 1
    assert state["optimizer"]["state"][0]["step"] == 2


def test_the_interval_is_wilsons():
    # Worked by hand from Wilson (1927): 20 of 100 wrong, z = 1.96.
    low, high = Evaluation(loss=0, errors=20, images=100).interval()
    assert (low, high) == (pytest.approx(0.7112, abs=1e-4), pytest.approx(0.8666, abs=1e-4))


def test_the_interval_of_a_flawless_model_ends_at_one():
    low, high = Evaluation(loss=0, errors=0, images=10_000).interval()
    assert high == pytest.approx(1)
    assert low == pytest.approx(0.99962, abs=1e-5)
