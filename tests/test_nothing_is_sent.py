"""No command but `download` looks up a name or connects to another machine: SECURITY.md promises it."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request

import pytest
from conftest import draw_seven

from torture import Skipped, recorder

pytestmark = pytest.mark.slow

ALIVE = 12  # seconds: a library that reports to its maker was seen to wait for 8 of them
FROM_PYTHON = f"""
import time
import mnist_cli as mnist
result = mnist.train(epochs=1, train_size=500, model="linear", name="python")
print(mnist.evaluate("pretrained"), mnist.load("pretrained").predict("seven.png").digit)
time.sleep({ALIVE})
"""


class Program:
    """The program in a folder with a small run, watched."""

    def __init__(self, folder, data_dir):
        self.folder = folder
        self.recorder = recorder.build(folder)
        self.home = folder / "home"
        self.home.mkdir()
        self.environment = {**self.recorder.environment(), "HOME": str(self.home), "MNIST_DATA_DIR": str(data_dir)}
        self.environment.pop("XDG_CACHE_HOME", None)

    def start(self, *arguments):
        return subprocess.Popen(
            [sys.executable, *map(str, arguments)],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments):
        process = self.start(*arguments)
        out, err = process.communicate(timeout=500)
        assert process.returncode == 0, err
        return out

    def assert_silent(self):
        assert self.recorder.contacts() == []
        assert not (self.home / ".cache/Microsoft").exists()  # where onnxruntime keeps the number of a device


@pytest.fixture(scope="module")
def program(tmp_path_factory, data_dir):
    folder = tmp_path_factory.mktemp("watched")
    try:
        program = Program(folder, data_dir)
    except Skipped as reason:
        pytest.skip(str(reason))
    draw_seven().save(folder / "seven.png")
    tiny = "--model", "mlp", "--hidden", 16, "--train-size", 2_000, "--epochs", 1, "--name", "tiny"
    program.run("-m", "mnist_cli", "train", *tiny)
    program.assert_silent()
    return program


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", "tiny", "pretrained", "--report", "report"],
        ["predict", "seven.png", "--checkpoint", "tiny", "--explain", "why"],
        ["predict", "seven.png", "--many", "--checkpoint", "pretrained"],
        ["export", "tiny"],
        ["export", "tiny", "--int8", "--output", "small.onnx"],
        ["info", "tiny"],
        ["runs", "--plot", "runs.png"],
        ["download", "--offline"],
        ["train", "--resume", "tiny", "--epochs", "2"],
        ["tune", "--model", "linear", "--train-size", "100", "--epochs", "1", "--trials", "1", "--jobs", "1"],
    ],
    ids=" ".join,
)
def test_a_command_contacts_no_other_machine(program, command):
    program.run("-m", "mnist_cli", *command)
    program.assert_silent()


def test_the_package_contacts_no_other_machine_from_python(program):
    assert program.run("-c", FROM_PYTHON).strip().endswith("7")
    program.assert_silent()


def test_the_service_contacts_no_other_machine(program):
    begin = time.monotonic()
    service = program.start("-m", "mnist_cli", "serve", "--port", "0", "--checkpoint", "pretrained")
    try:
        said = iter(service.stderr.readline, "")
        address = next(filter(None, (re.search(r"http://127\S+", line) for line in said))).group()
        request = urllib.request.Request(f"{address}/api/predict", (program.folder / "seven.png").read_bytes())
        assert json.load(urllib.request.urlopen(request))["digit"] == 7
        time.sleep(max(0, ALIVE - (time.monotonic() - begin)))
    finally:
        service.send_signal(signal.SIGINT)
        service.communicate(timeout=60)
    program.assert_silent()


def test_the_recorder_sees_what_download_asks_for(program, tmp_path):
    watched = recorder.Recorder(program.recorder.preload, tmp_path / "log")
    done = subprocess.run(
        [sys.executable, "-m", "mnist_cli", "download", "--data-dir", tmp_path / "data"],
        env={**os.environ, **watched.environment()},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0
    assert any(line.startswith("look-up ") for line in watched.contacts())
