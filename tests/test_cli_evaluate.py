import json

import pytest
import torch

from mnist_cli import checkpoints, training


def test_the_report_has_loss_accuracy_errors_and_interval(mnist, trained, val):
    expected = training.evaluate(checkpoints.load(trained).model, val)
    done = mnist("evaluate", trained)
    assert done.exit_code == 0
    loss, accuracy, errors = done.stdout.splitlines()
    assert loss.split() == ["val", "loss", f"{expected.loss:.4f}"]
    assert accuracy.split()[2] == f"{100 * expected.accuracy:.2f}"
    assert "95 % interval" in accuracy
    assert errors.split()[1:] == [f"{expected.errors:,}", "of", "10,000"]


def test_json_is_one_object_with_the_promised_keys(mnist, trained):
    done = mnist("evaluate", trained, "--json")
    result = json.loads(done.stdout)
    assert set(result) == {"loss", "accuracy", "errors", "images"}
    assert result["images"] == 10_000
    assert result["accuracy"] == 1 - result["errors"] / 10_000


def test_several_checkpoints_are_told_apart_by_their_path(mnist, trained):
    done = mnist("evaluate", trained, trained)
    assert done.stdout.count(f"{trained}:\n") == 2
    objects = [json.loads(line) for line in mnist("evaluate", trained, trained, "--json").stdout.splitlines()]
    assert [set(result) for result in objects] == [{"path", "loss", "accuracy", "errors", "images"}] * 2


def test_an_ensemble_is_measured_as_one(mnist, trained):
    alone = json.loads(mnist("evaluate", trained, "--json").stdout)
    twice = json.loads(mnist("evaluate", trained, trained, "--ensemble", "--json").stdout)
    assert twice["errors"] == alone["errors"]
    assert twice["loss"] == pytest.approx(alone["loss"], rel=1e-3)
    shifted = json.loads(mnist("evaluate", trained, "--tta", "--json").stdout)
    assert shifted["errors"] != alone["errors"]


def test_a_file_that_is_no_checkpoint_is_status_1(mnist, tmp_path):
    assert mnist("evaluate", "none.pt").exit_code == 1
    torch.save({"a": 1}, tmp_path / "other.pt")
    done = mnist("evaluate", "other.pt")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: other.pt is a checkpoint of another program")


def test_wrong_usage_is_status_2(mnist):
    assert mnist("evaluate").exit_code == 2
    assert mnist("evaluate", "x.pt", "--no-such-option").exit_code == 2
