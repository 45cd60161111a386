import json
import os
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image
from test_checkpoints import change, measured_at
from test_imports import HEAVY, modules_after

from mnist_cli.cli.runs import Row
from mnist_cli.models import checkpoints
from mnist_cli.training import runs


@pytest.fixture
def two(mnist, trained, tmp_path):
    """Two runs, of which `second` was saved later and holds images out."""
    for age, name in enumerate(["second", "first"]):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
        path = tmp_path / "checkpoints" / name / "last.pt"
        measured_at(0.99, trained, path)
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    measured_at(0.9975, trained, tmp_path / "checkpoints/second/best.pt", seconds=4000.0)
    return mnist


def test_the_runs_are_listed_the_newest_first_and_the_one_to_use_has_a_star(two):
    done = two("runs")
    assert done.exit_code == 0
    headings, second, first = (line.split() for line in done.stdout.splitlines())
    assert headings == ["name", "model", "epochs", "val", "accuracy", "seconds", "saved", "size"]
    assert second[:6] == ["*", "second", "mlp", "1", "99.75", "%"]  # of the best epoch
    assert first[:3] == ["first", "mlp", "1"]
    assert second[-2:] == ["3.2", "MB"]


def test_the_star_is_at_the_run_that_predict_takes(two, tmp_path, trained):
    os.utime(tmp_path / "checkpoints/first/last.pt")
    (used,) = (json.loads(line) for line in two("runs", "--json").stdout.splitlines() if json.loads(line)["used"])
    assert used["checkpoint"] == "checkpoints/first/last.pt"
    assert "Using checkpoints/first/last.pt " in two("predict", "none.png").stderr
    for path in tmp_path.glob("checkpoints/*/*.pt"):
        measured_at(0.98, trained, path)
    assert not any(json.loads(line)["used"] for line in two("runs", "--json").stdout.splitlines())


def test_json_has_an_object_for_each_run(two):
    second, first = (json.loads(line) for line in two("runs", "--json").stdout.splitlines())
    assert second["checkpoint"] == "checkpoints/second/best.pt"
    assert (second["val_accuracy"], second["epochs"], second["planned_epochs"]) == (0.9975, 1, 1)
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
    assert all(text in table for text in ("first", "second", "val accuracy", "99.75 %"))
    assert "size" not in table


def test_a_corrupted_checkpoint_is_named_and_the_others_are_listed(two, tmp_path):
    path = tmp_path / "checkpoints/second/last.pt"
    path.write_bytes(path.read_bytes()[:1000])
    done = two("runs")
    assert done.exit_code == 0
    assert "*  second  unreadable" in done.stdout
    assert "first" in done.stdout
    assert done.stderr.startswith("checkpoints/second/last.pt is not a checkpoint, or it is corrupted")
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


@pytest.mark.slow
def test_runs_are_compared_in_a_chart(two, tmp_path):
    done = two("runs", "first", "second", "--plot", "both.png")
    assert done.exit_code == 0
    assert done.stderr == "both.png compares 2 runs.\n"
    with Image.open(tmp_path / "both.png") as image:
        assert image.format == "PNG"


def test_runs_that_cannot_be_compared_are_status_2(two, trained, tmp_path):
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


def test_without_runs_the_command_that_makes_one_is_named(mnist):
    done = mnist("runs")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "`mnist train`" in done.stderr


@pytest.mark.slow
def test_listing_loads_nothing_heavy(two, tmp_path):
    for arguments in (["runs"], ["runs", "--json"], ["info", "checkpoints/first/last.pt"]):
        assert modules_after(arguments, tmp_path) & HEAVY == set()


@pytest.fixture
def three(mnist, trained, tmp_path):
    """Three runs: `plain` and `slow` differ in their learning rate, `squared` in its loss function too."""
    result = checkpoints.load(trained).metrics[0]
    config = asdict(checkpoints.load(trained).config)
    changes = {
        "plain": ({"val_accuracy": 0.9, "held_out_loss": 0.3}, {}),
        "slow": ({"val_accuracy": 0.8, "held_out_loss": 0.2, "seconds": 9000.0}, {"learning_rate": 1e-5}),
        "squared": ({"val_accuracy": 0.95}, {"learning_rate": 1e-5, "loss": "mse"}),
    }
    for age, (name, (results, settings)) in enumerate(changes.items()):
        (tmp_path / "checkpoints" / name).mkdir(parents=True)
        (tmp_path / "runs" / name).mkdir(parents=True)
        path = tmp_path / "checkpoints" / name / "last.pt"
        change(trained, path, metrics=[vars(result) | results], config=config | settings)
        os.utime(path, (1_000_000 - age, 1_000_000 - age))
    return mnist


