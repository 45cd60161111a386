import re
from pathlib import Path

import pytest
from typer.main import get_command

from mnist_cli.cli import app

ROOT = Path(__file__).parent.parent
READMES = ["README.md", "README.zh.md"]
PROGRAM = get_command(app)
OPTIONS = [
    (name, option)
    for name, command in {"mnist": PROGRAM, **PROGRAM.commands}.items()
    for parameter in command.params
    for option in (*parameter.opts, *parameter.secondary_opts)
    if option.startswith("--")
]


@pytest.mark.parametrize("readme", READMES)
@pytest.mark.parametrize("name", PROGRAM.commands)
def test_every_command_has_a_section(name, readme):
    assert f"### mnist {name}\n" in (ROOT / readme).read_text(encoding="utf-8")


@pytest.mark.parametrize("readme", READMES)
@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_every_option_is_in_the_readme(name, option, readme):
    text = (ROOT / readme).read_text(encoding="utf-8")
    if name != "mnist":
        text = re.split(r"\n###? ", text.split(f"### mnist {name}\n")[1])[0]
    assert re.search(rf"(`|mnist ){option}(?![a-z-])", text)


def test_the_walk_found_the_options():
    assert ("train", "--epochs") in OPTIONS
    assert ("download", "--from") in OPTIONS


def test_every_module_is_in_the_map_and_has_its_test():
    contributing = (ROOT / "CONTRIBUTING.md").read_text()
    for module in (ROOT / "mnist_cli").glob("[a-z]*.py"):
        assert f"  {module.name} " in contributing
        assert (ROOT / "tests" / f"test_{module.name}").exists()
    for module in (ROOT / "mnist_cli" / "cli").glob("[a-z]*.py"):
        assert module.stem == "terminal" or (ROOT / "tests" / f"test_cli_{module.name}").exists()
