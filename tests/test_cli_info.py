import hashlib
import json
import math

import pytest
from test_checkpoints import change

from mnist_cli.models import checkpoints, pretrained


def test_the_metadata_of_a_checkpoint_are_printed(mnist, trained):
    done = mnist("info", trained)
    assert done.exit_code == 0
    facts = dict(line.split("  ", 1) for line in done.stdout.split("\n\n")[0].splitlines())
    facts = {name.strip(): value.strip() for name, value in facts.items()}
    assert facts["SHA-256"] == hashlib.sha256(trained.read_bytes()).hexdigest()
    assert facts["size"] == f"{trained.stat().st_size:,} bytes"
    assert facts["model"] == "mlp with 269,322 parameters"
    assert facts["epochs"] == "1 of 1"
    assert facts["val accuracy"] == f"{100 * checkpoints.load(trained).val_accuracy:.2f} %"
    assert facts["written by"].startswith("mnist_cli ")
    assert "layers.1.weight  256 x 784\n" in done.stdout
    assert "  batch_size = 64\n" in done.stdout


def test_json_has_all_metadata(mnist, trained):
    values = json.loads(mnist("info", trained, "--json").stdout)
    checkpoint = checkpoints.load(trained)
    assert values["metrics"] == [vars(result) for result in checkpoint.metrics]
    assert values["config"]["batch_size"] == 64
    assert values["layers"]["layers.1.weight"] == [256, 784]
    assert values["arguments"] == checkpoint.model.arguments
    assert (values["parameters"], values["size"]) == (269_322, trained.stat().st_size)


def test_a_nan_loss_is_null_in_json(mnist, trained, tmp_path):
    result = {**vars(checkpoints.load(trained).metrics[0]), "val_loss": math.nan}
    values = json.loads(mnist("info", change(trained, tmp_path / "a.pt", metrics=[result]), "--json").stdout)
    assert values["metrics"][0]["val_loss"] is None


def test_the_model_that_ships_is_pretrained(mnist):
    values = json.loads(mnist("info", "pretrained", "--json").stdout)
    assert values["sha256"] == hashlib.sha256(pretrained.CHECKPOINT.read_bytes()).hexdigest()


@pytest.mark.parametrize("content", [b"hello", b""])
def test_a_file_that_is_not_a_checkpoint_is_status_1(mnist, tmp_path, content):
    (tmp_path / "a.pt").write_bytes(content)
    done = mnist("info", "a.pt")
    assert done.exit_code == 1
    assert done.stderr.startswith("Error: a.pt is not a checkpoint")
    assert mnist("info", "none.pt").exit_code == 1


def test_a_table_has_each_layer_with_its_output_shape_and_parameters(mnist, trained):
    table = mnist("info", trained).stdout.split("\n\n")[1].splitlines()
    assert table[0].split("  ")[0] == "layer"
    assert table[1].split() == ["1", "linear,", "256", "256", "200,960", "layers.1"]
    assert table[3].split() == ["3", "linear,", "10", "10", "2,570", "layers.5"]
    assert table[4].split() == ["all", "269,322"]
    summary = json.loads(mnist("info", trained, "--json").stdout)["summary"]
    assert summary[0] == {"name": "1 linear, 256", "output": [256], "parameters": 200_960}
    shipped = json.loads(mnist("info", "pretrained", "--json").stdout)
    assert sum(layer["parameters"] for layer in shipped["summary"]) == shipped["parameters"]
