import csv

import pytest
from conftest import RESULTS
from PIL import Image

from mnist_cli.reporting.run import RunReport


def make_report(folder, trainer):
    with RunReport(folder, trainer) as report:
        for result in RESULTS:
            report.advance(70)
            report.epoch(result)
        report.finish()


def test_a_pipe_gets_a_heading_and_a_line_an_epoch(tmp_path, capsys, finished):
    make_report(tmp_path, finished)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["1/2", "0.5000", "85.00", "%", "0.4000", "90.00", "%", "1.5", "0.4500"],
        ["2/2", "0.3000", "90.00", "%", "0.3500", "92.50", "%", "1.2", "0.4000"],
    ]
    assert len({len(line) for line in lines}) == 1  # the columns line up


def test_a_terminal_gets_a_bar_with_the_speed(tmp_path, capsys, monkeypatch, finished):
    monkeypatch.setenv("FORCE_COLOR", "1")
    make_report(tmp_path, finished)
    output = capsys.readouterr().err
    assert "images/s" in output
    assert "92.50" in output


def test_the_folder_has_a_table_with_a_row_an_epoch(tmp_path, finished):
    make_report(tmp_path, finished)
    with (tmp_path / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {name: float(value) for name, value in rows[1].items()} == vars(RESULTS[1])


def test_the_folder_has_pictures_of_loss_and_accuracy_also_when_the_run_was_stopped(tmp_path, finished):
    with pytest.raises(KeyboardInterrupt), RunReport(tmp_path, finished):
        raise KeyboardInterrupt
    for name in ("loss.png", "accuracy.png"):
        with Image.open(tmp_path / name) as image:
            assert image.format == "PNG"


def test_a_run_without_an_epoch_has_no_pictures(tmp_path, finished):
    finished.results = []
    with RunReport(tmp_path, finished):
        pass
    assert not list(tmp_path.glob("*.png"))


def test_the_last_steps_are_shown_on_a_terminal(tmp_path, capsys, monkeypatch, finished):
    monkeypatch.setenv("FORCE_COLOR", "1")
    make_report(tmp_path, finished)
    output = capsys.readouterr().err
    assert "Measuring the model for TensorBoard …" in output
    assert "Drawing the curves …" in output
