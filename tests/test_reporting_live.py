import io
import json
import threading

import numpy as np
import pytest
import torch
from conftest import SilentReport, draw_seven

from mnist_cli import config as configuration
from mnist_cli.config import TrainConfig
from mnist_cli.errors import DivergenceError
from mnist_cli.models import architectures
from mnist_cli.reporting import live
from mnist_cli.reporting.live import LiveReport
from mnist_cli.training import runs, session
from mnist_cli.training.loop import Trainer

CONFIG = TrainConfig(model="linear", hidden=(), epochs=2, batch_size=64, augment="none")


@pytest.fixture(autouse=True)
def _somewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def prepare(train, val):
    """Return a function that prepares to train on 640 images, 10 steps an epoch."""
    return lambda config=CONFIG: Trainer(architectures.build_from(config), train[:640], val[:1_000], config)


@pytest.fixture
def follow(prepare):
    """Return a function that trains with a report.

    Commands wait from the beginning; a function among them is called with the report before that. It returns the
    report and the trainer.
    """
    return lambda *commands, **options: _follow(prepare, *commands, **options)


def _follow(prepare, *commands, config=CONFIG, name="one", viewers=0):
    trainer, reports = prepare(config), []

    def make(run, trainer):
        report = LiveReport(SilentReport(), run, trainer)
        report.feed.viewers = viewers
        for command in commands:
            command(report) if callable(command) else report.commands.put(command)
        reports.append(report)
        return report

    session.train_and_save(trainer, runs.create(name, config), make)
    return reports[0], trainer


def events(report, kind):
    return [event for event in map(json.loads, report.feed.events) if event["kind"] == kind]


def state(report, kind="status"):
    return json.loads(report.feed.states[kind])


def weights(trainer):
    return trainer.model.layers[1].weight


def test_a_watched_run_ends_with_the_same_weights(follow, prepare, monkeypatch):
    monkeypatch.setattr(live, "INTERVAL", 0.0)
    monkeypatch.setattr(live, "SHARE_WATCHED", 1.0)
    report, watched = follow(viewers=1)
    assert len(events(report, "probe")) == 22  # before the first step, after each, and at the end
    alone = prepare()
    list(alone.epochs())
    assert torch.equal(weights(watched), weights(alone))


def test_the_points_of_an_epoch_have_its_mean_loss_and_accuracy(follow):
    report, trainer = follow()
    points = events(report, "point")
    assert [point["step"] for point in points] == list(range(1, 21))
    for epoch, result in enumerate(trainer.results):
        of_epoch = points[10 * epoch : 10 * epoch + 10]
        assert np.mean([point["loss"] for point in of_epoch]) == pytest.approx(result.train_loss, rel=1e-5)
        assert np.mean([point["accuracy"] for point in of_epoch]) == pytest.approx(result.train_accuracy)
    assert [event["val_accuracy"] for event in events(report, "epoch")] == [it.val_accuracy for it in trainer.results]
    assert state(report)["state"] == "finished"
    assert state(report)["path"] == "checkpoints/one/last.pt"
    assert report.feed.is_over


def test_a_long_run_has_no_more_points_than_the_page_is_wide(follow, monkeypatch):
    monkeypatch.setattr(live, "POINTS", 8)
    report, trainer = follow()
    points = events(report, "point")
    assert [point["step"] for point in points] == [3, 6, 9, 10, 13, 16, 19, 20]
    mean = np.average([point["loss"] for point in points[:4]], weights=[3, 3, 3, 1])
    assert mean == pytest.approx(trainer.results[0].train_loss, rel=1e-5)


