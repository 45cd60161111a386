import subprocess
import sys

import pytest

from mnist_cli.config import TrainConfig
from mnist_cli.models import architectures
from mnist_cli.training import optimizers
from mnist_cli.training.parameters import ParameterGroups


def rates(schedule, warmup, *points):
    config = TrainConfig(learning_rate=1.0, schedule=schedule, warmup=warmup)
    return pytest.approx([optimizers.learning_rate_at(done, config) for done in points])


def test_schedules():
    assert rates("constant", 0, 0, 0.5, 0.99) == [1, 1, 1]
    assert rates("step", 0, 0, 0.5, 0.75) == [1, 0.1, 0.01]
    assert rates("cosine", 0, 0, 0.5, 1) == [1, 0.5, 0]
    assert rates("one_cycle", 0.2, 0, 0.1, 0.2, 0.6, 1) == [0.01, 0.5, 1, 0.5, 0]
    assert rates("constant", 0.4, 0.2, 0.4, 0.7) == [0.5, 1, 1]


def test_a_factor_holds_until_the_next_change():
    changes = "100:0.5,200:2"
    assert [optimizers.factor_at(step, changes) for step in (0, 99, 100, 199, 200, 9_999)] == [1, 1, 0.5, 0.5, 2, 2]
    assert optimizers.factor_at(5, "") == 1


def test_a_change_replaces_those_of_the_same_step_and_of_later_ones():
    assert optimizers.with_change("", 7, 10) == "7:10"
    assert optimizers.with_change("7:10", 7, 0.1) == "7:0.1"
    assert optimizers.with_change("7:10,20:3", 15, 1 / 3) == "7:10,15:0.3333"
    assert optimizers.with_change("5:0.00004", 7, 2.0) == "5:0.00004,7:2"


def test_weight_decay_leaves_biases_and_norms_alone():
    model = architectures.build("cnn", 0, hidden=(4, 4))
    decayed, spared = optimizers.make_optimizer(ParameterGroups(model), TrainConfig(weight_decay=0.3)).param_groups
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.3, 0)
    assert {tensor.ndim for tensor in decayed["params"]} == {2, 4}
    assert {tensor.ndim for tensor in spared["params"]} == {1}


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw", "rmsprop"])
def test_an_optimizer_loads_and_saves_without_torchs_compiler(optimizer):
    code = f"""
import sys
from mnist_cli.config import TrainConfig
from mnist_cli.models import architectures
from mnist_cli.training import optimizers
from mnist_cli.training.parameters import ParameterGroups
parameters = ParameterGroups(architectures.build("linear"))
optimizer = optimizers.make_optimizer(parameters, TrainConfig(optimizer={optimizer!r}))
optimizers.load_state(optimizer, parameters, {optimizer!r}, optimizers.state_of(optimizer, parameters))
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