def listed(done):
    assert done.exit_code == 0, done.stderr
    return [json.loads(line)["name"] for line in done.stdout.splitlines()]


def test_settings_that_differ_have_a_column_and_no_others_do(three):
    headings, plain, _, squared = (line.split() for line in three("runs").stdout.splitlines())
    assert headings[-4:] == ["size", "loss", "learning", "rate"]
    assert plain[-2:] == ["cross_entropy", "0.002"]
    assert squared[-2:] == ["mse", "1e-05"]
    assert "loss" not in three("runs", "plain", "slow").stdout
    assert "learning rate" not in three("runs", "slow", "squared").stdout


def test_json_has_the_settings_of_each_run(three):
    values = [json.loads(line) for line in three("runs", "--json").stdout.splitlines()]
    assert [one["config"]["loss"] for one in values] == ["cross_entropy", "cross_entropy", "mse"]
    assert [one["held_out_loss"] for one in values] == [0.3, 0.2, None]


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("saved", ["plain", "slow", "squared"]),
        ("name", ["plain", "slow", "squared"]),
        ("accuracy", ["squared", "plain", "slow"]),
        ("seconds", ["plain", "squared", "slow"]),
    ],
)
def test_the_runs_are_sorted_by_the_column_of_sort(three, order, names):
    assert listed(three("runs", "--sort", order, "--json")) == names


def test_the_best_run_is_that_with_the_lowest_held_out_loss(three):
    assert listed(three("runs", "--best", "--json")) == ["slow"]
    assert listed(three("runs", "plain", "squared", "--best", "--json")) == ["plain"]


def test_the_best_run_is_found_beside_one_that_was_stopped_in_its_first_epoch(three, tmp_path, trained):
    (tmp_path / "checkpoints/stopped").mkdir()
    change(trained, tmp_path / "checkpoints/stopped/last.pt", metrics=[])
    assert listed(three("runs", "--best", "--json")) == ["slow"]


def test_no_best_run_is_chosen_by_the_val_images(three):
    done = three("runs", "squared", "--best")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "held out images" in done.stderr


def test_runs_of_different_loss_functions_have_no_best(three, tmp_path, trained):
    path = tmp_path / "checkpoints/squared/last.pt"
    result = checkpoints.load(path).metrics[0]
    config = asdict(checkpoints.load(path).config)
    change(trained, path, metrics=[vars(result) | {"held_out_loss": 0.1}], config=config)
    done = three("runs", "--best")
    assert done.exit_code == 2
    assert "mse with cross_entropy" in done.stderr


def test_names_are_whole_on_80_columns(three, tmp_path):
    name = "cnn-20260102-030405-with-a-long-name-of-its-own"
    (tmp_path / "checkpoints/slow").rename(tmp_path / "checkpoints" / name)
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "mnist_cli", "runs"]
    environment = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, cwd=tmp_path, env=environment, check=True)
    table = os.read(ours, 10_000).decode()
    assert name in table
    assert "80.00 %" in table
    assert b"A wider terminal or --json also shows: " in done.stderr


@pytest.mark.parametrize("answer", ["y\n", "n\n", ""])
def test_a_run_is_removed_once_that_is_confirmed(three, tmp_path, answer):
    done = three("runs", "rm", "slow", input=answer)
    is_removed = answer == "y\n"
    assert done.exit_code == (0 if is_removed else 1)
    assert "checkpoints/slow, runs/slow" in done.stderr
    assert (tmp_path / "checkpoints/slow").exists() != is_removed
    assert (tmp_path / "runs/slow").exists() != is_removed
    assert listed(three("runs", "--json")) == ["plain", *([] if is_removed else ["slow"]), "squared"]


def test_yes_skips_the_confirmation(three, tmp_path):
    done = three("runs", "rm", "plain", "slow", "--yes")
    assert (done.exit_code, done.stdout) == (0, "")
    assert listed(three("runs", "--json")) == ["squared"]


