"""What a training run is made of, and where its files go. Standard library only."""

import json
import tomllib
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from textwrap import shorten
from typing import Any, Literal, get_args

from mnist_cli.errors import ConfigError

DATA_DIR = Path("data")
CHECKPOINTS_DIR = Path("checkpoints")
RUNS_DIR = Path("runs")
PRETRAINED = Path("pretrained")  # stands for the model that ships with the program wherever a checkpoint is named


Model = Literal["linear", "mlp", "cnn"]
Activation = Literal["relu", "leaky_relu", "gelu", "sigmoid", "tanh"]
Loss = Literal["cross_entropy", "mse"]
Optimizer = Literal["sgd", "adam", "adamw", "rmsprop"]
Schedule = Literal["constant", "step", "cosine", "one_cycle"]
Augment = Literal["none", "shift", "affine", "elastic"]
Precision = Literal["fp32", "bf16"]
Preset = Literal["original", "default", "fast", "best"]

LONGEST = 60  # characters of a value that an error shows
HOLDOUT_OF_THE_PATIENT = 5_000  # images


def means_pretrained(path: Path) -> bool:
    """Return whether `path` stands for the model that ships; a file of that name is the user's own, a folder is not meant."""
    return path == PRETRAINED and not path.is_file()


@dataclass(frozen=True)
class TrainConfig:
    """The hyperparameters of a run; the defaults are the recipe of `mlp`.

    Raises ConfigError, naming the field, for a value that no run can have.
    """

    model: Model = "mlp"
    hidden: tuple[int, ...] = (256, 256)  # units (mlp) or channels (cnn) of each hidden layer
    activation: Activation = "relu"
    dropout: float = 0.0  # fraction of activations set to zero at each step
    loss: Loss = "cross_entropy"
    label_smoothing: float = 0.0  # fraction of the target spread over all ten classes
    optimizer: Optimizer = "adamw"
    learning_rate: float = 2e-3  # the peak of the schedule
    momentum: float = 0.9  # of sgd and rmsprop
    weight_decay: float = 0.1  # of the weights; biases and batch norms are left alone
    schedule: Schedule = "one_cycle"
    warmup: float = 0.2  # fraction of the run in which the learning rate rises to its peak
    gradient_clip: float = 0.0  # the largest norm of the gradient; 0 lets it be
    epochs: int = 10  # passes over the training images
    batch_size: int = 128  # images per optimizer step
    augment: Augment = "elastic"
    train_size: int = 0  # training images to use, each digit in its share; 0 uses all
    extra: str = ""  # folder of labelled pictures to train on too, see `corrections`; "" for none
    holdout: int = 0  # training images to measure on instead of training on them
    patience: int = 0  # epochs without a better held-out loss after which the run stops; 0 never stops
    precision: Precision = "fp32"
    compile: bool = False
    deterministic: bool = False
    seed: int = 0  # random seed

    def __post_init__(self) -> None:
        """Check every value."""
        for field in fields(self):
            _check(field.name, getattr(self, field.name), field.type)
        _check_layers(self.hidden)

    @property
    def held_out(self) -> int:
        """The number of training images to measure on: patience needs some."""
        return self.holdout or (HOLDOUT_OF_THE_PATIENT if self.patience else 0)


MOST_LAYERS = 100
MOST_WEIGHTS = 100_000_000  # between fully connected layers; with its optimizer such a network takes 1.6 GB
LARGEST_FILE = 1_000_000  # bytes of a configuration

BOUNDS = {  # the smallest value, and the one that it must stay below
    "hidden": (1, 100_000),
    "dropout": (0, 1),
    "label_smoothing": (0, 1),
    "learning_rate": (1e-12, 1e12),
    "momentum": (0, 1),
    "weight_decay": (0, 1e12),
    "warmup": (0, 1),
    "gradient_clip": (0, 1e12),
    "epochs": (1, 1_000_000),
    "batch_size": (1, 60_001),
    "train_size": (0, 60_001),
    "holdout": (0, 50_001),
    "patience": (0, 1_000_000),
    "seed": (0, 2**31),
}

# What each model does best with, where that differs from the defaults above.
RECIPES: dict[str, dict[str, Any]] = {
    "linear": {"hidden": (), "augment": "none", "learning_rate": 5e-3, "weight_decay": 0.0},
    "mlp": {},
    "cnn": {"hidden": (16, 32, 64), "learning_rate": 1e-2, "weight_decay": 0.05, "augment": "affine"},
}

# What each optimizer needs instead: only AdamW decays weights apart from the gradient; in the others the same number would
# be an L2 penalty that stops the learning. The learning rates are the best of three after two epochs of `mlp` on 5,000
# images held out of the 60,000.
OPTIMIZER_RECIPES: dict[str, dict[str, Any]] = {
    "adamw": {},
    "adam": {"weight_decay": 0.0},
    "sgd": {"weight_decay": 0.0, "learning_rate": 0.1},
    "rmsprop": {"weight_decay": 0.0, "learning_rate": 5e-4},
}

