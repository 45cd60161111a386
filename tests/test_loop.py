from typing import get_args

import pytest
import torch
from torch.nn import functional

from mnist_cli.config import Optimizer, TrainConfig, resolve
from mnist_cli.errors import DivergenceError
from mnist_cli.models import architectures
from mnist_cli.results import EpochResult
from mnist_cli.training import calibration, loop, losses
from mnist_cli.training.loop import Trainer

PLAIN = {"optimizer": "adam", "learning_rate": 1e-3, "weight_decay": 0.0, "schedule": "constant", "augment": "none"}


def make_trainer(train, val, **config):
    config = TrainConfig(**{"batch_size": 64, **PLAIN, **config})
    return Trainer(architectures.build_from(config), train, val, config)


@pytest.mark.slow
def test_a_network_overfits_32_images(train):
    some = train[:32]
    results = list(make_trainer(some, some, epochs=60, batch_size=8).epochs())
    assert results[-1].val_accuracy == 1
    assert results[-1].train_loss < 0.02 < results[0].train_loss


def test_evaluate_equals_a_loop_over_single_images(val):
    model, some = architectures.build("mlp", seed=3), val[:1_234]  # not a multiple of any batch
    losses, errors = [], 0
    for image, label in zip(some.images, some.labels, strict=True):
        logits = model(image.unsqueeze(0))
        losses.append(functional.cross_entropy(logits, label.unsqueeze(0)).item())
        errors += int(logits.argmax() != label)
    result = loop.evaluate(model, some)
    assert result.loss == pytest.approx(sum(losses) / 1_234, rel=1e-5)
    assert (result.errors, result.images) == (errors, 1_234)
    assert result.accuracy == pytest.approx(1 - errors / 1_234)


@pytest.mark.parametrize("training_mode", [True, False])
def test_evaluate_leaves_the_mode_and_the_weights(val, training_mode):
    model = architectures.build("mlp", seed=0).train(training_mode)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modes = []
    model.register_forward_hook(lambda module, *_: modes.append(module.training))
    loop.evaluate(model, val[:100])
    assert modes == [False]
    assert model.training is training_mode
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_the_model_trains_in_training_mode_also_after_an_evaluation(train):
    trainer = make_trainer(train[:100], train[:100], epochs=2, batch_size=50, model="cnn", hidden=(4, 8))
    modes = []
    trainer.model.register_forward_hook(lambda module, *_: modes.append(module.training))
    list(trainer.epochs())
    assert modes == 2 * [True, True, False, False]  # two steps, the val images, those of the rejection threshold


def test_the_train_loss_is_a_mean_over_images_not_over_batches(train):
    some = train[:70]  # a batch of 64 and one of 6
    trainer = make_trainer(some, some, epochs=1, learning_rate=1e-12)  # weights that hardly move
    result = next(trainer.epochs())
    assert result.train_loss == pytest.approx(result.val_loss, rel=1e-4)


def test_the_train_accuracy_is_that_on_the_images_as_they_were_trained_on(train):
    some = train[:70]
    trainer = make_trainer(some, some, epochs=1, learning_rate=1e-12)  # weights that hardly move
    result = next(trainer.epochs())
    assert result.train_accuracy == result.val_accuracy
    augmented = make_trainer(some, some, epochs=1, learning_rate=1e-12, augment="elastic")
    assert 0 <= next(augmented.epochs()).train_accuracy <= 1


@pytest.mark.parametrize("batches", [0, 1])
def test_an_epoch_that_a_version_without_train_accuracy_began_has_none_and_the_next_has_one(train, batches):
    begun = make_trainer(train[:128], train[:10], epochs=2)
    if batches:
        begun.stop()
    next(begun.epochs(), None)
    state = {key: value for key, value in begun.state_dict().items() if key != "correct"}
    resumed = make_trainer(train[:128], train[:10], epochs=2)
    resumed.load_state_dict(state, begun.results)
    accuracies = [result.train_accuracy for result in resumed.epochs()]
    assert [accuracy is None for accuracy in accuracies] == ([True, False] if batches else [False])


def test_epochs_pause_with_the_weights_of_the_epoch(train):
    trainer = make_trainer(train[:200], train[200:400], epochs=3)
    for result in trainer.epochs():
        assert result.epoch == trainer.epoch
        assert loop.evaluate(trainer.model, train[200:400]).loss == result.val_loss
    assert trainer.epoch == 3


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(train):
    def weights(seed):
        trainer = make_trainer(train[:500], train[:10], epochs=2, seed=seed)
        list(trainer.epochs())
        return torch.cat([parameter.flatten() for parameter in trainer.model.parameters()])

    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(1), weights(2))


