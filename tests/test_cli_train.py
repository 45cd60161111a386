import signal
import subprocess
import sys

import pytest
import torch
from conftest import draw_seven

from mnist_cli.datasets import mnist_files
from mnist_cli.models import checkpoints, devices
from mnist_cli.training import loop
from mnist_cli.training.steps import TrainingStep

QUICK = ("--epochs", "1", "--train-size", "6000", "--batch-size", "100", "--device", "cpu")


@pytest.mark.slow
def test_a_run_leaves_a_checkpoint_and_curves_and_prints_the_path(mnist, tmp_path):
    done = mnist("train", *QUICK, "--name", "first", "--seed", "5")
    assert done.exit_code == 0
    assert done.stdout == "checkpoints/first/last.pt\n"
    assert "evaluate checkpoints/first/last.pt\n" in done.stderr
    checkpoint = checkpoints.load(tmp_path / "checkpoints/first/last.pt")
    assert checkpoint.config.seed == 5
    assert checkpoint.val_accuracy > 0.8
    assert list((tmp_path / "runs/first").glob("events.*"))


@pytest.mark.slow
def test_data_that_is_not_there_is_unpacked_with_one_line(mnist, tmp_path):
    done = mnist("train", *QUICK, "--data-dir", "fresh")
    assert done.exit_code == 0
    assert done.stderr.startswith("Unpacked the bundled MNIST files to fresh/MNIST/raw.\n")
    assert mnist_files.find_faults(tmp_path / "fresh") == {}
    (mnist_files.raw_dir(tmp_path / "fresh") / mnist_files.VAL_LABELS.name).write_bytes(b"")
    done = mnist("train", *QUICK, "--data-dir", "fresh", "--name", "again")
    assert "Repaired fresh/MNIST/raw/t10k-labels-idx1-ubyte, which has 0 bytes, expected 10,008." in done.stderr


def test_pictures_left_out_of_the_extra_folder_are_reported(mnist, tmp_path):
    (tmp_path / "mine").mkdir()
    for name in ("seven.png", "another.png"):
        draw_seven().save(tmp_path / "mine" / name)
    (tmp_path / "mine" / "labels.csv").write_text("path,digit\nseven.png,7\n")
    done = mnist("train", *QUICK, "--model", "linear", "--train-size", "100", "--extra", "mine")
    assert done.exit_code == 0
    assert done.stderr.startswith("1 file left out: 1 without a row in labels.csv.\n")


@pytest.mark.slow
def test_an_existing_run_is_kept(mnist):
    assert mnist("train", *QUICK, "--name", "one").exit_code == 0
    again = mnist("train", *QUICK, "--name", "one")
    assert again.exit_code == 2
    assert again.stderr.splitlines()[-1].startswith("Error: there is a run 'one' already")
    assert mnist("train", *QUICK, "--name", "one", "--overwrite").exit_code == 0


@pytest.mark.slow
def test_every_run_leaves_pictures_and_tables_and_with_report_the_report(mnist, tmp_path):
    done = mnist("train", *QUICK, "--name", "one", "--holdout", "1000", "--report")
    assert done.stdout == "checkpoints/one/best.pt\n"
    assert "runs/one/report.html shows where it fails.\n" in done.stderr
    assert "checkpoints/one/best.pt" in (tmp_path / "runs/one/report.html").read_text()
    names = {path.name for path in (tmp_path / "runs/one").iterdir()}
    assert {"loss.png", "accuracy.png", "metrics.csv", "config.toml", "predictions.csv", "gallery.png"} <= names
    resumed = mnist("train", "--resume", "checkpoints/one/last.pt", "--epochs", "2", "--report")
    assert "runs/one/report.html" in resumed.stderr


@pytest.mark.slow
def test_the_best_epoch_of_a_run_goes_with_it_when_it_is_replaced(mnist, tmp_path):
    assert mnist("train", *QUICK, "--name", "one", "--holdout", "1000").exit_code == 0
    again = mnist("train", *QUICK, "--name", "one", "--overwrite")
    assert again.stdout == "checkpoints/one/last.pt\n"
    assert not (tmp_path / "checkpoints/one/best.pt").exists()