def test_an_unknown_or_active_run_is_not_removed(three, tmp_path):
    assert three("runs", "rm", "nobody", "--yes").exit_code == 2
    assert three("runs", "rm", "../checkpoints/plain", "--yes").exit_code == 2
    run = runs.take_up(Path("checkpoints/plain/last.pt"))
    done = three("runs", "rm", "plain", "--yes")
    assert done.exit_code == 2
    assert "another program is training the run" in done.stderr
    runs.release(run)
    assert (tmp_path / "checkpoints/plain/last.pt").exists()


def test_what_differs_between_two_runs_is_shown_and_nothing_else(three):
    done = three("runs", "diff", "plain", "slow")
    rows = [line.split("  ") for line in done.stdout.splitlines()]
    facts = {row[0].strip(): [cell.strip() for cell in row[1:] if cell.strip()] for row in rows[1:]}
    assert facts["val accuracy"] == ["90.00 %", "80.00 %"]
    assert facts["learning rate"] == ["0.002", "1e-05"]
    assert set(facts) == {"val accuracy", "held-out loss", "seconds", "learning rate"}
    same = three("runs", "diff", "plain", "plain")
    assert (same.stdout, same.stderr) == ("", "plain and plain have the same settings and results.\n")


def test_a_run_may_be_called_like_a_command(three, tmp_path):
    (tmp_path / "checkpoints/plain").rename(tmp_path / "checkpoints/diff")
    assert listed(three("runs", "list", "diff", "--json")) == ["diff"]


def test_a_file_time_that_is_no_date_is_left_out():
    late = SimpleNamespace(stat=lambda: SimpleNamespace(st_mtime=2.0**38))  # in the year 10,680, as some disks allow
    assert Row(SimpleNamespace(last_path=late), is_used=False).saved is None


def test_runs_of_any_name_are_drawn(two, tmp_path):
    for name in (b"\xff", "数字".encode(), b"$x_{$", b"\x1b[31m"):
        shutil.copytree(
            os.fsencode(tmp_path / "checkpoints/first"), os.fsencode(tmp_path / "checkpoints") + b"/" + name
        )
    assert two("runs", "--plot", "all.png").exit_code == 0


def test_runs_with_several_seeds_are_one_line_and_two_such_groups_are_compared(mnist, trained, tmp_path):
    result = vars(checkpoints.load(trained).metrics[0])
    for name, dropout in (("one", 0.0), ("other", 0.25)):
        for seed in range(3):
            config = {**asdict(checkpoints.load(trained).config), "seed": seed, "dropout": dropout}
            (tmp_path / f"checkpoints/{name}-seed{seed}").mkdir(parents=True)
            metrics = [{**result, "val_accuracy": 0.9 + dropout / 10 + seed / 1000}]
            change(trained, tmp_path / f"checkpoints/{name}-seed{seed}/last.pt", metrics=metrics, config=config)
    lines = mnist("runs", "--seeds", "--sort", "name").stdout.splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [["one", "mlp", "3", "90.10"], ["other", "mlp", "3", "92.60"]]
    done = mnist("runs", "one", "other", "--compare", "--sort", "name")
    assert done.exit_code == 0, done.stderr
    assert "difference +2.50 points, p < 0.0001 (Welch's t-test): more than seeds explain" in done.stdout.replace(
        "p = <", "p <"
    )
    assert mnist("runs", "one", "--compare").exit_code == 2


def test_the_studies_are_listed(mnist, tmp_path):
    assert "There are no studies" in mnist("runs", "studies").stderr
    facts = {"name": "first", "model": "cnn", "trials": 7, "pruned": 2, "failed": 0, "best_trial": 5}
    facts |= {"held_out_accuracy": 0.99, "fresh_held_out_accuracy": None}
    (tmp_path / "runs/first").mkdir(parents=True)
    (tmp_path / "runs/first/study.json").write_text(json.dumps(facts))
    assert mnist("runs", "studies").stdout.splitlines()[1].split() == ["first", "cnn", "7", "2", "0", "5", "99.00", "%"]
    assert json.loads(mnist("runs", "studies", "--json").stdout) == facts
