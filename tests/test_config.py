import math
import os
from itertools import product
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from mnist_cli import config
from mnist_cli.config import HYPERPARAMETERS, PRESETS, Model, Optimizer, TrainConfig, TrainOptions, resolve
from mnist_cli.errors import ConfigError


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "resnet"}, "no --model 'resnet'; choose from linear, mlp, cnn"),
        ({"optimizer": "lion"}, "no --optimizer 'lion'"),
        ({"hidden": (256, 0)}, "--hidden must be from 1"),
        ({"hidden": (2.5,)}, "--hidden must be a whole number"),
        ({"epochs": 0}, "--epochs must be from 1 to 999,999, not 0"),
        ({"epochs": 1.5}, "--epochs must be a whole number"),
        ({"epochs": True}, "--epochs must be a whole number"),
        ({"batch_size": 0}, "--batch-size must be from 1 to 60,000"),
        ({"learning_rate": 0.0}, "--learning-rate must be at least 1e-12"),
        ({"learning_rate": -1.0}, "--learning-rate must be at least"),
        ({"learning_rate": math.nan}, "--learning-rate must be at least .* not nan"),
        ({"learning_rate": math.inf}, "--learning-rate must be .* below 1e"),
        ({"learning_rate": "fast"}, "--learning-rate must be a number, not 'fast'"),
        ({"dropout": 1.0}, "--dropout must be .* below 1"),
        ({"compile": "yes"}, "--compile must be true or false"),
        ({"seed": 2**50}, "--seed must be"),
        ({"rate_changes": "half"}, "--rate-changes must look like 1200:0.5,3000:1, not 'half'"),
        ({"rate_changes": "5:-1"}, "--rate-changes must look like"),
        ({"rate_changes": "5:1,"}, "--rate-changes must look like"),
        ({"rate_changes": ("5:1",)}, "--rate-changes must look like .* not a tuple"),
    ],
)
def test_an_invalid_value_is_named(values, message):
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**values)


def test_every_number_has_bounds():
    numbers = {name for name, it in HYPERPARAMETERS.items() if it.kind in (int, float)} | {"hidden"}
    assert {name for name, it in HYPERPARAMETERS.items() if it.below is not None} == numbers


def test_the_original_preset_is_the_recipe_of_the_course_notes():
    original = resolve("original", None, {})
    assert (original.model, original.hidden, original.activation) == ("mlp", (256, 256), "relu")
    assert (original.epochs, original.batch_size, original.learning_rate) == (10, 64, 1e-3)
    assert (original.optimizer, original.schedule, original.weight_decay, original.augment) == (
        "adam",
        "constant",
        0,
        "none",
    )


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_valid(preset):
    assert isinstance(resolve(preset, None, {}), TrainConfig)


def test_an_option_wins_over_a_file_over_a_preset_over_the_models_recipe(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("epochs = 7\nbatch_size = 32\n")
    chosen = resolve("fast", file, {"batch_size": 16})
    assert (chosen.batch_size, chosen.epochs, chosen.model) == (16, 7, "cnn")
    assert chosen.weight_decay == 0.05


def test_the_defaults_depend_on_the_model():
    assert resolve(None, None, {"model": "linear"}).augment == "none"
    assert resolve(None, None, {"model": "linear", "augment": "shift"}).augment == "shift"


def test_a_configuration_survives_its_file(tmp_path):
    chosen = resolve("best", None, {"seed": 3, "compile": True, "extra": 'é 字 😀 "\\\t', "rate_changes": "5:0.1,70:2"})
    file = tmp_path / "config.toml"
    file.write_text(config.to_toml(chosen), encoding="utf-8")
    assert resolve(None, file, {}) == chosen


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"epochs = ", r"run\.toml is not a TOML file"),
        (b"\xff\xfe", r"run\.toml is not a TOML file"),
        (b"speed = 3", r"run\.toml sets speed, which is not a hyperparameter"),
        (b"[model]\nname = 'mlp'", "no --model"),
    ],
)
def test_an_invalid_configuration_file_is_named(tmp_path, content, message):
    file = tmp_path / "run.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        resolve(None, file, {})


