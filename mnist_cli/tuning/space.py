"""What a search varies: hyperparameters, and the range of each. Without torch."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from mnist_cli.config import HYPERPARAMETERS, TrainConfig, meant_by
from mnist_cli.errors import ConfigError
from mnist_cli.hyperparameters import Hyperparameter
from mnist_cli.training.fine_tuning import ARCHITECTURE

Sampler = Literal["tpe", "cmaes"]
Pruner = Literal["halving", "hyperband", "none"]

SEARCHED_GROUPS = {"Model", "Optimization", "Regularization"}
# What all trials have in common, so that they can be compared.
FIXED = {"epochs", "holdout", "patience", "from_", "rate_changes"}


class Suggest(Protocol):
    """What proposes a value for each hyperparameter: a trial of Optuna."""

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        """Return a number of the range."""

    def suggest_int(self, name: str, low: int, high: int, *, log: bool = False) -> int:
        """Return a whole number of the range."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any:
        """Return one of the choices."""


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; with `log` each order of magnitude is as likely as another."""

    low: float
    high: float
    log: bool = False

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}{',log' if self.log else ''}"

    def holds(self, value: Any) -> bool:
        """Whether a value is in the range."""
        return bool(self.low <= value <= self.high)


@dataclass(frozen=True)
class Choices:
    """Some values; a list of layers is one value."""

    values: tuple[Any, ...]

    def __str__(self) -> str:
        separator = "/" if isinstance(self.values[0], tuple) else ","
        return separator.join(map(to_text, self.values))

    def holds(self, value: Any) -> bool:
        """Whether a value is one of them."""
        return value in self.values


Space = Mapping[str, Range | Choices]


def parse(texts: Sequence[str], base: TrainConfig) -> Space:
    """Return the space of texts such as `learning_rate=1e-4..1e-1,log`, `augment=affine,elastic`, `hidden=64,64/128,128`.

    Raises ConfigError for a name that is unknown, fixed, or without an effect beside `base`, and for an empty or invalid range.
    """
    space: dict[str, Range | Choices] = {}
    for text in texts:
        name, equals, values = text.partition("=")
        name = name.strip().removeprefix("--").replace("-", "_")
        if not equals:
            raise ConfigError(f"--search {text} has no values; type for example learning_rate=1e-4..1e-1,log")
        it = _searchable(name, base)
        if name in space:
            raise ConfigError(f"--search names {name} twice")
        space[name] = _parse_range(it, values) if ".." in values else _parse_choices(it, values)
    _refuse_without_effect(space, base)
    return space


def default(base: TrainConfig) -> Space:
    """Return the space for a model: what influences it most, in ranges around the values of `base`."""
    augments = ("none", "shift") if base.model == "linear" else ("shift", "affine", "elastic")
    if base.data != TrainConfig.data:  # the transforms are those of digits
        augments = ("none", *augments)
    space: dict[str, Range | Choices] = {
        "learning_rate": Range(base.learning_rate / 10, base.learning_rate * 10, log=True),
        "batch_size": Choices(tuple(sorted({32, 64, 128, 256, base.batch_size}))),
        "label_smoothing": Range(0.0, 0.2),
        "augment": Choices(tuple(dict.fromkeys((base.augment, *augments)))),
    }
    if base.weight_decay:
        space["weight_decay"] = Range(base.weight_decay / 100, base.weight_decay * 10, log=True)
    if base.schedule == "one_cycle":
        space["warmup"] = Range(0.05, 0.5)
    if base.model != "linear" and not base.from_:
        space["dropout"] = Range(0.0, 0.5)
    return space


def describe(space: Space) -> list[str]:
    """Return the space as texts that `parse` takes."""
    return [f"{name}={values}" for name, values in sorted(space.items())]


def suggest(space: Space, name: str, trial: Suggest) -> Any:
    """Return the value of a hyperparameter that `trial` proposes."""
    values = space[name]
    if isinstance(values, Choices):
        texts = [to_text(value) for value in values.values]  # a storage has no lists
        return from_stored(space, name, trial.suggest_categorical(name, texts))
    if HYPERPARAMETERS[name].kind is int:
        return trial.suggest_int(name, int(values.low), int(values.high), log=values.log)
    return trial.suggest_float(name, values.low, values.high, log=values.log)


def from_stored(space: Space, name: str, stored: Any) -> Any:
    """Return the value of a hyperparameter as a configuration has it, given as a storage has it."""
    values = space[name]
    return next(it for it in values.values if to_text(it) == stored) if isinstance(values, Choices) else stored


def values_in(space: Space, config: TrainConfig) -> dict[str, Any] | None:
    """Return the values of `config` as a trial has them, or None when one of them is outside the space."""
    values = vars(config)
    if not all(space[name].holds(values[name]) for name in space):
        return None
    return {name: to_text(values[name]) if isinstance(space[name], Choices) else values[name] for name in space}


def in_order(space: Space) -> list[str]:
    """Return the names with those first on which it depends whether others have an effect."""
    return sorted(space, key=lambda name: (bool(HYPERPARAMETERS[name].applies_to), name))


def to_text(value: Any) -> str:
    """Return a value as it is typed."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _searchable(name: str, base: TrainConfig) -> Hyperparameter:
    """Return the hyperparameter of that name, if a search may vary it."""
    it = HYPERPARAMETERS.get(name)
    if it is None:
        meant = meant_by(name)
        advice = f"did you mean {meant}?" if meant else "see `mnist train --help`"
        raise ConfigError(f"--search names {name!r}, which is not a hyperparameter; {advice}")
    if it.group not in SEARCHED_GROUPS or name in FIXED:
        raise ConfigError(f"--search cannot vary {name}, which all trials have in common; {it.option} sets it")
    if base.from_ and name in ARCHITECTURE:
        raise ConfigError(f"--search cannot vary {name}, which is that of --from {base.from_}")
    return it


