import json
import os
from pathlib import Path

import pytest
import torch

from mnist_cli.evaluation import corruptions
from mnist_cli.models import checkpoints
from mnist_cli.training import loop


def test_the_lines_have_loss_accuracy_errors_and_where_they_are(mnist, trained, val):
    expected = loop.evaluate(checkpoints.load(trained).model, val)
    done = mnist("evaluate", trained)
    assert done.exit_code == 0
    loss, accuracy, errors, calibration, *rest = done.stdout.splitlines()
    assert loss.split() == ["val", "loss", f"{expected.loss:.4f}"]
    assert accuracy.split()[2] == f"{100 * expected.accuracy:.2f}"
    assert "95 % interval" in accuracy
    assert errors.split()[1:] == [f"{expected.errors:,}", "of", "10,000"]
    assert calibration.startswith("calibration")
    assert rest[1].split() == ["digit", "precision", "recall", "F1", "images"]
    assert [line.split()[0] for line in rest[2:12]] == list("0123456789")
    assert rest[13] == "most common confusions"
    assert len(rest[14:]) == 5


def test_without_a_name_the_data_is_unpacked_into_the_cache_and_not_here(mnist, tmp_path, monkeypatch):
    monkeypatch.delenv("MNIST_DATA_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    done = mnist("evaluate", "pretrained")
    assert done.exit_code == 0
    assert f"Unpacked the bundled MNIST files to {tmp_path}/cache/mnist-cli/MNIST/raw.\n" in done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"cache"}
    assert "Unpacked" not in mnist("evaluate", "pretrained").stderr


def test_without_a_cache_that_can_be_written_the_score_is_the_same(mnist, tmp_path, monkeypatch):
    expected = mnist("evaluate", "pretrained").stdout
    monkeypatch.delenv("MNIST_DATA_DIR")
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    done = mnist("evaluate", "pretrained")
    assert done.stdout == expected
    assert "in memory" in done.stderr


def test_a_folder_of_other_pictures_is_not_evaluated_as_mnist(mnist, tmp_path):
    (tmp_path / "MY-PICTURES").mkdir()
    (tmp_path / "MY-PICTURES" / "seven.png").touch()
    done = mnist("evaluate", "pretrained", "--data-dir", "MY-PICTURES")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: MY-PICTURES holds no MNIST files; `mnist download --data-dir MY-PICTURES`")
    assert [path.name for path in (tmp_path / "MY-PICTURES").iterdir()] == ["seven.png"]


def test_json_is_one_object_with_the_promised_keys(mnist, trained):
    done = mnist("evaluate", trained, "--json")
    result = json.loads(done.stdout)
    assert set(result) == {
        "path",
        "loss",
        "accuracy",
        "errors",
        "images",
        "interval",
        "calibration_error",
        "classes",
        "confusions",
        "confusion_matrix",
    }
    assert result["images"] == 10_000
    assert result["accuracy"] == 1 - result["errors"] / 10_000
    assert sum(map(sum, result["confusion_matrix"])) == 10_000


@pytest.mark.slow
def test_several_checkpoints_are_compared_in_a_table(mnist, trained):
    done = mnist("evaluate", trained, "pretrained")
    headings, first, second, _ = done.stdout.splitlines()
    assert headings.endswith("checkpoint")
    assert first.endswith(str(trained))
    assert second.endswith("pretrained")
    assert second.split()[-3:-1] == ["<", "0.0001"]
    same = [json.loads(line) for line in mnist("evaluate", trained, trained, "--json").stdout.splitlines()]
    assert [result["path"] for result in same] == [str(trained)] * 2
    assert [result.get("p_value") for result in same] == [None, 1]


@pytest.mark.slow
def test_a_report_is_written_where_it_was_asked_for(mnist, trained, tmp_path):
    done = mnist("evaluate", trained, "--report", "why")
    assert done.exit_code == 0
    assert "why/report.html" in done.stderr
    assert (tmp_path / "why" / "report.html").exists()
    (tmp_path / "file").touch()
    (tmp_path / "runs/search").mkdir(parents=True)
    (tmp_path / "runs/search/study.json").touch()
    done = mnist("evaluate", trained, "--report", "runs/search")
    assert (done.exit_code, "runs/search has the report of a study" in done.stderr) == (2, True)
    blocked = mnist("evaluate", trained, "--report", "file")
    assert blocked.exit_code == 1
    assert blocked.stderr.startswith("Error: ")
    assert blocked.stdout == ""  # nothing was measured before it failed


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_report_for_a_folder_that_cannot_be_written_to_fails_before_the_measurement(mnist, trained, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    done = mnist("evaluate", trained, "--report", "locked")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: locked: Permission denied")


@pytest.mark.slow
def test_corruptions_have_a_row_each_and_a_mean(mnist, trained, monkeypatch):
    monkeypatch.setattr(
        corruptions, "CORRUPTIONS", {"brightness": corruptions.brightness, "stripe": corruptions.stripe}
    )
    result = json.loads(mnist("evaluate", trained, "--corruptions", "--json").stdout)
    assert set(result["corruptions"]) == {"brightness", "stripe"}
    assert result["mean_corruption_error"] == pytest.approx(sum(result["corruptions"].values()) / 2)
    assert result["mean_corruption_error"] > 10 * (1 - result["accuracy"])
    table = mnist("evaluate", trained, "pretrained", "--corruptions", "--report", "why").stdout.split("(MNIST-C)\n")[1]
    rows = [line.split() for line in table.splitlines()]
    assert [row[0] for row in rows] == ["corruption", "brightness", "stripe", "mean", "clean", "mean"]
    assert rows[1][1] == f"{100 * result['corruptions']['brightness']:.2f}"
    assert "stripe" in Path("why/report.html").read_text()


def test_an_ensemble_is_evaluated_as_one_model(mnist, trained):
    alone = json.loads(mnist("evaluate", trained, "--json").stdout)
    twice = json.loads(mnist("evaluate", trained, trained, "--ensemble", "--json").stdout)
    assert twice["errors"] == alone["errors"]
    assert twice["loss"] == pytest.approx(alone["loss"], rel=1e-3)
    shifted = json.loads(mnist("evaluate", trained, "--tta", "--json").stdout)
    assert shifted["errors"] != alone["errors"]


def test_a_file_that_is_not_a_checkpoint_is_status_1(mnist, tmp_path):
    assert mnist("evaluate", "none.pt").exit_code == 1
    torch.save({"a": 1}, tmp_path / "other.pt")
    done = mnist("evaluate", "other.pt")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: other.pt is a checkpoint of another program")


def test_wrong_usage_is_status_2(mnist):
    assert mnist("evaluate", "x.pt", "--no-such-option").exit_code == 2
