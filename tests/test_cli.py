import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import draw_seven

import mnist_cli
from mnist_cli.cli import SUMMARIES, console
from mnist_cli.datasets import mnist_files
from mnist_cli.errors import CheckpointError

ROOT = str(Path(mnist_cli.__file__).parent.parent)


def test_version(mnist):
    assert mnist("--version").stdout == f"mnist {mnist_cli.__version__}\n"


def test_no_command_shows_the_help(mnist):
    done = mnist()
    assert done.exit_code == 2
    assert "Usage: mnist" in done.output


def test_python_dash_m_is_the_same_program():
    done = subprocess.run([sys.executable, "-m", "mnist_cli", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"mnist {mnist_cli.__version__}\n"


def test_an_unknown_command_is_status_2(mnist):
    assert mnist("fly").exit_code == 2


def test_a_bug_keeps_its_traceback(mnist, monkeypatch):
    monkeypatch.setattr(mnist_files, "find_faults", lambda data_dir: 1 / 0)
    assert isinstance(mnist("download").exception, ZeroDivisionError)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help"]])
def test_a_full_disk_for_the_help_is_reported_in_one_line(arguments):
    with open("/dev/full", "wb") as full:
        command = [sys.executable, "-m", "mnist_cli", *arguments]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "Error: No space left on device; free some space, or work in another folder\n"


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 40 bytes.")],
)
def test_too_little_memory_is_reported_in_one_line(mnist, monkeypatch, error):
    def fail(data_dir):
        raise error

    monkeypatch.setattr(mnist_files, "find_faults", fail)
    done = mnist("download")
    assert done.exit_code == 1
    assert "not enough memory" in done.stderr


@pytest.mark.slow
def test_a_broken_pipe_is_not_an_error(tmp_path, trained):
    draw_seven().save(tmp_path / "seven.png")
    command = [sys.executable, "-m", "mnist_cli", "predict", "--checkpoint", trained, *["seven.png"] * 600]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.readline()
        process.stdout.close()
        assert "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_not_an_error(tmp_path, closed):
    draw_seven().save(tmp_path / "seven.png")
    command = ["sh", "-c", f'"$@" {closed}', "sh", sys.executable, "-m", "mnist_cli", "predict", "seven.png"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)


def test_a_command_can_be_typed_as_it_is_shown(monkeypatch):
    monkeypatch.setattr(console.shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "argv", [".venv/bin/mnist", "train"])
    assert console.command("evaluate", "checkpoints/first try/last.pt") == (
        ".venv/bin/mnist evaluate 'checkpoints/first try/last.pt'"
    )
    monkeypatch.setattr(sys, "argv", ["/somewhere/mnist_cli/__main__.py", "train"])
    assert console.command("train") == f"{sys.executable} -m mnist_cli train"


@pytest.mark.slow
def test_the_four_commands_end_to_end_on_the_real_images(mnist, tmp_path):
    """One real epoch of the default run, from a fresh directory with an empty data folder."""
    assert mnist("download", "--offline", "--data-dir", "data").exit_code == 0
    trained = mnist("train", "--epochs", "1", "--data-dir", "data")
    assert trained.exit_code == 0
    checkpoint = trained.stdout.strip()
    evaluated = mnist("evaluate", checkpoint, "--data-dir", "data")
    accuracy = re.search(r"val accuracy +([\d.]+) %", evaluated.stdout)
    assert float(accuracy[1]) > 95
    draw_seven().save(tmp_path / "digit.png")
    assert mnist("predict", "digit.png").stdout.startswith("digit.png: 7  ")


@pytest.mark.parametrize("command", SUMMARIES)
def test_every_command_has_help(mnist, command):
    done = mnist(command, "--help")
    assert done.exit_code == 0
    assert f"Usage: mnist {command}" in done.stdout


@pytest.mark.slow
def test_nothing_but_download_and_serve_opens_a_connection(tmp_path, data_dir, trained):
    draw_seven().save(tmp_path / "seven.png")
    code = (
        "import socket, sys\n"
        "def refuse(*arguments): raise AssertionError('a connection was opened')\n"
        "socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = socket.create_connection = refuse\n"
        "from mnist_cli.cli import app\n"
        "app(sys.argv[1:])"
    )
    for arguments in (
        ["train", "--epochs", "1", "--train-size", "200", "--model", "linear", "--data-dir", data_dir],
        ["evaluate", trained, "--data-dir", data_dir, "--report", "report"],
        ["predict", "seven.png", "--explain", "why"],
    ):
        command = [sys.executable, "-c", code, *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("by_option", [True, False], ids=["--debug", "MNIST_DEBUG"])
def test_the_traceback_behind_an_error_is_shown_when_asked_for(mnist, monkeypatch, by_option):
    monkeypatch.setenv("MNIST_DEBUG", "0" if by_option else "1")
    result = mnist(*(["--debug"] if by_option else []), "info", "missing.pt")
    assert result.exit_code == 1
    assert isinstance(result.exception, CheckpointError)


def test_without_it_an_error_is_one_line(mnist, monkeypatch):
    monkeypatch.delenv("MNIST_DEBUG", raising=False)
    result = mnist("info", "missing.pt")
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert result.stderr.count("\n") == 1


def test_a_checkpoint_can_be_given_by_the_name_of_its_run(mnist, trained, tmp_path, monkeypatch):
    (tmp_path / "checkpoints/first").mkdir(parents=True)
    shutil.copy(trained, tmp_path / "checkpoints/first/last.pt")
    draw_seven().save(tmp_path / "seven.png")
    path = "checkpoints/first/last.pt"
    assert json.loads(mnist("info", "first", "--json").stdout)["path"] == path
    assert json.loads(mnist("evaluate", "latest", "--json").stdout)["path"] == path
    assert f"Using {path} " in mnist("predict", "seven.png", "--checkpoint", "checkpoints/first").stderr
    assert mnist("export", "first", "--format", "pt2").stdout == "checkpoints/first/last.pt2\n"
    assert mnist("train", "--resume", "first").stderr.startswith(f"Error: {path} has all its 1 epochs")
    assert mnist_cli.load("first").path == Path(path)
    for command in ("info", "evaluate", "export"):
        assert mnist(command, "nobody").exit_code == 1
        assert "neither a file nor a run 'nobody'" in mnist(command, "nobody").stderr


def test_without_a_checkpoint_the_newest_run_is_used_and_named(mnist, trained, tmp_path, monkeypatch):
    assert json.loads(mnist("info", "--json").stdout)["path"] == "pretrained"
    (tmp_path / "checkpoints/first").mkdir(parents=True)
    shutil.copy(trained, tmp_path / "checkpoints/first/last.pt")
    for command in ("info", "evaluate"):
        done = mnist(command, "--json")
        assert json.loads(done.stdout)["path"] == "checkpoints/first/last.pt"
        assert "checkpoints/first/last.pt" in done.stderr
    monkeypatch.setenv("MNIST_CHECKPOINT", "pretrained")
    assert json.loads(mnist("info", "--json").stdout)["path"] == "pretrained"


def program(*arguments, folder, **environment):
    """Run the program in a process of its own, with the encoding of its streams."""
    command = [sys.executable, "-m", "mnist_cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, cwd=folder, env={**os.environ, **environment}, check=False)


def test_a_stream_takes_names_that_its_encoding_does_not_have(tmp_path):
    draw_seven().save(tmp_path / "数字.png")
    done = program("predict", "数字.png", "--csv", folder=tmp_path, PYTHONIOENCODING="cp1252", PYTHONPATH=ROOT)
    assert done.returncode == 0, done.stderr
    assert b"\n\\u6570\\u5b57.png,7," in done.stdout.replace(b"\r\n", b"\n")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudoterminals")
@pytest.mark.parametrize("options", [[], ["--csv"], ["--json"]])
def test_no_name_sends_control_characters_to_a_terminal(tmp_path, options):
    import pty

    name = b"\x1b]0;title\x07\xc2\x9b2J\xe2\x80\xae\x9b.png"  # ESC, C1 in UTF-8, bidi override, a byte that is C1 alone
    draw_seven().save(os.path.join(os.fsencode(tmp_path), name))
    child, terminal = pty.fork()
    if child == 0:  # pragma: no cover
        os.chdir(tmp_path)
        os.environ["PYTHONPATH"] = ROOT
        os.execv(sys.executable, [sys.executable, "-m", "mnist_cli", "predict", *options, os.fsdecode(name)])
    text = b""
    with suppress(OSError):
        while more := os.read(terminal, 65_536):
            text += more
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert b"title" in text
    assert not any(sign in text for sign in (b"\x1b]", b"\x07", b"\xc2\x9b", b"\xe2\x80\xae", b"\x9b.png"))


def test_a_status_line_is_shown_on_a_terminal_and_erased_and_a_pipe_gets_nothing():
    ours, theirs = os.openpty()
    code = "from mnist_cli.cli.console import status\nwith status('Loading torch'): pass"
    subprocess.run([sys.executable, "-c", code], stderr=theirs, check=True)
    assert os.read(ours, 1_000).decode() == "Loading torch …\r\x1b[2K"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stderr == b""


@pytest.mark.filterwarnings("always")
def test_a_warning_is_one_line_without_code(mnist, monkeypatch):
    from mnist_cli.models import devices

    def warn():
        warnings.warn("The GPU cannot be used\nfor many reasons", stacklevel=1)
        return "cpu"

    monkeypatch.setattr(devices, "best", warn)
    done = mnist("train", "--epochs", "1", "--train-size", "100", "--model", "linear")
    assert done.exit_code == 0
    assert "Warning: The GPU cannot be used\n" in done.stderr
    assert "stacklevel" not in done.stderr
