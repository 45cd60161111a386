"""The options of `mnist train` and `mnist tune`, made from the hyperparameters."""

import inspect
from collections.abc import Callable
from inspect import Parameter
from typing import Annotated, Any

import typer

from mnist_cli.config import HYPERPARAMETERS
from mnist_cli.hyperparameters import Hyperparameter


def with_hyperparameters(command: Callable[..., None], hidden: bool = False) -> Callable[..., None]:
    """Give a command that takes `**options` an option for each hyperparameter; those not given are None.

    The help of a command does not list them where they are `hidden`, because it refers to that of another one.
    """
    signature = inspect.signature(command)
    made = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=_annotation(it, hidden))
        for name, it in HYPERPARAMETERS.items()
    ]
    own = [
        parameter.replace(kind=Parameter.KEYWORD_ONLY)
        for parameter in signature.parameters.values()
        if parameter.kind is not Parameter.VAR_KEYWORD
    ]
    vars(command)["__signature__"] = signature.replace(parameters=[*made, *own])
    return command


def _annotation(it: Hyperparameter, hidden: bool) -> Any:
    """Return the annotation from which Typer makes an option: its type, and the texts of its help."""
    kind = list[str] | None if it.is_names else Any if it.is_list else it.kind | None
    named = [it.option] if it.name.endswith("_") else []
    return Annotated[
        kind,
        typer.Option(
            *named,
            help=it.help,
            show_default=it.kind is not bool and it.default_text,
            rich_help_panel=it.group,
            metavar=it.metavar,
            hidden=hidden,
            parser=_whole_numbers if it.is_list else None,
        ),
    ]


def _whole_numbers(text: str) -> tuple[int, ...]:
    """Parse `256,256`."""
    try:
        return tuple(int(number) for number in text.split(",") if number.strip())
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is not a list of whole numbers such as 256,256") from error
