import importlib.util
import re
from pathlib import Path

import pytest
from typer.main import get_command

from mnist_cli.cli import app
from mnist_cli.cli.usage import commands_of
from mnist_cli.config import HYPERPARAMETERS, PRESETS

ROOT = Path(__file__).parent.parent
READMES = ["README.md", "README.zh.md"]
REFERENCES = ["docs/cli.md", "docs/cli.zh.md"]
PAGES = sorted(str(path.relative_to(ROOT)) for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))
PROGRAM = get_command(app)
OPTIONS = [
    (name, option)
    for name, command in [("mnist", PROGRAM), *commands_of(PROGRAM)]
    for parameter in command.params
    for option in (*parameter.opts, *parameter.secondary_opts)
    if option.startswith("--") and not getattr(parameter, "hidden", False)
]


@pytest.mark.parametrize("readme", READMES)
def test_the_readme_is_short_and_shows_every_command(readme):
    text = (ROOT / readme).read_text(encoding="utf-8")
    assert len(text.encode()) < 6_200
    for name in PROGRAM.commands:
        assert f"$ mnist {name}" in text


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_links_to_is_there(page):
    path = ROOT / page
    for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
        if not target.startswith("https://"):
            file, _, heading = target.partition("#")
            linked = (path.parent / file) if file else path
            assert linked.exists(), target
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE) if heading else []
            assert not heading or heading in [title.lower().replace(" ", "-") for title in headings], target


@pytest.mark.parametrize("readme", REFERENCES)
@pytest.mark.parametrize("name", PROGRAM.commands)
def test_every_command_has_a_section(name, readme):
    assert f"## mnist {name}\n" in (ROOT / readme).read_text(encoding="utf-8")


@pytest.mark.parametrize("readme", REFERENCES)
@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_every_option_is_in_the_reference(name, option, readme):
    text = (ROOT / readme).read_text(encoding="utf-8")
    if name != "mnist":
        text = re.split(r"\n## ", text.split(f"## mnist {name.split()[0]}\n")[1])[0]
    assert re.search(rf"(`|mnist ){option}(?![a-z-])", text)


def test_the_reference_matches_the_program():
    spec = importlib.util.spec_from_file_location("generate_cli", ROOT / "docs/generate_cli.py")
    generate_cli = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate_cli)
    page = (ROOT / "docs/cli.md").read_text(encoding="utf-8")
    assert generate_cli.updated(page) == page, "docs/cli.md is stale; `make reference` writes it again"
    names = sorted(name for name, _ in commands_of(PROGRAM))
    assert sorted(re.findall(r"<!-- mnist ([\w ]+) -->", page)) == names
    assert page.count("<!-- end -->") == len(names)


@pytest.mark.parametrize("page", REFERENCES)
def test_the_defaults_of_every_hyperparameter_are_in_the_reference(page):
    text = (ROOT / page).read_text(encoding="utf-8").replace("\uff0c", ", ").replace("\uff1b", "; ").replace("`", "")
    text = text.split("\n## mnist train\n")[1].split("\n## mnist ")[0]
    for name, it in HYPERPARAMETERS.items():
        (row,) = re.findall(rf"^\| {it.option}(?![a-z-]).*", text, re.MULTILINE)
        assert it.shown or it.kind is bool or it.default_text in row, name


@pytest.mark.parametrize("page", REFERENCES)
@pytest.mark.parametrize("preset", PRESETS)
def test_what_a_preset_sets_is_in_the_reference(page, preset):
    (row,) = re.findall(rf"^\| `{preset}` .*", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    for name, value in PRESETS[preset].items():
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value).removesuffix(".0")
        assert (name, value) == ("model", "mlp") or f"{HYPERPARAMETERS[name].option} {text}" in row, name


def test_the_reference_test_finds_the_options():
    assert ("train", "--epochs") in OPTIONS
    assert ("download", "--from") in OPTIONS
    assert ("runs list", "--plot") in OPTIONS


def modules(folder):
    return [path for path in (ROOT / "mnist_cli" / folder).glob("[a-z]*.py") if path.stem != "__init__"]


def test_every_module_is_in_the_map():
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for module in modules("."):
        assert re.search(rf"(^|\s){re.escape(module.name)}\s", contributing), module
    for room in (
        "bulk",
        "datasets",
        "evaluation",
        "exporting",
        "models",
        "pictures",
        "recognition",
        "serving",
        "training",
        "tuning",
    ):
        for module in modules(room):
            assert re.search(rf"\b{module.stem}\b", contributing.split(f"  {room}/ ")[1]), module


def test_every_module_has_its_test():
    tested = {path.stem for path in (ROOT / "tests").glob("test_*.py")}
    for module in (
        *modules("."),
        *modules("datasets"),
        *modules("models"),
        *modules("recognition"),
        *modules("training"),
    ):
        assert TESTED_WITH_OTHERS.get(module.stem, f"test_{module.stem}") in tested, module
    for module in modules("tuning"):
        assert f"test_tuning_{module.stem}" in tested, module
    for module in modules("exporting"):
        assert f"test_exporting_{module.stem}" in tested, module
    for module in modules("cli"):
        assert module.stem == "console" or f"test_cli_{module.stem}" in tested, module
    for module in modules("bulk"):
        assert BULK_TESTED_WITH_OTHERS.get(module.stem, f"test_bulk_{module.stem}") in tested, module


BULK_TESTED_WITH_OTHERS = {
    "places": "test_bulk_plan",
    "retries": "test_bulk_output",
    "shards": "test_bulk_plan",
    "tables": "test_bulk_parts",
    "work": "test_bulk_output",
}
# Tested through what they were parted from, which has one test module.
TESTED_WITH_OTHERS = {
    "arrays": "test_architectures",
    "calibration": "test_loop",
    "classification": "test_predictions",
    "interface": "test_backends",
    "losses": "test_loop",
    "version": "test_cli",
}
