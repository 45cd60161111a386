import pytest
import torch
from torch import nn

from mnist_cli import models
from mnist_cli.config import TrainConfig
from mnist_cli.reporting import RunReport
from mnist_cli.training import EpochResult, Trainer

RESULTS = [
    EpochResult(1, 0.5, 0.4, 0.9, 1.5, 1e-3, held_out_loss=0.45),
    EpochResult(2, 0.3, 0.35, 0.925, 1.25, 1e-5, held_out_loss=0.4),
]


@pytest.fixture
def trainer(val):
    """A run whose model is one layer of 2x3 weights, all 2, with a gradient of 1 at each."""
    trainer = Trainer(models.build("linear", 0), val[:70], val[:10], TrainConfig(epochs=2), held_out=val[:5])
    trainer.model = nn.Linear(3, 2, bias=False)
    nn.init.constant_(trainer.model.weight, 2)
    trainer.model.weight.grad = torch.ones(2, 3)
    trainer.results = RESULTS
    return trainer


def make_report(folder, trainer):
    with RunReport(folder, trainer) as report:
        for result in RESULTS:
            report.advance(70)
            report.epoch(result)
        report.finish()


def test_a_pipe_gets_a_heading_and_a_line_an_epoch(tmp_path, capsys, trainer):
    make_report(tmp_path, trainer)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split() for line in lines[1:]] == [
        ["1/2", "0.5000", "0.4000", "90.00", "%", "1.5", "0.4500"],
        ["2/2", "0.3000", "0.3500", "92.50", "%", "1.2", "0.4000"],
    ]
    assert len({len(line) for line in lines}) == 1  # the columns line up


def test_a_terminal_gets_a_bar_with_the_speed(tmp_path, capsys, monkeypatch, trainer):
    monkeypatch.setenv("FORCE_COLOR", "1")
    make_report(tmp_path, trainer)
    output = capsys.readouterr().err
    assert "images/s" in output
    assert "92.50" in output


def read(folder):
    """Open a log with TensorBoard's own reader."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder)).Reload()


def scalars(folder, tag):
    return [(event.step, round(event.value, 4)) for event in read(folder).Scalars(tag)]


def test_tensorboard_itself_reads_the_curves(tmp_path, trainer):
    with RunReport(tmp_path, trainer) as report:
        report.epoch(RESULTS[0])
        assert scalars(tmp_path, "train_loss") == [(1, 0.5)]  # flushed, before the run ends
        report.epoch(RESULTS[1])
    assert scalars(tmp_path, "train_loss") == [(1, 0.5), (2, 0.3)]
    assert scalars(tmp_path, "val_loss") == [(1, 0.4), (2, 0.35)]
    assert scalars(tmp_path, "val_accuracy") == [(1, 0.9), (2, 0.925)]
    assert scalars(tmp_path, "held_out_loss") == [(1, 0.45), (2, 0.4)]
    assert scalars(tmp_path, "learning_rate") == [(1, 0.001), (2, 0.0)]
    assert scalars(tmp_path / "loss" / "train", "loss") == [(1, 0.5), (2, 0.3)]
    assert scalars(tmp_path / "loss" / "valid", "loss") == [(1, 0.4), (2, 0.35)]


def test_every_layer_has_its_weights_and_gradients(tmp_path, trainer):
    make_report(tmp_path, trainer)
    assert scalars(tmp_path, "weights_norm/weight") == [(1, 4.899), (2, 4.899)]  # sqrt(6 * 2^2)
    assert scalars(tmp_path, "gradients_norm/weight") == [(1, 2.4495), (2, 2.4495)]
    assert {"weights/weight", "gradients/weight"} <= set(read(tmp_path).Tags()["histograms"])


@pytest.mark.parametrize("count", [10, 70])
def test_the_sheet_shows_the_training_images_side_by_side(tmp_path, trainer, count):
    trainer.train = trainer.train[:count]
    make_report(tmp_path, trainer)
    (sheet,) = read(tmp_path).Images("training_images")
    assert (sheet.width, sheet.height) == (224, 224)


def test_the_hyperparameters_are_kept_with_the_final_scores(tmp_path, trainer):
    make_report(tmp_path, trainer)
    assert scalars(tmp_path / "hyperparameters", "final/val_accuracy") == [(0, 0.925)]
