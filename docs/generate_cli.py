"""Write the help of the commands into cli.md: `make reference` runs it, and a test fails when cli.md is out of date.

The generated part of a command is between `<!-- mnist COMMAND -->` and `<!-- end -->`; the rest is written by hand.
"""

import re
from pathlib import Path
from typing import Any

from typer.main import get_command

from mnist_cli.cli import app
from mnist_cli.cli.usage import ARGUMENTS, commands_of, groups, help_of
from mnist_cli.config import HYPERPARAMETERS

PAGE = Path(__file__).with_name("cli.md")
PART = re.compile(r"(<!-- mnist ([\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)
NOTES = re.compile(r"  \[([^\[\]]*)\]$")  # of Typer, at the end of a help text: default, bounds, required


def updated(page: str) -> str:
    """Return the page with the current help of each command."""
    return PART.sub(lambda part: f"{part[1]}\n{reference(part[2])}\n{part[3]}", page)


def reference(name: str) -> str:
    """Return the help of a command as Markdown: what it does, examples, and a table for each group of options."""
    command = dict(commands_of(get_command(app)))[name]
    context = command.make_context(f"mnist {name}", [], resilient_parsing=True)
    arguments = [it.metavar for it in command.params if it.param_type_name == "argument"]
    usage = " ".join([f"mnist {name}", "[OPTIONS]", *arguments])
    parts = [f"```text\n{usage}\n```", *map(_paragraph, command.help.split("\n\n"))]
    for title, parameters in groups(command, context).items():
        heads = ["argument", "meaning"] if title == ARGUMENTS else ["option", "meaning", "default", "values"]
        rows = [_row(parameter, context)[: len(heads)] for parameter in parameters if parameter.name != "help"]
        if rows:
            parts += [
                f"**{title}**",
                "\n".join(f"| {' | '.join(row)} |" for row in (heads, ["---"] * len(heads), *rows)),
            ]
    return "\n\n".join(parts) + "\n"


def _paragraph(text: str) -> str:
    """Return a paragraph of a help text as Markdown; one that begins with a backspace has example commands."""
    if text.startswith("\b\n"):
        return "```console\n" + "\n".join(f"$ {line.strip()}" for line in text.splitlines()[1:]) + "\n```"
    return text.replace("\n", " ")


def _row(parameter: Any, context: Any) -> list[str]:
    """Return the cells of an argument or an option: how it is typed, meaning, default and values."""
    typed, meaning = help_of(parameter, context)
    notes = NOTES.search(meaning)
    default, values = _notes(notes[1] if notes else "")
    name, _, metavar = typed.partition(" ")
    if "/" in metavar:  # a flag with its negative
        name, metavar = typed.replace(" / ", "`, `"), ""
    if metavar and not metavar.startswith("<"):
        name += f" {metavar}"
    elif "|" in metavar:
        values = ", ".join(f"`{choice}`" for choice in metavar.strip("<>").split("|"))
    if parameter.name in HYPERPARAMETERS and HYPERPARAMETERS[parameter.name].option in parameter.opts:
        values = values or HYPERPARAMETERS[parameter.name].allowed
    return [
        cell.replace("|", r"\|").replace("*", r"\*") for cell in (f"`{name}`", NOTES.sub("", meaning), default, values)
    ]


def _notes(text: str) -> tuple[str, str]:
    """Return the default and the bounds in Typer's notes at the end of a help text."""
    defaults, bounds = [], ""
    for note in text.split("; "):
        if re.search("[<>]=", note):
            bounds = re.sub(r"(.+)<=x<=(.+)", r"from \1 to \2", note).replace("x>=", "at least ")
        elif note != "required":
            defaults.append(note.removeprefix("default: ").replace("env var: ", "the value of "))
    return "; ".join(defaults), bounds


if __name__ == "__main__":
    PAGE.write_text(updated(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