def test_a_run_is_paused_goes_on_by_steps_and_then_to_its_end(follow):
    report, trainer = follow(("pause", 1), ("step", 1), ("step", 1), ("resume", 1))
    # All four are obeyed after the first step, so the run is not paused any more.
    assert trainer.paused == 0
    seen = []

    def step_then_resume(report):
        show = report._show

        def on_pause(name, **more):
            show(name, **more)
            if name == "paused":
                seen.append(report.trainer.finished_steps)
                report.commands.put(("step" if len(seen) < 3 else "resume", 1))

        report._show = on_pause

    report, trainer = follow(("pause", 1), step_then_resume, name="two")
    assert seen == [1, 2, 3]
    assert trainer.finished_steps == 20
    assert [event["step"] for event in events(report, "probe")][:4] == [0, 1, 2, 3]


def test_stop_and_ctrl_c_end_a_paused_run_and_save_it(follow):
    report, trainer = follow(("stop", 1))
    assert trainer.is_stopped
    assert trainer.finished_steps == 1
    assert state(report)["state"] == "stopped"
    later = threading.Timer(0.3, lambda: trainers[0].stop())
    trainers = []
    follow(("pause", 1), lambda report: (trainers.append(report.trainer), later.start()), name="two")
    assert trainers[0].is_stopped
    assert runs.find_checkpoint("two").is_file()


def test_a_changed_learning_rate_is_in_the_configuration_of_the_run_which_repeats_it(follow, prepare, tmp_path):
    report, changed = follow(("rate", 0.25))
    (change,) = events(report, "change")
    assert (change["step"], change["factor"]) == (1, 0.25)
    assert state(report)["factor"] == 0.25
    recorded = configuration.resolve(None, tmp_path / "runs/one/config.toml", {})
    assert recorded.rate_changes == "1:0.25"
    again = prepare(recorded)
    list(again.epochs())
    assert torch.equal(weights(again), weights(changed))


def test_a_change_of_the_learning_rate_that_has_no_room_is_not_made(follow):
    full = ",".join(f"{step}:1" for step in range(500))
    config = TrainConfig(**{**vars(CONFIG), "rate_changes": full})
    report, trainer = follow(lambda report: report.commands.put(("rate", 1_000_000)), config=config)
    assert trainer.config == config
    assert events(report, "change") == []


def test_a_drawn_digit_is_read_at_every_measurement_until_it_is_cleared(follow, monkeypatch):
    monkeypatch.setattr(live, "INTERVAL", 0.0)
    monkeypatch.setattr(live, "SHARE_UNWATCHED", 1.0)
    png = io.BytesIO()
    draw_seven().save(png, "png")
    report, _ = follow(("draw", png.getvalue()))
    readings = events(report, "reading")
    assert [reading["step"] for reading in readings] == [*range(1, 21), 20]
    assert sum(readings[-1]["probabilities"]) == pytest.approx(1)
    assert len(state(report, "drawing")["pixels"]) == 1_048  # base64 of 28x28 bytes
    report, _ = follow(("draw", png.getvalue()), ("draw", b""), ("draw", b"not a picture"), name="two")
    assert events(report, "reading") == []
    assert state(report, "drawing") == {"kind": "drawing", "drawing": 3, "pixels": None}


def test_pictures_are_made_only_while_somebody_looks(follow):
    alone, _ = follow()
    assert alone.feed.states.keys() == {"run", "status"}
    seen, _ = follow(name="two", viewers=1)
    assert seen.feed.states.keys() == {"run", "status", "hardest", "confusion", "weights"}


def test_the_feed_of_a_run_that_is_resumed_begins_with_its_earlier_epochs(prepare):
    trainer = prepare()
    next(trainer.epochs())
    report = LiveReport(SilentReport(), runs.create("one", CONFIG), trainer)
    with pytest.raises(DivergenceError), report:
        raise DivergenceError("the loss became nan")
    assert [(event["step"], event["epoch"]) for event in events(report, "epoch")] == [(10, 1)]
    assert (state(report)["state"], state(report)["reason"]) == ("failed", "the loss became nan")


def test_numbers_that_are_not_finite_are_null():
    feed = live.Feed()
    feed.add("probe", loss=float("nan"), gradients=[float("inf"), 1.0])
    assert feed.events == ['{"kind":"probe","loss":null,"gradients":[null,1.0]}']
