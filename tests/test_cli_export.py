import shutil
import subprocess
import sys

import pytest
from conftest import draw_seven

from mnist_cli.config import TrainConfig
from mnist_cli.errors import ExportError
from mnist_cli.exporting import torch_export
from mnist_cli.exporting.comparison import Comparison, Export
from mnist_cli.models import architectures, checkpoints, pretrained

SAME = Comparison(10_000, 3e-6, 0, 0.97, 0.97)


@pytest.fixture
def made(monkeypatch):
    """What was asked to be exported, instead of doing it, which takes seconds."""
    asked = []

    def make(checkpoint, kind, images, labels, calibration=None):
        asked.append((checkpoint.path, kind, len(images), None if calibration is None else len(calibration)))
        return Export(pretrained.ONNX.read_bytes(), SAME)

    monkeypatch.setattr(torch_export, "make", make)
    return asked


@pytest.mark.slow
def test_a_checkpoint_becomes_an_onnx_file_beside_it_that_predict_and_evaluate_take(mnist, trained, tmp_path):
    shutil.copy(trained, tmp_path / "last.pt")
    done = mnist("export", "last.pt")
    assert (done.exit_code, done.stdout) == (0, "last.onnx\n")
    assert "Same predictions as the checkpoint on 10,000 val images" in done.stderr
    draw_seven().save(tmp_path / "seven.png")
    one, two = (
        mnist("predict", "seven.png", "--json", "--checkpoint", name).stdout for name in ("last.pt", "last.onnx")
    )
    assert one.startswith('{"path": "seven.png", "digit": 7')
    assert two.startswith('{"path": "seven.png", "digit": 7')
    assert mnist("evaluate", "last.onnx").stdout == mnist("evaluate", "last.pt").stdout


def test_the_options_say_what_is_made_and_where(mnist, trained, made):
    assert mnist("export", trained, "--format", "pt2", "--output", "there/model.pt2").stdout == "there/model.pt2\n"
    done = mnist("export", "pretrained", "--int8")
    assert (done.exit_code, done.stdout) == (0, "pretrained.onnx\n")
    assert "val accuracy 97.00 %; the checkpoint has 97.00 %." in done.stderr
    assert [options[1:] for options in made] == [("pt2", 10_000, None), ("onnx", 10_000, 2_000)]


@pytest.mark.slow
def test_a_page_and_a_header_need_no_extra(mnist, trained, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    shutil.copy(trained, tmp_path / "last.pt")
    done = mnist("export", "last.pt", "--format", "html")
    assert (done.exit_code, done.stdout) == (0, "last.html\n")
    assert (
        "A page of 1.55 MB, with the weights in float32.\nSame predictions as the checkpoint on 10,000" in done.stderr
    )
    assert (tmp_path / "last.html").read_bytes().startswith(b"<!doctype html>")
    done = mnist("export", "last.pt", "--format", "c")
    assert (done.exit_code, done.stdout) == (0, "last.h\n")
    assert "275,576 bytes of constants, 512 bytes of buffers.\nval accuracy 9" in done.stderr
    assert b"int mnist_classify(const uint8_t image[784]" in (tmp_path / "last.h").read_bytes()


def test_a_page_and_a_header_are_for_digits(mnist, tmp_path):
    letters = architectures.build("linear", 0, classes=("a", "b"))
    checkpoints.save(tmp_path / "letters.pt", letters, TrainConfig(model="linear"), [], {})
    for format in ("html", "c"):
        done = mnist("export", "letters.pt", "--format", format)
        assert (done.exit_code, done.stdout) == (1, "")
        assert done.stderr == f"Error: letters.pt has other classes than the digits, for which --format {format} is\n"


def test_a_model_that_predicts_differently_is_not_written(mnist, trained, tmp_path, monkeypatch):
    def refuse(*arguments):
        raise ExportError("last.pt was not exported")

    monkeypatch.setattr(torch_export, "make", refuse)
    done = mnist("export", trained, "--output", "model.onnx")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.endswith("Error: last.pt was not exported\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("made")
@pytest.mark.parametrize(
    "options", [["--output", "last.pt"], ["--int8", "--format", "pt2"], ["--int8", "--format", "c"]]
)
def test_invalid_options_are_refused_before_anything_is_read(mnist, options):
    done = mnist("export", "none.pt", *options)
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: --")


def test_the_error_for_a_missing_extra_says_what_to_type(mnist, trained, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    done = mnist("export", trained)
    assert done.exit_code == 1
    assert done.stderr == (
        'Error: `mnist export` needs onnxscript, which is not installed; type: pip install "mnist-cli[export]"\n'
    )


def test_a_file_that_is_not_a_checkpoint_is_an_error(mnist):
    done = mnist("export", "none.pt")
    assert (done.exit_code, done.stderr) == (
        1,
        "Error: checkpoint not found: none.pt; `mnist train` writes checkpoints\n",
    )


@pytest.mark.slow
@pytest.mark.parametrize("format", ["onnx", "pt2"])
def test_no_warning_of_torch_is_shown(trained, tmp_path, data_dir, format):
    code = (
        "import sys\n"
        "sys.modules['torchvision'] = None  # not installed, which torch has four lines about\n"
        "from mnist_cli.cli import app\n"
        "app(sys.argv[1:])"
    )
    shutil.copy(trained, tmp_path / "last.pt")
    options = ["export", "last.pt", "--format", format, "--data-dir", str(data_dir)]
    command = [sys.executable, "-c", code, *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    first, second = done.stderr.splitlines()
    assert first == "Exporting takes some seconds."
    assert second.startswith("Same predictions as the checkpoint on 10,000 val images")