def test_an_unknown_preset_is_named_with_the_choices():
    with pytest.raises(ConfigError, match=r"no preset 'turbo'; choose from original, default, fast, balanced, .*"):
        resolve("turbo", None, {})


def test_only_one_cycle_has_warmup_by_default():
    assert resolve(None, None, {}).warmup == 0.2
    assert resolve(None, None, {"warmup": 0.0}).warmup == 0
    assert resolve(None, None, {"schedule": "cosine"}).warmup == 0
    assert resolve(None, None, {"schedule": "cosine", "warmup": 0.1}).warmup == 0.1


def test_a_file_may_spell_the_names_as_the_options_do(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("train-size = 300")
    assert resolve(None, file, {}).train_size == 300


def test_early_stopping_holds_out_images_by_default():
    assert TrainConfig().held_out == 0
    assert TrainConfig(patience=2).held_out == 5_000
    assert TrainConfig(patience=2, holdout=100).held_out == 100


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hidden": 5}, "--hidden must be a list of whole numbers"),
        ({"hidden": (99_999, 99_999)}, "makes 9,999,800,001 weights"),
        ({"hidden": (1,) * 101}, "at most 100 layers"),
        ({"patience": ()}, "--patience must be a whole number, not a tuple"),
        ({"weight_decay": 10**400}, "--weight-decay must be at least 0"),
        ({"extra": "\udcff"}, "--extra must be a folder with a name in UTF-8"),
        ({"model": "x" * 1000}, "there is no --model 'x+…; choose"),
    ],
)
def test_a_value_that_would_break_something_later_is_refused_at_once(values, message):
    with pytest.raises(ConfigError, match=message):
        TrainConfig(**values)


@pytest.mark.parametrize("content", ["a = " + "[" * 3000, "epochs = " + "9" * 5000, "#" * 1_000_001])
def test_a_file_that_exhausts_the_parser_is_refused(tmp_path, content):
    (tmp_path / "config.toml").write_text(content)
    with pytest.raises(ConfigError, match="is not a TOML file"):
        resolve(None, tmp_path / "config.toml", {})


def test_a_device_is_not_a_configuration_file():
    with pytest.raises(ConfigError, match="not a file but a pipe or a device"):
        resolve(None, Path("/dev/zero"), {})


def test_only_adamw_has_weight_decay_by_default():
    defaults = {name: resolve(None, None, {"optimizer": name}) for name in get_args(Optimizer)}
    assert {name: config.weight_decay for name, config in defaults.items()} == {
        "adamw": 0.1,
        "adam": 0.0,
        "sgd": 0.0,
        "rmsprop": 0.0,
    }
    assert resolve(None, None, {"optimizer": "adam", "weight_decay": 0.01}).weight_decay == 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "linear", "dropout": 0.2}, "--dropout has no effect with --model linear; it is for mlp and cnn"),
        ({"model": "linear", "hidden": (64,)}, "--hidden has no effect with --model linear"),
        ({"model": "linear", "activation": "relu"}, "--activation has no effect with --model linear"),
        ({"momentum": 0.9}, "--momentum has no effect with --optimizer adamw; it is for sgd and rmsprop"),
        ({"optimizer": "adam", "momentum": 0.5}, "--momentum has no effect with --optimizer adam;"),
    ],
)
def test_an_option_without_an_effect_is_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        resolve(None, None, options)


@pytest.mark.parametrize(("model", "optimizer"), list(product(get_args(Model), get_args(Optimizer))))
def test_the_file_of_a_run_repeats_it_whatever_has_no_effect_in_it(tmp_path, model, optimizer):
    chosen = resolve(None, None, {"model": model, "optimizer": optimizer})
    file = tmp_path / "config.toml"
    file.write_text(config.to_toml(chosen))
    assert resolve(None, file, {}) == chosen


def test_a_file_of_the_first_version_is_read_as_before(tmp_path):
    file = tmp_path / "config.toml"
    file.write_text(
        'model = "linear"\nhidden = []\nactivation = "relu"\ndropout = 0.0\nloss = "cross_entropy"\n'
        'label_smoothing = 0.0\noptimizer = "adamw"\nlearning_rate = 0.005\nmomentum = 0.9\nweight_decay = 0.0\n'
        'schedule = "one_cycle"\nwarmup = 0.2\ngradient_clip = 0.0\nepochs = 3\nbatch_size = 128\naugment = "none"\n'
        'train_size = 0\nextra = ""\nholdout = 0\npatience = 0\nprecision = "fp32"\ncompile = false\n'
        "deterministic = false\nseed = 7\n"
    )
    assert resolve(None, file, {}) == TrainConfig(
        model="linear", hidden=(), learning_rate=0.005, weight_decay=0.0, augment="none", epochs=3, seed=7
    )