def _parse_range(it: Hyperparameter, text: str) -> Range:
    numbers, comma, scale = text.partition(",")
    low_text, _, high_text = numbers.partition("..")
    if it.choices or it.is_list or it.kind is bool:
        raise ConfigError(f"--search {it.name}={text} is a range, but {it.name} is no number; name its choices")
    if comma and scale.strip() != "log":
        raise ConfigError(f"--search {it.name}={text} ends in {scale!r}; only `log` can follow a range")
    low, high = (_number(it, number) for number in (low_text, high_text))
    if low >= high:
        raise ConfigError(f"--search {it.name}={text} is an empty range; its first number has to be the smaller one")
    if comma and low <= 0:
        raise ConfigError(f"--search {it.name}={text} begins at {low:g}, of which there is no logarithm; begin above 0")
    return Range(low, high, bool(comma))


def _parse_choices(it: Hyperparameter, text: str) -> Choices:
    words = [word.strip() for word in text.split("/" if it.is_list else ",")]
    values = tuple(dict.fromkeys(_value(it, word) for word in words))
    if len(values) < 2:
        raise ConfigError(f"--search {it.name}={text} leaves no choice; give two values or more, or {it.option} {text}")
    return Choices(values)


def _value(it: Hyperparameter, word: str) -> Any:
    """Return a choice, checked."""
    if it.is_list:
        value: Any = tuple(int(_whole(it, number)) for number in word.split(",") if number.strip())
    elif it.kind is bool:
        value = {"true": True, "false": False}.get(word.lower(), word)
    else:
        value = word if it.choices else _number(it, word)
    it.check(value)
    return value


def _number(it: Hyperparameter, text: str) -> float:
    """Return a number within the bounds of a hyperparameter."""
    if it.kind is int:
        value: float = _whole(it, text)
    else:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ConfigError(f"--search {it.name} has {text.strip()!r}, which is not a number")
    it.check(value)
    return value


def _whole(it: Hyperparameter, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ConfigError(f"--search {it.name} has {text.strip()!r}, which is not a whole number") from None


def _refuse_without_effect(space: Space, base: TrainConfig) -> None:
    """Raise ConfigError for a hyperparameter that has no effect in any trial."""
    for name in space:
        other = HYPERPARAMETERS[name].obstacle(vars(base))
        if other is None:
            continue
        useful = HYPERPARAMETERS[name].applies_to[other]
        varied = space.get(other)
        if not (isinstance(varied, Choices) and set(varied.values) & set(useful)):
            raise ConfigError(
                f"--search {name} has no effect with {other} {getattr(base, other)}; it is for {' and '.join(useful)}"
            )
