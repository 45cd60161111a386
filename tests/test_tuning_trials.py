from dataclasses import replace

import pytest
import torch

from mnist_cli import api, config
from mnist_cli.errors import DivergenceError
from mnist_cli.models import checkpoints
from mnist_cli.tuning import trials
from mnist_cli.tuning.trials import Part

CONFIG = config.resolve(
    "default",
    None,
    {"hidden": (16,), "epochs": 3, "train_size": 400, "holdout": 300, "dropout": 0.2, "augment": "shift", "threads": 1},
)


def test_a_trial_in_parts_has_the_weights_of_mnist_train_bit_by_bit(data_dir, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = trials.train(Part(CONFIG, 1, "cpu", data_dir))
    second = trials.train(Part(CONFIG, 3, "cpu", data_dir, first.state, first.results))
    trained = api.train(config=CONFIG, name="same", device="cpu", data_dir=data_dir)
    weights = checkpoints.load(trained.run.last_path).model.state_dict()
    assert second.weights == trials.fingerprint(weights)
    assert first.weights != second.weights
    assert [result.held_out_loss for result in second.results] == [one.held_out_loss for one in trained.results]
    assert [result.train_loss for result in second.results] == [one.train_loss for one in trained.results]


def test_a_trial_is_measured_on_held_out_images_unless_the_val_images_are_asked_for(data_dir):
    one = replace(CONFIG, epochs=1)
    (held_out,) = trials.train(Part(one, 1, "cpu", data_dir)).results
    (val,) = trials.train(Part(one, 1, "cpu", data_dir, on_val=True)).results
    assert held_out.val_loss == held_out.held_out_loss == val.held_out_loss
    assert val.val_loss != held_out.val_loss
    assert round(held_out.val_accuracy * 300, 6).is_integer()


def test_the_last_part_keeps_no_state(data_dir):
    assert trials.train(Part(replace(CONFIG, epochs=1), 1, "cpu", data_dir)).state == b""


def test_a_trial_that_diverges_says_so(data_dir):
    wild = replace(CONFIG, optimizer="sgd", learning_rate=1e9, epochs=1)
    with pytest.raises(DivergenceError):
        trials.train(Part(wild, 1, "cpu", data_dir))


def test_a_trial_leaves_the_threads_of_the_process_as_they_were(data_dir):
    before = torch.get_num_threads()
    trials.train(Part(replace(CONFIG, epochs=1, threads=3), 1, "cpu", data_dir))
    assert torch.get_num_threads() == before


def test_the_fingerprint_depends_on_every_bit():
    weights = {"a": torch.zeros(3), "b": torch.ones(2)}
    assert trials.fingerprint(weights) == trials.fingerprint({name: it.clone() for name, it in weights.items()})
    changed = torch.nextafter(weights["b"], torch.tensor(2.0))
    assert trials.fingerprint(weights) != trials.fingerprint({**weights, "b": changed})