def test_denormal_numbers_are_zero_while_an_epoch_is_trained_and_not_after(train):
    products = []
    make_trainer(train[:128], train[:32]).train_epoch(
        lambda images: products.append(torch.full((), 1e-39).mul(1).item())
    )
    assert products == [0.0, 0.0]
    assert torch.full((), 1e-39).mul(1).item() > 0


def test_progress_counts_every_image(train):
    seen = []
    list(make_trainer(train[:70], train[:10], epochs=2).epochs(seen.append))
    assert seen == [64, 6, 64, 6]


def weights_of(trainer):
    return torch.cat([tensor.flatten().float() for tensor in trainer.model.state_dict().values()])


MLP_WITH_DROPOUT = {"model": "mlp", "hidden": (32, 16), "dropout": 0.3, "augment": "elastic", "gradient_clip": 1.0}
EVERYTHING_RANDOM = {"model": "cnn", "hidden": (4, 8), "dropout": 0.3, "augment": "elastic", "schedule": "one_cycle"}


@pytest.mark.slow
@pytest.mark.parametrize("stop_after", [1, 5, 6, 9, 16])
@pytest.mark.parametrize("recipe", [EVERYTHING_RANDOM, MLP_WITH_DROPOUT], ids=["cnn", "mlp"])
def test_a_run_stopped_at_any_step_goes_on_to_the_same_weights(train, recipe, stop_after):
    def make(model=None):
        config = TrainConfig(epochs=3, batch_size=500, **recipe)
        return Trainer(
            model or architectures.build_from(config), train[:3_000], train[:100], config
        )  # 6 steps an epoch

    whole = make()
    expected = list(whole.epochs())

    stopped, steps = make(), []

    def stop(images):
        steps.append(images)
        if len(steps) == stop_after:
            stopped.stop()

    list(stopped.epochs(stop))
    assert len(steps) == stop_after
    torch.manual_seed(99)  # whatever else was drawn meanwhile

    resumed = make(stopped.model)
    resumed.load_state_dict(stopped.state_dict(), stopped.results)
    list(resumed.epochs())
    assert torch.equal(weights_of(resumed), weights_of(whole))
    for name in ("train_loss", "train_accuracy"):
        assert [getattr(result, name) for result in resumed.results] == [getattr(result, name) for result in expected]