# Named sets of values. `original` is what the notes do, less their mistakes.
PRESETS: dict[str, dict[str, Any]] = {
    "original": {
        "model": "mlp",
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "weight_decay": 0.0,
        "schedule": "constant",
        "batch_size": 64,
        "augment": "none",
    },
    "default": {},
    "fast": {"model": "cnn", "epochs": 1, "batch_size": 64},
    "best": {
        "model": "cnn",
        "hidden": (24, 48, 96, 192),
        "epochs": 40,
        "dropout": 0.3,
        "label_smoothing": 0.1,
        "augment": "elastic",
    },
}


def resolve(preset: str | None, file: Path | None, options: dict[str, Any]) -> TrainConfig:
    """Return the configuration that `options` ask for on top of a file, of a preset, of the recipes of the optimizer and
    the model.

    Raises ConfigError for a name or value that is unknown.
    """
    if preset is not None and preset not in PRESETS:
        raise ConfigError(f"there is no preset {preset!r}; choose from {', '.join(PRESETS)}")
    in_file = {key.replace("-", "_"): value for key, value in read_toml(file).items()} if file else {}
    asked = {**PRESETS[preset or "default"], **in_file, **options}
    unknown = set(asked) - {field.name for field in fields(TrainConfig)}
    if unknown:
        names = shorten(", ".join(sorted(unknown)), LONGEST)
        wrong = f"{file} sets {names}, which is no hyperparameter" if file else f"there is no hyperparameter {names}"
        raise ConfigError(f"{wrong}; see `mnist train --help`")
    recipe = {
        **RECIPES.get(str(asked.get("model", TrainConfig.model)), {}),
        **OPTIMIZER_RECIPES.get(str(asked.get("optimizer", TrainConfig.optimizer)), {}),
    }
    if asked.get("schedule", TrainConfig.schedule) != "one_cycle":
        recipe = {"warmup": 0.0, **recipe}  # the others begin at the peak unless asked not to
    values = {**recipe, **asked}
    if isinstance(values.get("hidden"), list):
        values["hidden"] = tuple(values["hidden"])
    return TrainConfig(**values)


def read_toml(path: Path) -> dict[str, Any]:
    """Return the names and values in a TOML file; raises ConfigError when it is none."""
    if not path.is_file() or path.stat().st_size > LARGEST_FILE:
        raise ConfigError(
            f"{path} is not a TOML file such as runs/NAME/config.toml: it is no file, or a very large one"
        )
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # of TOML, of UTF-8, of numbers with thousands of digits
        raise ConfigError(f"{path} is not a TOML file such as runs/NAME/config.toml: {error}") from error


def to_toml(config: TrainConfig) -> str:
    """Return `config` as a file that `mnist train --config` repeats the run from."""
    # Strings, numbers, booleans and lists of numbers are written alike in TOML and in JSON that is not limited to ASCII.
    return "".join(f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in asdict(config).items())


def _check_layers(hidden: tuple[int, ...]) -> None:
    """Raise ConfigError for a network that no memory holds."""
    if len(hidden) > MOST_LAYERS:
        raise ConfigError(f"--hidden must have at most {MOST_LAYERS} layers, not {len(hidden):,}")
    weights = sum(inputs * outputs for inputs, outputs in pairwise(hidden))
    if weights > MOST_WEIGHTS:
        raise ConfigError(
            f"--hidden {','.join(map(str, hidden))} makes {weights:,} weights between its layers; "
            f"choose narrower ones, with at most {MOST_WEIGHTS:,}"
        )


def _check(name: str, value: Any, kind: Any) -> None:
    """Raise ConfigError unless `value` is what the field `name` of type `kind` can hold."""
    option = f"--{name.replace('_', '-')}"
    if choices := get_args(kind) if name != "hidden" else ():
        if not isinstance(value, str) or value not in choices:
            raise ConfigError(f"there is no {option} {_shown(value)}; choose from {', '.join(choices)}")
        return
    if kind is str:
        # Without what no path has, or no TOML file: bytes that are no text come as surrogates.
        if not isinstance(value, str) or any(c in "\0\x7f" or "\ud800" <= c <= "\udfff" for c in value):
            raise ConfigError(f"{option} must be a folder with a name in UTF-8, not {_shown(value)}")
        return
    if kind is bool:
        if not isinstance(value, bool):
            raise ConfigError(f"{option} must be true or false, not {_shown(value)}")
        return
    if name == "hidden" and not isinstance(value, tuple):
        raise ConfigError(f"{option} must be a list of whole numbers such as 256,256, not {_shown(value)}")
    for number in value if name == "hidden" else (value,):
        if isinstance(number, bool) or not isinstance(number, (int, float) if kind is float else int):
            raise ConfigError(f"{option} must be {'a number' if kind is float else 'whole'}, not {_shown(number)}")
        low, end = BOUNDS[name]
        if not low <= number < end:  # false for NaN, too
            allowed = f"at least {low:g} and below {end:g}" if kind is float else f"from {low:,} to {end - 1:,}"
            raise ConfigError(f"{option} must be {allowed}, not {_shown(number)}")


def _shown(value: object) -> str:
    """Return a value as text that is not longer than a line, whatever is in it."""
    if not isinstance(value, str | int | float):
        return f"a {type(value).__name__}"
    try:
        text = repr(value)
    except ValueError:  # a number of thousands of digits
        return "such a number"
    return text if len(text) <= LONGEST else text[:LONGEST] + "…"
