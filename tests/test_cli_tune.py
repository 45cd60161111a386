import csv
import json
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip("optuna")

from searching import SMALL

from mnist_cli import config
from mnist_cli.models import checkpoints
from mnist_cli.tuning import trials


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--search", "learnin_rate=1..2"], "not a hyperparameter; did you mean learning_rate?"),
        (["--search", "learning_rate=1..0.1"], "is an empty range"),
        (["--search", "dropout=0..0.5,log"], "no logarithm"),
        (["--patience", "3"], "omit --patience"),
        (["--cluster", "tcp://localhost:8786", "--jobs", "2"], "on a cluster each worker trains a trial"),
        (["--name", "a/b"], "cannot name a run"),
        (["--trials", "0"], "'0' is less than 1"),
        (["--sampler", "tpee"], "did you mean tpe?"),
    ],
)
def test_wrong_usage_ends_with_one_sentence_and_status_2(mnist, tmp_path, arguments, said):
    done = mnist("tune", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr.splitlines()[-1]
    assert done.stdout == ""
    assert not (tmp_path / "runs").exists()


def test_a_storage_that_is_not_there_ends_with_one_sentence_and_status_1(mnist):
    pytest.importorskip("sqlalchemy")
    done = mnist("tune", *SMALL, "--storage", "sqlite:////proc/nowhere/study.db")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[-1].startswith(
        "Error: the storage sqlite:////proc/nowhere/study.db cannot be used: "
    )


def test_a_teacher_that_is_not_there_ends_a_search_before_it_begins(mnist, tmp_path):
    done = mnist("tune", *SMALL, "--teacher", "gone")
    assert (done.exit_code, "neither a file nor a run 'gone'" in done.stderr) == (1, True)
    assert not (tmp_path / "runs").exists()


def test_a_name_of_a_run_is_refused(mnist, tmp_path):
    (tmp_path / "runs/first").mkdir(parents=True)
    (tmp_path / "runs/first/config.toml").write_text("")
    (tmp_path / "checkpoints/second").mkdir(parents=True)
    (tmp_path / "checkpoints/second/last.pt").write_text("")
    for name in ("first", "second"):
        done = mnist("tune", *SMALL, "--name", name)
        assert done.exit_code == 2
        assert f"there is a run '{name}' already; give the study another --name" in done.stderr


class Program:
    """`mnist tune` in a process of its own."""

    def __init__(self, folder, data_dir, *more):
        arguments = ["tune", *SMALL, "--trials", "5", "--jobs", "2", "--name", "study", "--data-dir", data_dir, *more]
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mnist_cli", *map(str, arguments)],
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_trials(self, count):
        deadline = time.monotonic() + 120
        while len(list(self.folder.glob("runs/study/trials/*"))) < count:
            assert time.monotonic() < deadline
            assert self.process.poll() is None, self.process.communicate()
            time.sleep(0.05)

    def end(self, number=None):
        if number:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=300)
        return out, err


