"""The help of a command in groups, and suggestions for options and values that do not exist."""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, get_args

import typer
from typer._click.exceptions import NoSuchOption, UsageError  # Typer carries its own Click, and does not export these
from typer.core import TyperCommand

from mnist_cli.config import HYPERPARAMETERS
from mnist_cli.errors import input_fault
from mnist_cli.hyperparameters import Group, did_you_mean, nearest, option_of
from mnist_cli.names import printable

ARGUMENTS, UNGROUPED = "Arguments", "Options"
ALSO = {  # names of options in other programs; hyperparameters declare their own
    "gpu": "--device",
    "cuda": "--device",
    "weights": "--checkpoint",
    "ckpt": "--checkpoint",
    "out": "--output",
    "threshold": "--min-confidence",
    "topk": "--top-k",
}


class Command(TyperCommand):
    """A command whose help has its options in groups."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments."""
        with explaining(ctx, args):
            return super().parse_args(ctx, args)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the arguments with their metavars as they are, to which Typer would add brackets."""
        return ["[OPTIONS]", *(str(it.metavar) for it in self.get_params(ctx) if _is_argument(it))]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, a list for each group."""
        for title, parameters in groups(self, ctx).items():
            with formatter.section(title):
                formatter.write_dl([help_of(parameter, ctx) for parameter in parameters])


def commands_of(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the commands of the program with their names, such as `runs list`."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_of(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def groups(command: Any, context: Any) -> dict[str, list[Any]]:
    """Return the arguments and options of a command by their groups; a group of one option is merged into UNGROUPED."""
    shown = [parameter for parameter in command.get_params(context) if parameter.get_help_record(context)]
    sizes = Counter(_heading(parameter) for parameter in shown)
    found: dict[str, list[Any]] = {title: [] for title in (ARGUMENTS, *get_args(Group), UNGROUPED)}
    for parameter in shown:
        heading = _heading(parameter)
        found[UNGROUPED if sizes[heading] == 1 and heading != ARGUMENTS else heading].append(parameter)
    return {title: parameters for title, parameters in found.items() if parameters}


def _heading(parameter: Any) -> str:
    return ARGUMENTS if _is_argument(parameter) else parameter.rich_help_panel or UNGROUPED


def _is_argument(parameter: Any) -> bool:
    return bool(parameter.param_type_name == "argument")


def help_of(parameter: Any, context: Any) -> tuple[str, str]:
    """Return the usage of a parameter, such as `--name TEXT`, and its help."""
    typed, text = parameter.get_help_record(context)
    # Typer puts a default that is a text into parentheses, within the brackets of every default.
    return typed, re.sub(r"default: \(([^()]*)\)", r"default: \1", text)


@contextmanager
def explaining(context: Any, arguments: list[str]) -> Iterator[None]:
    """Add to Typer's errors about `arguments` what to type instead."""
    typed = list(arguments)  # a copy, because Typer removes the arguments that it has parsed
    try:
        yield
    except UsageError as error:
        if isinstance(error, NoSuchOption):
            message = f"{error.message}; {_meant_instead(context, _word_of(error.option_name, typed))}"
            context.fail(printable(message))
        if isinstance(error, typer.BadParameter):
            error.message = _bad_value(error)
        error.message = printable(error.message)
        raise


def _word_of(option: str, typed: list[str]) -> str:
    """Return the name of an option without dashes; of one with a single dash Typer reports only the first letter."""
    word = option if option.startswith("--") else next((word for word in typed if word.startswith(option)), option)
    return word.lstrip("-").lower().replace("_", "-")


def _meant_instead(context: Any, name: str) -> str:
    """Return what to type instead of an option that the command does not have."""
    root = context.find_root()
    own, of_program = _options(context.command), _options(root.command)
    for parameter in context.command.params:
        if _is_argument(parameter) and option_of(parameter.name) == f"--{name}":
            return f"type the value alone: {context.command_path} {parameter.metavar or parameter.name.upper()}"
    for candidate in (f"--{name}", ALSO.get(name), *(it.option for it in HYPERPARAMETERS.values() if name in it.also)):
        if candidate in own:
            return f"did you mean {candidate}?"
        if candidate in of_program:
            return f"type it before the command: {root.info_name} {candidate} {context.info_name}"
        if homes := [name for name, command in commands_of(root.command) if candidate in _options(command)]:
            return f"{candidate} is an option of {', '.join(homes)}"
    match = nearest(name, (option.lstrip("-") for option in own))
    return f"did you mean --{match}?" if match else f"see `{context.command_path} --help`"


def _options(command: Any) -> set[str]:
    return {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}


def _bad_value(error: typer.BadParameter) -> str:
    """Return what is wrong with a value, and the closest valid one."""
    if found := re.search(r"'(.*)' is not one of (.+)", error.message):
        choices = re.findall(r"'([^']+)'", found[2])
        return f"'{found[1]}' is not one of {', '.join(choices)}" + did_you_mean(found[1], choices)
    # Since 0.29 Typer checks with pydantic.
    find_faults = getattr(error.__cause__, "errors", None)
    if not find_faults:
        return error.message
    fault = find_faults()[0]
    return input_fault(fault["type"], fault["input"], fault["msg"], **fault.get("ctx", {}))