def test_a_value_without_an_effect_in_a_file_is_refused_unless_an_option_is_the_cause(tmp_path):
    file = tmp_path / "run.toml"
    file.write_text("model = 'linear'\ndropout = 0.5\n")
    with pytest.raises(ConfigError, match=r"run\.toml sets dropout, which has no effect with model linear"):
        resolve(None, file, {})
    file.write_text("model = 'mlp'\ndropout = 0.5\n")
    assert resolve(None, file, {}).dropout == 0.5
    assert resolve(None, file, {"model": "linear"}).dropout == 0


def test_what_a_preset_sets_without_an_effect_is_left_out():
    chosen = resolve("best", None, {"model": "linear"})
    assert (chosen.hidden, chosen.dropout, chosen.epochs) == ((), 0, 40)


def test_without_options_the_configuration_is_the_dataclass():
    assert resolve(None, None, {}) == TrainConfig()


def test_a_declaration_depends_only_on_choices_of_other_hyperparameters():
    for it in HYPERPARAMETERS.values():
        for other, choices in [*it.defaults.items(), *it.applies_to.items()]:
            assert set(choices) <= set(HYPERPARAMETERS[other].choices), it.name


def test_no_two_hyperparameters_share_a_name():
    words = [word for it in HYPERPARAMETERS.values() for word in (it.name.replace("_", "-"), *it.also)]
    assert len(words) == len(set(words))


@pytest.mark.parametrize(
    ("name", "meant"),
    [("lr", "learning_rate"), ("bs", "batch_size"), ("epoch", "epochs"), ("Weight-Decay", "weight_decay")],
)
def test_the_error_for_an_unknown_hyperparameter_suggests_a_similar_one(tmp_path, name, meant):
    with pytest.raises(ConfigError, match=f"no hyperparameter {name}; did you mean {meant}\\?"):
        resolve(None, None, {name: 1})
    (tmp_path / "run.toml").write_text(f"{name} = 1")
    with pytest.raises(ConfigError, match=f"is not a hyperparameter; did you mean {meant}\\?"):
        resolve(None, tmp_path / "run.toml", {})


def test_the_error_for_an_unrecognizable_name_refers_to_the_help():
    with pytest.raises(ConfigError, match="no hyperparameter zzz; see `mnist train --help`"):
        resolve(None, None, {"zzz": 1})


def test_the_options_that_editors_complete_are_the_hyperparameters_with_their_types():
    kinds = {name: it.kind for name, it in HYPERPARAMETERS.items() if name not in {"hidden", "data"}}
    told = get_type_hints(TrainOptions)
    del told["hidden"], told["data"]  # any sequence will do
    assert told == kinds


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("a." * 9_000 + "b = 1", "a line with more than 600 dots"),  # whose parsing would take gigabytes
        ("[" + "a." * 9_000 + "b]", "a line with more than 600 dots"),
        ("#" * 30_000, "more than 20,000 bytes"),
    ],
)
def test_a_configuration_that_would_take_long_to_parse_is_refused(tmp_path, content, why):
    (tmp_path / "deep.toml").write_text(content)
    with pytest.raises(ConfigError, match=why):
        config.read_toml(tmp_path / "deep.toml")


def test_a_configuration_that_is_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(
        ConfigError, match=r"pipe\.toml is not a TOML file .*: this is not a file but a pipe or a device"
    ):
        config.read_toml(tmp_path / "pipe.toml")


def test_a_run_whose_learning_rate_was_changed_often_can_be_repeated(tmp_path):
    changed = TrainConfig(rate_changes=",".join(f"{step}:0.5" for step in range(500)))
    path = tmp_path / "config.toml"
    path.write_text(config.to_toml(changed))
    assert resolve(None, path, {}) == changed