def table(folder):
    with (folder / "runs/study/trials.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_help_refers_to_mnist_train_for_the_hyperparameters(mnist):
    text = mnist("tune", "--help").stdout
    assert "such as --model" in text
    assert not [it.option for it in config.HYPERPARAMETERS.values() if f"  {it.option} " in text]


def test_a_data_set_that_is_not_there_or_too_small_is_refused_before_anything_is_written(mnist, tmp_path):
    np.savez(tmp_path / "five.npz", images=np.zeros((5, 28, 28), np.uint8), labels=np.arange(5) % 2)
    for source, status, said in (("nowhere", 1, "no folder or file nowhere"), ("five.npz", 2, "too few to judge")):
        done = mnist("tune", "--data", source)
        assert (done.exit_code, done.stdout, said in done.stderr.splitlines()[-1]) == (status, "", True), done.stderr
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_model_of_ones_own_is_fine_tuned_on_ones_own_data_in_each_trial(mnist, tmp_path, val, monkeypatch):
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    np.savez(tmp_path / "runes.npz", images=val.images[:300], labels=val.labels[:300], classes=names)
    base = ("--data", "runes.npz", "--model", "mlp", "--hidden", "8", "--device", "cpu", "--train-size", "200")
    assert mnist("train", *base, "--name", "first").exit_code == 0
    monkeypatch.setenv("MNIST_DATA_DIR", str(tmp_path / "unused"))
    given = ("--from", "first", "--data", "runes.npz", "--mix", "0", "--epochs", "1", "--device", "cpu")
    done = mnist("tune", *given, "--trials", "2", "--jobs", "1", "--name", "study")
    assert (done.exit_code, done.stdout) == (0, "runs/study/best.toml\n"), done.stderr
    assert "runes.npz: 240 images to train on; 40 of them judge the trials." in done.stderr
    rows = table(tmp_path)
    assert [row["state"] for row in rows] == ["complete"] * 2
    trial = config.resolve(None, tmp_path / "runs/study/trials/0001/config.toml", {})
    assert (trial.from_, trial.data, trial.hidden, trial.holdout) == (
        "checkpoints/first/last.pt",
        ("runes.npz",),
        (8,),
        40,
    )
    done = mnist("train", "--config", "runs/study/trials/0001/config.toml", "--name", "again", "--device", "cpu")
    assert done.exit_code == 0, done.stderr
    again = checkpoints.load(tmp_path / "checkpoints/again/last.pt").model
    assert (again.classes, trials.fingerprint(again.state_dict())) == (tuple(names), rows[1]["weights"])
    assert not (tmp_path / "unused").exists()  # MNIST is not unpacked for what does not read it


@pytest.mark.slow
def test_a_search_is_stopped_and_killed_and_goes_on_and_mnist_train_repeats_a_trial_bit_by_bit(
    mnist, tmp_path, data_dir
):
    stopped = Program(tmp_path, data_dir)
    stopped.wait_for_trials(1)
    out, err = stopped.end(signal.SIGINT)
    assert (stopped.process.returncode, out) == (130, "")
    assert err.splitlines()[-1] == "Stopped. The same command goes on."
    assert (tmp_path / "runs/study/report.html").exists()

    killed = Program(tmp_path, data_dir)
    killed.wait_for_trials(3)
    killed.end(signal.SIGKILL)

    finished = Program(tmp_path, data_dir)
    out, err = finished.end()
    assert (finished.process.returncode, out) == (0, "runs/study/best.toml\n"), err
    rows = table(tmp_path)
    assert [int(row["trial"]) for row in rows] == list(range(5))
    assert all(row["state"] == "complete" for row in rows)
    assert len({row["weights"] for row in rows}) == 5
    assert "train --config runs/study/best.toml --seeds 5" in err
    assert re.search(
        r"best with fresh seeds:\n +(trial \d+|base) +search .*fresh seeds .* ± .*val, all images .* ± ", err
    )

    file = "runs/study/trials/0003/config.toml"
    assert mnist("train", "--config", file, "--name", "again", "--device", "cpu").exit_code == 0
    weights = checkpoints.load(tmp_path / "checkpoints/again/last.pt").model.state_dict()
    assert trials.fingerprint(weights) == rows[3]["weights"]
    trained = config.resolve(None, tmp_path / file, {})
    assert f"{trained.learning_rate}" == rows[3]["learning_rate"]
    assert f"{trained.batch_size}" == rows[3]["batch_size"]
    facts = json.loads((tmp_path / "runs/study/study.json").read_text())
    assert (facts["complete"], facts["is_finished"]) == (5, True)
    best = config.resolve(None, tmp_path / "runs/study/best.toml", {})
    assert (best.holdout, best.seed, best.epochs) == (200, 0, 1)
    assert not [line for line in err.splitlines() if "optuna" in line.lower() and "dashboard" not in line]
