import ast
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest
from conftest import draw_seven

from mnist_cli.cli import SUMMARIES
from mnist_cli.models import pretrained

ROOT = Path(__file__).parents[1]
OURS = {"mnist_cli", "pretraining"}
HEAVY = {"torch", "numpy", "PIL", "torchvision", "tensorboardX", "rich"}


def modules_after(arguments, cwd):
    """Run the program in a process of its own and return the top-level modules it had loaded at its end."""
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print('MODULES', *{name.split('.')[0] for name in sys.modules}, file=sys.stderr))\n"
        "from mnist_cli.cli import app\n"
        f"app({[str(argument) for argument in arguments]!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=cwd, check=False)
    *_, last = (line for line in done.stderr.splitlines() if line.startswith("MODULES"))
    return set(last.split()[1:])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["train", "--help"],
        ["predict", "--help"],
        ["train", "--epochs", "0"],
        ["fly"],
        ["--show-completion"],
    ],
)
def test_help_version_completion_and_wrong_usage_load_nothing_heavy(tmp_path, arguments):
    assert modules_after(arguments, tmp_path) & HEAVY == set()


def test_a_command_does_not_import_the_files_of_the_others(tmp_path):
    code = (
        "from mnist_cli.cli import app\ntry: app(['samples', '--help'])\nfinally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}"], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    loaded = set(done.stderr.split())
    assert "mnist_cli.cli.samples" in loaded
    assert loaded & {f"mnist_cli.cli.{name}" for name in SUMMARIES} == {"mnist_cli.cli.samples"}


def test_completion_loads_nothing_heavy(tmp_path):
    environment = {**os.environ, "_MNIST_COMPLETE": "complete_bash", "COMP_WORDS": "mnist tr", "COMP_CWORD": "1"}
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*{'torch', 'numpy', 'PIL', 'rich'} & set(sys.modules), file=sys.stderr))\n"
        "from mnist_cli.cli import app\n"
        "app(prog_name='mnist')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "train"
    assert done.stderr.strip() == ""


def test_download_of_a_complete_folder_loads_nothing_heavy(tmp_path, data_dir):
    assert modules_after(["download", "--data-dir", data_dir], tmp_path) & HEAVY == set()


@pytest.mark.slow
def test_no_command_that_computes_loads_torchvision(tmp_path, data_dir, trained):
    draw_seven().save(tmp_path / "seven.png")
    for arguments in (
        ["train", "--epochs", "1", "--batch-size", "1000", "--data-dir", data_dir],
        ["evaluate", trained, "--data-dir", data_dir],
        ["predict", "seven.png", "--checkpoint", trained],
    ):
        modules = modules_after(arguments, tmp_path)
        assert "torch" in modules
        assert "torchvision" not in modules


def test_with_onnxruntime_pictures_are_read_and_models_measured_without_torch(tmp_path, data_dir):
    draw_seven().save(tmp_path / "seven.png")
    shutil.copy(pretrained.ONNX, tmp_path / "model.onnx")
    for arguments in (
        ["predict", "seven.png"],
        ["predict", "--many", "seven.png", "--checkpoint", "model.onnx"],
        ["evaluate", "model.onnx", "--report", "why", "--data-dir", data_dir],
    ):
        modules = modules_after(arguments, tmp_path)
        assert "onnxruntime" in modules
        assert "torch" not in modules


def test_onnxruntime_sends_nothing_and_stores_no_device_id(tmp_path, data_dir):
    pytest.importorskip("onnxruntime")
    draw_seven().save(tmp_path / "seven.png")
    home = tmp_path / "home"
    environment = {name: value for name, value in os.environ.items() if name not in {"CI", "ORT_DISABLE_TELEMETRY"}}
    environment |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
    home.mkdir()
    for arguments in (
        ["predict", "seven.png"],
        ["export", "pretrained", "--int8", "--output", "model.onnx", "--data-dir", data_dir],
    ):
        command = [sys.executable, "-m", "mnist_cli", *map(str, arguments)]
        subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, check=True)
    # Before it reports anything, onnxruntime writes an identifier of the device below the user's cache folder.
    assert [path for path in home.rglob("*") if "microsoft" in str(path).lower()] == []


def test_click_is_not_imported(tmp_path):
    assert "click" not in modules_after(["train", "--help"], tmp_path)


def test_importing_the_library_changes_no_logger_of_another_one():
    code = (
        "import logging, mnist_cli.api, mnist_cli.serving.app\n"
        "print([logging.getLogger(name).level for name in ('PIL', 'python_multipart')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[0, 0]"


def names_in(script):
    """Yield the modules of the program that a script imports, and every name that it takes from one of them."""
    tree, modules = ast.parse(script.read_text()), {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in OURS:
            for alias in node.names:
                yield node.module, alias.name
                with suppress(ImportError):
                    modules[alias.asname or alias.name] = import_module(f"{node.module}.{alias.name}").__name__
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in modules:
            yield modules[node.value.id], node.attr


@pytest.mark.parametrize("folder", ["benchmarks", "docs", "pretraining", "torture"])
def test_the_scripts_beside_the_package_name_only_what_is_in_it(folder):
    pytest.importorskip("skimage")  # for pretraining
    taken = {found for script in (ROOT / folder).glob("*.py") for found in names_in(script)}
    assert len(taken) > 5
    missing = [f"{module}.{name}" for module, name in taken if not exists(module, name)]
    assert not missing


def exists(module, name):
    with suppress(ImportError):
        import_module(f"{module}.{name}")
    return hasattr(import_module(module), name)
