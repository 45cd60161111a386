from dataclasses import dataclass
from typing import Literal

import pytest

from mnist_cli.errors import ConfigError
from mnist_cli.hyperparameters import declared, did_you_mean, hyperparameter, nearest


@dataclass(frozen=True)
class Cake:
    size: Literal["small", "large_round"] = hyperparameter("Model", "How large.", "small", also=("scale",))
    sugar: float = hyperparameter(
        "Optimization", "How sweet.", defaults={"size": {"small": 0.5, "large_round": 2.0}}, below=10
    )
    candles: int = hyperparameter(
        "Run", "How old.", 0, below=1_000, shown="none", applies_to={"size": ("large_round",)}
    )
    layers: tuple[int, ...] = hyperparameter("Model", "How high.", (3, 2), low=1, below=9, metavar="3,2")


CAKE = declared(Cake)


def test_the_first_default_is_that_of_the_dataclass():
    assert Cake() == Cake("small", 0.5, 0, (3, 2))


def test_a_declaration_has_a_name_an_option_and_choices():
    assert (CAKE["size"].name, CAKE["size"].option) == ("size", "--size")
    assert CAKE["size"].choices == ("small", "large_round")
    assert CAKE["layers"].choices == ()


def test_a_default_is_shown_for_each_choice_that_it_depends_on():
    assert CAKE["sugar"].default_text == "small 0.5, large_round 2"
    assert CAKE["candles"].default_text == "none"
    assert CAKE["layers"].default_text == "3,2"


def test_a_default_is_that_of_the_choice():
    assert CAKE["sugar"].default_for({"size": "large_round"}) == 2
    assert CAKE["sugar"].default_for({"size": ["no", "choice"]}) == 0.5
    assert CAKE["candles"].default_for({"size": "small"}) == 0


def test_what_leaves_a_hyperparameter_without_an_effect_is_named():
    assert CAKE["candles"].obstacle({"size": "small"}) == "size"
    assert CAKE["candles"].obstacle({"size": "large_round"}) is None
    assert CAKE["sugar"].obstacle({"size": "small"}) is None


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("size", "smal", "there is no --size 'smal'; choose from small, large_round; did you mean small\\?"),
        ("size", "Large-Round", "did you mean large_round\\?"),
        ("size", "zzz", "there is no --size 'zzz'; choose from small, large_round$"),
        ("sugar", 10.0, "--sugar must be at least 0 and below 10, not 10.0"),
        ("candles", -1, "--candles must be from 0 to 999, not -1"),
        ("layers", (1, 9), "--layers must be from 1 to 8, not 9"),
        ("layers", 3, "--layers must be a list of whole numbers such as 3,2, not 3"),
    ],
)
def test_the_error_for_an_invalid_value_states_the_valid_range(name, value, message):
    with pytest.raises(ConfigError, match=message):
        CAKE[name].check(value)


@pytest.mark.parametrize(("name", "value"), [("size", "small"), ("sugar", 3), ("candles", 999), ("layers", ())])
def test_a_valid_value_passes(name, value):
    CAKE[name].check(value)


def test_the_nearest_word_ignores_case_hyphens_and_underscores():
    assert nearest("LEARNING_RATES", ["learning-rate", "momentum"]) == "learning-rate"
    assert nearest("x" * 10_000, ["learning-rate"]) is None
    assert did_you_mean("moments", ["momentum"]) == "; did you mean momentum?"
    assert did_you_mean("zzz", ["momentum"]) == ""