def test_the_state_is_tensors_and_plain_values(train, tmp_path):
    trainer = make_trainer(train[:128], train[:10], epochs=1)
    list(trainer.epochs())
    torch.save(trainer.state_dict(), tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert (state["epoch"], state["batch"]) == (1, 0)
    assert state["optimizer"]["state"][0]["step"] == 2


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_every_optimizer_lowers_every_loss(train, optimizer, loss):
    rate = {"sgd": 0.1, "rmsprop": 1e-4}.get(optimizer, 1e-3)
    trainer = make_trainer(train[:500], train[:10], epochs=5, optimizer=optimizer, loss=loss, learning_rate=rate)
    first, *_, last = trainer.epochs()
    assert last.train_loss < 0.8 * first.train_loss


def test_the_brier_score_is_the_squared_distance_from_the_target():
    logits, labels = torch.randn(4, 10), torch.tensor([3, 1, 4, 1])
    distance = logits.softmax(dim=1)
    distance[range(4), labels] -= 1
    assert losses.loss_of(logits, labels, "mse").item() == pytest.approx(distance.square().sum().item(), rel=1e-5)


def test_clipping_bounds_the_gradient(train):
    trainer = make_trainer(train[:64], train[:10], epochs=1, gradient_clip=1e-3)
    list(trainer.epochs())
    norm = torch.cat([parameter.grad.flatten() for parameter in trainer.model.parameters()]).norm()
    assert norm.item() == pytest.approx(1e-3, rel=1e-3)


def test_a_loss_that_is_no_number_ends_the_run_with_advice(train):
    trainer = make_trainer(train[:640], train[:10], epochs=2, optimizer="sgd", learning_rate=1e9)
    with pytest.raises(DivergenceError, match=r"the loss became (nan|inf) in epoch 1; try a smaller --learning-rate"):
        list(trainer.epochs())


def test_bf16_trains_too(train):
    first, _, last = make_trainer(train[:500], train[:10], epochs=3, precision="bf16").epochs()
    assert last.train_loss < 0.8 * first.train_loss


def result(epoch, held_out_loss):
    return EpochResult(epoch, 0.0, 0.0, 0.0, 0.0, 0.0, held_out_loss)


def test_a_trainer_stops_early_after_its_patience_and_knows_its_best_epoch(val):
    for patience, stops in ((0, False), (2, True), (3, False)):
        trainer = make_trainer(val[:1], val[:1], patience=patience)
        trainer.results = [result(epoch, loss) for epoch, loss in enumerate([2.0, 3.0, 2.5], start=1)]
        trainer.epoch = 3
        assert trainer.best() is trainer.results[0]
        assert trainer.is_stopped_early is stops


def test_the_held_out_loss_is_measured_on_the_held_out_images(train):
    config = TrainConfig(epochs=1)
    trainer = Trainer(architectures.build_from(config), train[:500], train[:10], config, held_out=train[1_000:1_200])
    done = next(trainer.epochs())
    trainer.model.temperature.fill_(1)
    assert done.held_out_loss == loop.evaluate(trainer.model, train[1_000:1_200]).loss


@pytest.mark.slow
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_cuda_learns_as_the_cpu_does(train):
    config = TrainConfig(epochs=1, **EVERYTHING_RANDOM)
    device = torch.device("cuda")
    digits = train[:10_000].to(device)
    done = next(Trainer(architectures.build_from(config).to(device), digits, digits, config).epochs())
    assert done.val_accuracy > 0.8


@pytest.mark.slow
def test_temperature_scaling_calibrates_an_overconfident_model(train, val):
    trainer = make_trainer(train[:500], val[:100], epochs=40)
    list(trainer.epochs())
    sure = loop.evaluate(trainer.model, val[:5_000])
    calibration.fit_temperature(trainer.model, val[5_000:])
    honest = loop.evaluate(trainer.model, val[:5_000])
    assert trainer.model.temperature > 1.2
    assert honest.loss < sure.loss
    assert honest.errors == sure.errors


@pytest.mark.slow
def test_with_a_holdout_only_the_saved_model_is_calibrated(train):
    plain = make_trainer(train[:500], train[:200], epochs=3)
    tempered = make_trainer(train[:500], train[:200], epochs=3)
    tempered.held_out = train[1_000:1_500]
    assert [r.val_loss for r in plain.epochs()] == [r.val_loss for r in tempered.epochs()]
    assert plain.model.temperature == 1 != tempered.model.temperature


def test_the_rejection_threshold_accepts_the_requested_fraction(val):
    model = architectures.build("mlp", seed=0).eval()
    calibration.fit_rejection_threshold(model, val[:1_000], kept=0.9)
    assert (model(val.images[:1_000]).logsumexp(dim=1) < model.least_score).float().mean() == pytest.approx(0.1)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", get_args(Optimizer))
def test_every_optimizer_learns_with_its_defaults(optimizer, train, val):
    config = resolve(None, None, {"optimizer": optimizer, "epochs": 3})
    trainer = Trainer(architectures.build_from(config), train, val, config)
    assert [result.val_accuracy for result in trainer.epochs()][-1] > 0.97


def test_a_run_whose_learning_rate_was_changed_by_hand_is_repeated_from_its_configuration(train, val):
    config = TrainConfig(model="linear", hidden=(), epochs=2, augment="none", batch_size=32)

    def weights(trainer, by_hand=()):
        def progress(images):
            if trainer.finished_steps in by_hand:
                trainer.scale_rate(by_hand[trainer.finished_steps])

        torch.manual_seed(0)
        list(trainer.epochs(progress))
        return trainer.model.layers[1].weight

    changed = Trainer(architectures.build_from(config), train[:320], val[:10], config)
    first = weights(changed, {5: 4.0, 10: 0.33333, 12: 1})
    assert changed.config.rate_changes == "5:4,10:0.3333,12:1"
    repeated = weights(Trainer(architectures.build_from(config), train[:320], val[:10], changed.config))
    untouched = weights(Trainer(architectures.build_from(config), train[:320], val[:10], config))
    assert torch.equal(first, repeated)
    assert not torch.equal(first, untouched)


def test_a_pause_does_not_count_as_training(train, val):
    config = TrainConfig(model="linear", hidden=(), epochs=1, augment="none", batch_size=32)
    trainer = Trainer(architectures.build_from(config), train[:64], val[:10], config)

    def wait(images):
        trainer.paused += 100

    (result,) = trainer.epochs(wait)
    assert result.seconds < 0
