"""Combinations of options that are all valid, drawn at random, with tiny runs: none ends in a traceback."""

import random
from dataclasses import fields
from pathlib import Path
from typing import get_args

from typer.main import get_command

from mnist_cli.cli import app
from mnist_cli.config import Preset, TrainConfig
from torture import Outcomes
from torture.pictures import drawn
from torture.program import mnist, unpacked

# Extreme values of the options without choices, if they do not take too long; the choices come from the program itself.
VALUES: dict[str, list[str]] = {
    "--hidden": ["1", "16", "3,5", "8,8,8,8,8,8,8,8"],
    "--dropout": ["0", "0.999999"],
    "--label-smoothing": ["0", "0.999999"],
    "--teacher": ["", "gone", "pretrained"],
    "--learning-rate": ["1e-12", "0.01", "999999999999"],
    "--momentum": ["0", "0.999999"],
    "--weight-decay": ["0", "999999999999"],
    "--warmup": ["0", "0.5", "0.999999"],
    "--gradient-clip": ["0", "1e-30", "999999999999"],
    "--epochs": ["1", "2"],
    "--batch-size": ["50", "60000"],
    "--train-size": ["1", "60"],
    "--seeds": ["1", "2"],
    "--extra": ["", "gone", "."],
    "--holdout": ["0", "1", "50000"],
    "--patience": ["0", "1", "999999"],
    "--seed": ["0", "2147483647"],
    "--name": ["a", "ünï-cöde 1"],
    "--device": ["cpu"],
    "--threads": ["1", "2"],
    "--mix": ["0", "0.5"],
    "--max-unreadable": ["0", "1"],
    "--min-confidence": ["0", "1"],
    "--top-k": ["1", "10"],
    "--digits": ["1", "6"],
    "--pattern": ["d", "dd/dd/dddd", "x"],
    "--explain": ["why"],
    "--report": ["report"],
    "--plot": ["runs.png"],
}
CHOICES = {
    f"--{field.name.replace('_', '-')}": get_args(field.type) for field in fields(TrainConfig) if field.name != "hidden"
}
CHOICES["--preset"] = get_args(Preset)
# Options that take minutes or need another machine or a network, and those that are the same for all combinations.
LEFT_OUT = {
    "--compile",
    "--data-dir",
    "--mirror",
    "--from",
    "--config",
    "--resume",
    "--help",
    "--checkpoint",
    "--corruptions",
    "--data",
    "--cluster",
    "--format",
    "--output",
}
ALWAYS = {"train": ["--train-size", "60", "--epochs", "1"]}
COMMANDS = ("train", "train", "predict", "evaluate", "runs", "info", "download")  # most options are those of train


def draw(name: str, generator: random.Random) -> list[str]:
    """Return a command with some of its options."""
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    arguments = list(ALWAYS.get(name, []))
    for parameter in command.params:
        option = next((option for option in parameter.opts if option.startswith("--")), None)
        if option is None or option in LEFT_OUT or generator.random() < 0.6:
            continue
        if getattr(parameter, "is_flag", False):
            arguments.append(option)
        elif choices := CHOICES.get(option):
            arguments += [option, generator.choice(choices)]
        else:
            arguments += [option, generator.choice(VALUES[option])]
    return arguments


def files(name: str, generator: random.Random) -> list[str]:
    """Return the arguments of a command that are not options."""
    return {
        "predict": ["seven.png", "seven.png"],
        "evaluate": ["pretrained"] * generator.choice((1, 2)),
        "info": ["pretrained"],
    }.get(name, [])


def combinations(count: int, seed: int, folder: Path) -> Outcomes:
    """Run commands with random valid options."""
    generator = random.Random(seed)
    data_dir = unpacked(folder)
    drawn("RGB").save(folder / "seven.png")
    for number in range(count):
        name = generator.choice(COMMANDS)
        arguments = draw(name, generator) + files(name, generator)
        data = ["--data-dir", str(data_dir)] if name in {"train", "evaluate", "download"} else []
        fault = mnist(folder, name, *arguments, *data).fault(0, 1, 2)
        yield fault and f"combination {number} of seed {seed}, mnist {name} {' '.join(arguments)}: {fault}"