def weights_in(path):
    return {name: tensor.tolist() for name, tensor in torch.load(path, weights_only=True)["weights"].items()}


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_run_goes_on_to_the_same_weights(mnist, tmp_path, monkeypatch, number):
    options = (*QUICK[2:], "--epochs", "2", "--dropout", "0.1")
    assert mnist("train", *options, "--name", "whole").exit_code == 0
    step, steps = TrainingStep.__call__, []

    def step_and_signal(self, *arguments):
        steps.append(step(self, *arguments))
        if len(steps) == 75:  # in the second epoch of 60 steps
            signal.raise_signal(number)

    monkeypatch.setattr(TrainingStep, "__call__", step_and_signal)
    stopped = mnist("train", *options, "--name", "one")
    assert stopped.exit_code == 128 + number
    assert "Stopped in epoch 2. Resume with:\n" in stopped.stderr
    assert "train --resume checkpoints/one/last.pt\n" in stopped.stderr
    assert len(steps) == 75
    assert mnist("evaluate", "checkpoints/one/last.pt").exit_code == 0
    resumed = mnist("train", "--resume", "checkpoints/one/last.pt")
    assert resumed.exit_code == 0
    assert len(steps) == 120
    assert weights_in(tmp_path / "checkpoints/one/last.pt") == weights_in(tmp_path / "checkpoints/whole/last.pt")
    assert len(checkpoints.load(tmp_path / "checkpoints/one/last.pt").metrics) == 2


@pytest.mark.slow
def test_a_signal_after_the_last_step_stops_nothing(mnist, monkeypatch):
    evaluate = loop.evaluate

    def evaluate_and_signal(*arguments):
        signal.raise_signal(signal.SIGINT)
        return evaluate(*arguments)

    monkeypatch.setattr(loop, "evaluate", evaluate_and_signal)
    done = mnist("train", *QUICK, "--name", "one")
    assert done.exit_code == 0
    assert "--resume" not in done.stderr


def test_the_model_that_ships_cannot_be_resumed(mnist):
    done = mnist("train", "--resume", "pretrained", "--epochs", "40")
    assert done.exit_code == 2
    assert "start a run with `mnist train`" in done.stderr


@pytest.mark.parametrize("wrong", [("--lr", "1"), ("--model", "CNN"), ("--name", "a/b"), ("--warmup", "2")])
def test_only_one_of_the_processes_on_a_machine_reports_a_usage_error(mnist, monkeypatch, wrong):
    told = mnist("train", *wrong)
    monkeypatch.setenv("LOCAL_RANK", "1")  # as torchrun does
    silent = mnist("train", *wrong)
    assert told.exit_code == silent.exit_code == 2
    assert "Error: " in told.stderr
    assert silent.output == ""


@pytest.mark.slow
def test_a_corrupted_tiff_among_extra_pictures_is_reported_in_one_line_and_not_by_libtiff(tmp_path, data_dir):
    draw_seven().save(tmp_path / "seven.tiff", compression="tiff_lzw")
    content = bytearray((tmp_path / "seven.tiff").read_bytes())
    content[20:200] = bytes(180)
    (tmp_path / "seven.tiff").write_bytes(content)
    (tmp_path / "labels.csv").write_text("path,digit\nseven.tiff,7\n")
    options = ("--extra", str(tmp_path), "--train-size", "100", "--data-dir", str(data_dir))
    command = [sys.executable, "-m", "mnist_cli", "train", *options]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: ")
    assert "line 2" in line


