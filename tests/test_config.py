import math

import pytest

from mnist_cli.config import TrainConfig
from mnist_cli.errors import ConfigError


def test_the_defaults_are_the_notes_recipe():
    config = TrainConfig()
    assert (config.model, config.epochs, config.batch_size, config.learning_rate) == ("mlp", 10, 64, 1e-3)


@pytest.mark.parametrize(
    "values",
    [{"epochs": 0}, {"batch_size": 0}, {"learning_rate": 0.0}, {"learning_rate": -1.0}, {"learning_rate": math.nan}],
)
def test_a_value_that_no_run_can_have_is_named(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        TrainConfig(**values)
