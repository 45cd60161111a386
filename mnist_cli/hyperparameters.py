"""The declaration of a hyperparameter, from which its option, its validation, its TOML and its reference follow."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any, Literal, get_args

from mnist_cli.errors import ConfigError

Group = Literal["Recipe", "Search", "Model", "Optimization", "Regularization", "Data", "Run", "Hardware"]

MAX_SHOWN_CHARACTERS = 60  # of a value that an error quotes


@dataclass(frozen=True, kw_only=True)
class Hyperparameter:
    """One field of a configuration; `declared` returns those of a dataclass."""

    name: str = ""
    kind: Any = None  # the type of its values
    default: Any
    group: Group
    help: str
    low: float = 0  # the smallest number allowed
    below: float | None = None  # the bound that a number must be below
    # Another hyperparameter, and the default for some of its choices; of several the last one counts.
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    # Another hyperparameter, and its choices with which this one has an effect.
    applies_to: Mapping[str, Sequence[str]] = field(default_factory=dict)
    shown: str = ""  # the meaning of the default, such as `none` for 0
    form: str | None = None  # the regular expression of a text that is no path
    metavar: str | None = None
    also: Sequence[str] = ()  # its names in other programs

    @property
    def option(self) -> str:
        """The option of the command line."""
        return option_of(self.name)

    @property
    def is_list(self) -> bool:
        """Whether its values are lists of whole numbers."""
        return bool(self.kind == tuple[int, ...])

    @property
    def is_names(self) -> bool:
        """Whether its values are lists of text, for which the option may be given several times."""
        return bool(self.kind == tuple[str, ...])

    @property
    def choices(self) -> tuple[str, ...]:
        """The values to choose from, if they are names."""
        return () if self.is_list or self.is_names else get_args(self.kind)

    @property
    def allowed(self) -> str:
        """The range of its numbers, if its values are numbers."""
        if self.below is None:
            return ""
        if self.kind is float:
            return f"at least {self.low:g} and below {self.below:g}"
        return f"from {self.low:,} to {self.below - 1:,}"

    @property
    def default_text(self) -> str:
        """Its default as text, such as `mlp 0.002, cnn 0.01; sgd 0.1` where that depends on others."""
        parts = []
        for other, choices in self.defaults.items():
            names: dict[str, list[str]] = {}  # of the choices, by their default
            for choice, default in choices.items():
                if choice in self.applies_to.get(other, choices):
                    names.setdefault(_as_text(default), []).append(choice)
            parts.append(", ".join(f"{'/'.join(choices)} {text}" for text, choices in names.items()))
        return "; ".join(parts) or self.shown or _as_text(self.default)

    def default_for(self, values: Mapping[str, Any]) -> Any:
        """Return the default beside the other `values` of a configuration."""
        default = self.default
        for other, choices in self.defaults.items():
            default = choices.get(str(values[other]), default)
        return default

    def obstacle(self, values: Mapping[str, Any]) -> str | None:
        """Return the hyperparameter whose choice in `values` leaves this one without an effect, or None."""
        return next((other for other, choices in self.applies_to.items() if values[other] not in choices), None)

    def check(self, value: object) -> None:
        """Raise ConfigError unless the value is valid."""
        if self.choices:
            self._check_choice(value)
        elif self.form is not None:
            if not isinstance(value, str) or not re.fullmatch(self.form, value):
                raise ConfigError(f"{self.option} must look like {self.metavar}, not {_shortened(value)}")
        elif self.kind is str:
            self._check_path(value)
        elif self.is_names:
            if not isinstance(value, tuple) or not value:
                raise ConfigError(f"{self.option} must be a list of names or folders, not {_shortened(value)}")
            for name in value:
                self._check_path(name)
        elif self.kind is bool:
            if not isinstance(value, bool):
                raise ConfigError(f"{self.option} must be true or false, not {_shortened(value)}")
        elif self.is_list:
            if not isinstance(value, tuple):
                raise ConfigError(
                    f"{self.option} must be a list of whole numbers such as {self.metavar}, not {_shortened(value)}"
                )
            for number in value:
                self._check_number(number)
        else:
            self._check_number(value)

    @property
    def _what(self) -> str:
        return "a folder" if self.metavar == "FOLDER" else "a file or folder"

    def _check_path(self, value: object) -> None:
        # No path holds a zero byte, no TOML file these control characters; undecodable bytes come as surrogates.
        if not isinstance(value, str) or any(c in "\0\x7f" or "\ud800" <= c <= "\udfff" for c in value):
            raise ConfigError(f"{self.option} must be {self._what} with a name in UTF-8, not {_shortened(value)}")

    def _check_choice(self, value: object) -> None:
        if not isinstance(value, str) or value not in self.choices:
            raise ConfigError(
                f"there is no {self.option} {_shortened(value)}; choose from {', '.join(self.choices)}"
                + did_you_mean(str(value), self.choices)
            )

    def _check_number(self, number: object) -> None:
        is_float = self.kind is float
        if isinstance(number, bool) or not isinstance(number, (int, float) if is_float else int):
            raise ConfigError(
                f"{self.option} must be {'a number' if is_float else 'a whole number'}, not {_shortened(number)}"
            )
        if self.below is None or not self.low <= number < self.below:  # NaN compares as false
            raise ConfigError(f"{self.option} must be {self.allowed}, not {_shortened(number)}")


def hyperparameter(group: Group, help: str, default: Any = None, **more: Any) -> Any:
    """Return a dataclass field whose metadata is a Hyperparameter; `more` are the other fields of that.

    Where the default depends on other hyperparameters, the first of `defaults` is that of the dataclass.
    """
    if "defaults" in more:
        default = next(iter(next(iter(more["defaults"].values())).values()))
    declaration = Hyperparameter(group=group, help=help, default=default, **more)
    return field(default=default, metadata={"hyperparameter": declaration})


def declared(config: type) -> dict[str, Hyperparameter]:
    """Return the hyperparameters of a dataclass by their names."""
    return {
        field.name: replace(field.metadata["hyperparameter"], name=field.name, kind=field.type)
        for field in fields(config)
    }


def option_of(name: str) -> str:
    """Return the option of the command line for a name in Python, which a keyword such as `from` has with an underscore."""
    return f"--{name.rstrip('_').replace('_', '-')}"


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """Return the closest match to `word` among `choices`, or None."""
    spelled = {choice.replace("_", "-"): choice for choice in choices}
    matches = get_close_matches(word[:MAX_SHOWN_CHARACTERS].lower().replace("_", "-"), spelled, n=1)
    return spelled[matches[0]] if matches else None


def did_you_mean(word: str, choices: Iterable[str]) -> str:
    """Return `; did you mean ...?` for a `word` that is not one of `choices`, or "" when no choice is close to it."""
    match = nearest(word, choices)
    return f"; did you mean {match}?" if match else ""


def _as_text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value).removesuffix(".0")


def _shortened(value: object) -> str:
    """Return a value as text of limited length."""
    if not isinstance(value, str | int | float):
        return f"a {type(value).__name__}"
    try:
        text = repr(value)
    except ValueError:  # a number of thousands of digits
        return "a number with thousands of digits"
    return text if len(text) <= MAX_SHOWN_CHARACTERS else text[:MAX_SHOWN_CHARACTERS] + "…"