@pytest.mark.slow
def test_a_finished_run_can_be_made_longer(mnist, tmp_path):
    mnist("train", *QUICK, "--name", "one")
    assert mnist("train", "--resume", "checkpoints/one/last.pt", "--epochs", "2").exit_code == 0
    assert [result.epoch for result in checkpoints.load(tmp_path / "checkpoints/one/last.pt").metrics] == [1, 2]
    assert len(list((tmp_path / "runs/one").glob("events.*"))) == 2
    done = mnist("train", "--resume", "checkpoints/one/last.pt")
    assert done.exit_code == 2
    assert "has all its 2 epochs; train longer with --epochs 4" in done.stderr
    done = mnist("train", "--resume", "checkpoints/one/last.pt", "--epochs", "1")
    assert "has 2 epochs already, more than --epochs 1; train longer with --epochs 4" in done.stderr


def test_resume_takes_no_other_hyperparameter(mnist, trained):
    done = mnist("train", "--resume", trained, "--learning-rate", "0.1")
    assert done.exit_code == 2
    assert "only --epochs, --report and --watch can be combined with it" in done.stderr


@pytest.mark.slow
def test_training_from_the_file_of_a_run_repeats_it(mnist, tmp_path):
    mnist("train", *QUICK, "--name", "one", "--train-size", "3000", "--seed", "4", "--model", "cnn", "--hidden", "4,8")
    again = mnist("train", "--config", "runs/one/config.toml", "--name", "two")
    assert again.exit_code == 0
    assert weights_in(tmp_path / "checkpoints/one/last.pt") == weights_in(tmp_path / "checkpoints/two/last.pt")


@pytest.mark.slow
def test_early_stopping_keeps_the_best_epoch(mnist, tmp_path):
    options = (
        "--train-size",
        "200",
        "--epochs",
        "40",
        "--patience",
        "2",
        "--augment",
        "none",
        "--schedule",
        "constant",
    )
    done = mnist("train", *options, "--batch-size", "20", "--name", "one", "--device", "cpu")
    assert done.exit_code == 0
    assert "Stopped after 2 epochs without a better held-out loss." in done.stderr
    assert done.stdout == "checkpoints/one/best.pt\n"
    assert "held-out loss" in done.stderr.splitlines()[1]
    best = checkpoints.load(tmp_path / "checkpoints/one/best.pt")
    last = checkpoints.load(tmp_path / "checkpoints/one/last.pt")
    assert len(last.metrics) == len(best.metrics) + 2 < 40
    assert best.metrics[-1].held_out_loss == min(result.held_out_loss for result in last.metrics)


@pytest.mark.slow
def test_a_diverged_run_names_its_last_checkpoint(mnist):
    done = mnist("train", *QUICK, "--optimizer", "sgd", "--learning-rate", "1e11", "--name", "one")
    assert done.exit_code == 1
    assert "try a smaller --learning-rate; no epoch was saved" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--epochs", "0"], 2, "--epochs"),
        (["--epochs", "many"], 2, "--epochs"),
        (["--learning-rate", "0"], 2, "Error: --learning-rate must be at least 1e-12"),
        (["--learning-rate", "nan"], 2, "Error: --learning-rate must be at least 1e-12"),
        (["--model", "resnet"], 2, "'--model'"),
        (["--hidden", "a,b"], 2, "whole numbers such as 256,256"),
        (["--model", "cnn", "--hidden", ""], 2, "Error: a cnn needs at least one hidden layer"),
        (["--preset", "turbo"], 2, "'--preset'"),
        (["--config", "none.toml"], 2, "'--config'"),
        (["--resume", "none.pt"], 1, "Error: checkpoint not found: none.pt"),
        (["--holdout", "50000", "--train-size", "10001"], 2, "Error: there are only 10,000 images"),
        (["--name", "../up"], 2, "Error: '../up' cannot name a run"),
        (["--overwrite"], 2, "--overwrite needs the --name"),
        (["--device", "cuda:99"], 2, "Error: there is no device 'cuda:99'"),
    ],
)
def test_a_bad_option_is_one_sentence(mnist, options, status, message):
    done = mnist("train", *options)
    assert done.exit_code == status
    assert message in done.stderr
    assert "Traceback" not in done.output


@pytest.mark.slow
def test_the_name_of_a_run_without_a_checkpoint_is_free_again(mnist, tmp_path):
    assert mnist("train", *QUICK, "--optimizer", "sgd", "--learning-rate", "1e11", "--name", "one").exit_code == 1
    assert not (tmp_path / "checkpoints/one").exists()
    assert mnist("train", *QUICK, "--name", "one").exit_code == 0


