from typing import get_args

import pytest
from typer.main import get_command

from mnist_cli.cli import app
from mnist_cli.config import HYPERPARAMETERS
from mnist_cli.hyperparameters import Group
from mnist_cli.models import checkpoint_info

TRAIN = get_command(app).commands["train"]
QUICK = ("--epochs", "1", "--train-size", "100", "--device", "cpu", "--name", "one")


def test_every_hyperparameter_is_an_option_with_its_help_in_its_group():
    options = {parameter.name: parameter for parameter in TRAIN.params}
    for name, it in HYPERPARAMETERS.items():
        assert (options[name].opts, options[name].help, options[name].rich_help_panel) == (
            [it.option],
            it.help,
            it.group,
        )


def test_the_help_shows_the_groups_in_order_and_the_default_of_each_model(mnist):
    text = " ".join(mnist("train", "--help").stdout.split())
    places = [text.index(f" {group}: --") for group in get_args(Group) if group != "Search"]
    assert places == sorted(places)
    assert "[default: mlp 0.002, cnn 0.01, linear 0.005; sgd 0.1, rmsprop 0.0005]" in text
    assert "depends on" not in text


@pytest.mark.parametrize("flag", ["compile", "deterministic"])
def test_a_flag_of_a_file_can_be_overridden(mnist, tmp_path, flag):
    (tmp_path / "run.toml").write_text(f"{flag} = true\nmodel = 'linear'\n")
    assert mnist("train", *QUICK, "--config", "run.toml", f"--no-{flag}").exit_code == 0
    config = checkpoint_info.read(tmp_path / "checkpoints/one/last.pt").config
    assert (getattr(config, flag), config.model) == (False, "linear")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "linear", "--hidden", "64"], "--hidden has no effect with --model linear; it is for mlp and cnn"),
        (["--model", "linear", "--dropout", "0.1"], "--dropout has no effect with --model linear"),
        (["--optimizer", "adam", "--momentum", "0.9"], "--momentum has no effect with --optimizer adam"),
        (["--preset", "original", "--momentum", "0.5"], "--momentum has no effect with --optimizer adam"),
    ],
)
def test_an_option_without_an_effect_is_refused_in_a_sentence(mnist, options, message):
    done = mnist("train", *options)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"Error: {message}")
    assert done.stderr.count("\n") == 1
