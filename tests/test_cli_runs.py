import json
import os
import shutil
import subprocess
import sys

import pytest
from PIL import Image
from test_checkpoints import change
from test_imports import HEAVY, modules_after

from mnist_cli.models import checkpoints


@pytest.fixture
def two(mnist, trained, tmp_path):
    """Two runs, of which `second` was saved later and holds images out."""
    for age, name in enumerate(["second", "first"]):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
        path = tmp_path / "checkpoints" / name / "last.pt"
        shutil.copy(trained, path)
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    result = checkpoints.load(trained).metrics[0]
    better = {**vars(result), "val_accuracy": 0.75, "seconds": 4000.0}
    change(trained, tmp_path / "checkpoints/second/best.pt", metrics=[better])
    return mnist


def test_the_runs_are_listed_the_newest_first_and_the_one_to_use_has_a_star(two):
    done = two("runs")
    assert done.exit_code == 0
    headings, second, first = (line.split() for line in done.stdout.splitlines())
    assert headings == ["name", "model", "epochs", "val", "accuracy", "seconds", "saved", "size"]
    assert second[:6] == ["*", "second", "mlp", "1", "75.00", "%"]  # of the best epoch
    assert first[:3] == ["first", "mlp", "1"]
    assert second[-2:] == ["3.2", "MB"]


def test_the_star_is_at_the_run_that_predict_takes(two, tmp_path, trained):
    os.utime(tmp_path / "checkpoints/first/last.pt")
    (used,) = (json.loads(line) for line in two("runs", "--json").stdout.splitlines() if json.loads(line)["used"])
    assert used["checkpoint"] == "checkpoints/first/last.pt"
    assert "Using checkpoints/first/last.pt " in two("predict", "none.png").stderr


def test_json_has_an_object_for_each_run(two):
    second, first = (json.loads(line) for line in two("runs", "--json").stdout.splitlines())
    assert second["checkpoint"] == "checkpoints/second/best.pt"
    assert (second["val_accuracy"], second["epochs"], second["planned_epochs"]) == (0.75, 1, 1)
    assert (first["name"], first["parameters"], first["error"]) == ("first", 269_322, None)
    assert first["size"] == os.stat("checkpoints/first/last.pt").st_size
    assert first["saved"].startswith("1970-01-1")


def test_a_terminal_gets_a_table(two, tmp_path):
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "mnist_cli", "runs"]
    done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=True)
    table = os.read(ours, 10_000).decode()
    assert "\x1b[1;32m" in table.splitlines()[2]  # the run to use is green
    assert "─────" in table
    assert done.stderr == "* is what `mnist predict` uses.\n"


def test_a_narrow_terminal_gets_the_names_and_scores_whole(two, tmp_path):
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "mnist_cli", "runs"]
    environment = {**os.environ, "COLUMNS": "40"}
    subprocess.run(command, stdout=theirs, stderr=subprocess.DEVNULL, cwd=tmp_path, env=environment, check=True)
    table = os.read(ours, 10_000).decode()
    assert all(text in table for text in ("first", "second", "val accuracy", "75.00 %"))
    assert "size" not in table


def test_a_damaged_checkpoint_is_named_and_the_others_are_listed(two, tmp_path):
    path = tmp_path / "checkpoints/second/last.pt"
    path.write_bytes(path.read_bytes()[:1000])
    done = two("runs")
    assert done.exit_code == 0
    assert "*  second  unreadable" in done.stdout
    assert "first" in done.stdout
    assert done.stderr.startswith("checkpoints/second/last.pt is not a checkpoint, or not a whole one")
    listed = json.loads(two("runs", "second", "--json").stdout)
    assert listed["error"].startswith("checkpoints/second/last.pt is not")
    assert listed["val_accuracy"] is None


@pytest.mark.parametrize(
    "name", ["[red]x", "two\nlines", "\x1b[31m", "数字", b"\xff".decode("utf8", "surrogateescape")]
)
def test_any_name_is_listed_on_one_line(two, tmp_path, name):
    (tmp_path / "checkpoints/first").rename(tmp_path / "checkpoints" / name)
    lines = two("runs").stdout.splitlines()
    assert len(lines) == 3
    assert "\x1b" not in lines[2]
    assert json.loads(two("runs", "--json").stdout.splitlines()[1])["name"] == name


def test_runs_are_compared_in_a_chart(two, tmp_path):
    done = two("runs", "first", "second", "--plot", "both.png")
    assert done.exit_code == 0
    assert done.stderr == "both.png compares 2 runs.\n"
    with Image.open(tmp_path / "both.png") as image:
        assert image.format == "PNG"


def test_what_cannot_be_compared_is_status_2(two, trained, tmp_path):
    assert two("runs", "nobody").stderr == (
        "Error: there is no run 'nobody' in the folder checkpoints; `mnist runs` lists them\n"
    )
    assert two("runs", "--plot", "a.pdf").exit_code == 2
    for number in range(6):
        shutil.copytree(tmp_path / "checkpoints/first", tmp_path / f"checkpoints/{number}")
    many = two("runs", "--plot", "many.png")
    assert many.exit_code == 2
    assert "a chart shows 1 to 6 runs" in many.stderr
    assert not (tmp_path / "many.png").exists()


def test_without_runs_it_says_what_makes_one(mnist):
    done = mnist("runs")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "`mnist train`" in done.stderr


def test_listing_loads_nothing_heavy(two, tmp_path):
    for arguments in (["runs"], ["runs", "--json"], ["info", "checkpoints/first/last.pt"]):
        assert modules_after(arguments, tmp_path) & HEAVY == set()