@pytest.mark.slow
def test_a_full_disk_for_the_checkpoint_is_one_sentence(tmp_path, data_dir):
    """The real thing: the system refuses to write more than a megabyte, and a checkpoint has three."""
    resource = pytest.importorskip("resource")
    done = subprocess.run(
        [sys.executable, "-m", "mnist_cli", "train", *QUICK, "--name", "full", "--data-dir", data_dir],
        check=False,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)),
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "Error: checkpoints/full/last.pt: File too large"
    assert not list(tmp_path.glob("checkpoints/*"))


@pytest.mark.slow
def test_several_seeds_are_trained_one_after_another_and_their_spread_is_printed(mnist, tmp_path):
    options = (*QUICK, "--model", "linear", "--train-size", "200", "--seed", "3", "--name", "one")
    done = mnist("train", *options, "--seeds", "2")
    assert done.exit_code == 0
    assert done.stdout == "checkpoints/one-seed3/last.pt\ncheckpoints/one-seed4/last.pt\n"
    accuracies = [checkpoints.load(tmp_path / path).val_accuracy for path in done.stdout.split()]
    mean = f"{50 * sum(accuracies):.2f} %"
    assert f"Val accuracy with 2 seeds: {mean} ± " in done.stderr
    assert checkpoints.load(tmp_path / "checkpoints/one-seed4/last.pt").config.seed == 4
    assert mnist("train", "--resume", "one-seed3", "--seeds", "2").exit_code == 2


@pytest.mark.slow
def test_a_watched_run_prints_the_address_of_its_page_and_resumes_like_any_other(mnist, monkeypatch):
    pytest.importorskip("fastapi")
    monkeypatch.setattr("webbrowser.open", lambda url: pytest.fail("there is no terminal, so no browser either"))
    first = ("--model", "linear", "--train-size", "500", "--name", "one", "--device", "cpu")
    done = mnist("train", *first, "--epochs", "1", "--watch")
    assert done.exit_code == 0
    assert done.stdout == "checkpoints/one/last.pt\n"
    assert "Watch it on http://127.0.0.1:" in done.stderr
    assert mnist("train", "--resume", "one", "--epochs", "2", "--watch").exit_code == 0


@pytest.mark.slow
def test_a_run_that_its_page_stops_ends_as_with_ctrl_c(mnist, monkeypatch):
    pytest.importorskip("fastapi")
    from mnist_cli.reporting.live import LiveReport

    note = LiveReport._note

    def stop(report, images):
        note(report, images)
        report.commands.put(("stop", 1.0))

    monkeypatch.setattr(LiveReport, "_note", stop)
    done = mnist("train", *QUICK, "--model", "linear", "--name", "one", "--watch")
    assert done.exit_code == 128 + signal.SIGINT
    assert "Stopped in epoch 1. Resume with:" in done.stderr
    assert done.stdout == ""


def test_only_a_single_run_is_watched(mnist):
    done = mnist("train", "--watch", "--seeds", "2")
    assert done.exit_code == 2
    assert "--watch shows a single run" in done.stderr


def test_watching_without_the_extra_says_what_to_type(mnist, monkeypatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    done = mnist("train", "--watch")
    assert done.exit_code == 1
    assert done.stderr == (
        'Error: `mnist train --watch` needs uvicorn, which is not installed; type: pip install "mnist-cli[serve]"\n'
    )


@pytest.mark.parametrize("is_fast", [True, False])
def test_bfloat16_that_a_processor_has_to_emulate_is_called_slow(mnist, monkeypatch, is_fast):
    monkeypatch.setattr(devices, "has_fast_bfloat16", lambda device: is_fast)
    done = mnist("train", *QUICK, "--model", "linear", "--train-size", "100", "--precision", "bf16")
    assert done.exit_code == 0
    assert ("no instructions for bfloat16" in done.stderr) is not is_fast
