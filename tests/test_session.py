import csv
import signal
from dataclasses import replace

import pytest
import torch
from conftest import draw_seven

from mnist_cli import cores
from mnist_cli.config import TrainConfig
from mnist_cli.datasets.labelled_pictures import Corrections
from mnist_cli.errors import ConfigError, DivergenceError
from mnist_cli.models import checkpoints
from mnist_cli.pictures import decode
from mnist_cli.reporting.run import RunReport
from mnist_cli.training import runs, session

CPU = torch.device("cpu")
CONFIG = TrainConfig(model="linear", hidden=(), epochs=2, train_size=300, holdout=100, augment="none")


def report(run, trainer):
    return RunReport(run.log_dir, trainer)


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return runs.create("one", CONFIG)


def test_a_run_leaves_its_checkpoints_and_its_metrics(run, data_dir):
    trainer = session.prepare(CONFIG, CPU, data_dir)
    assert (len(trainer.train), len(trainer.held_out), len(trainer.val)) == (300, 100, 10_000)
    session.train_and_save(trainer, run, report)
    assert len(checkpoints.load(run.last_path).metrics) == 2
    assert len(checkpoints.load(run.best_path).metrics) == trainer.best().epoch
    with (run.log_dir / "metrics.csv").open() as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]


def test_a_run_trains_on_extra_pictures_too(tmp_path, data_dir):
    folder = Corrections(tmp_path / "extra")
    folder.add(decode.to_array(draw_seven()), 7)
    trainer = session.prepare(replace(CONFIG, extra=str(tmp_path / "extra")), CPU, data_dir)
    assert len(trainer.train) == 301
    assert trainer.train.labels[-1] == 7
    assert len(trainer.held_out) == 100


def test_a_run_resumes_from_its_checkpoint(run, data_dir):
    trainer = session.prepare(CONFIG, CPU, data_dir)
    next(trainer.epochs())
    session.save(run.last_path, trainer)
    again = session.prepare(CONFIG, CPU, data_dir, checkpoints.load(run.last_path))
    assert (again.epoch, again.results) == (1, trainer.results)


def test_a_run_that_is_stopped_is_saved_where_it_is(run, data_dir):
    trainer = session.prepare(CONFIG, CPU, data_dir)
    trainer.stop()
    session.train_and_save(trainer, run, report)
    assert trainer.is_stopped
    assert checkpoints.load(run.last_path).trainer["batch"] == 1


def test_a_diverged_run_names_its_last_checkpoint(run, data_dir):
    trainer = session.prepare(CONFIG, CPU, data_dir)
    with torch.no_grad():
        trainer.model.layers[1].weight.fill_(float("nan"))
    with pytest.raises(DivergenceError, match="no epoch was saved"):
        session.train_and_save(trainer, run, report)
    assert not run.checkpoint_dir.exists()


def test_a_run_is_locked_before_it_is_read_and_free_again_when_it_cannot_go_on(run, data_dir):
    trainer = session.prepare(CONFIG, CPU, data_dir)
    next(trainer.epochs())
    session.save(run.last_path, trainer)
    run.last_path.with_name("garbage.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(ConfigError, match="another program is training"):  # not that it is not a checkpoint
        session.take_up(run.last_path.with_name("garbage.pt"), None, CPU, data_dir)
    runs.release(run)
    with pytest.raises(
        ConfigError, match="has 1 epochs already, as --epochs says; leave --epochs out to go on to its 2"
    ):
        session.take_up(run.last_path, 1, CPU, data_dir)
    taken_up, trainer = session.take_up(run.last_path, None, CPU, data_dir)
    assert (taken_up.log_dir, trainer.epoch) == (run.log_dir, 1)
    runs.release(taken_up)


def test_a_second_signal_ends_a_run_at_once_unless_it_is_the_first_one_passed_on(monkeypatch):
    now = 100.0
    monkeypatch.setattr(session.time, "monotonic", lambda: now)
    stopped = []

    class Stoppable:
        def stop(self):
            stopped.append(True)

    with session.stopping_on_signals(Stoppable()) as signals:
        signal.raise_signal(signal.SIGINT)
        now += 0.1
        signal.raise_signal(signal.SIGINT)  # of torchrun, which had the same Ctrl-C
        assert (signals, stopped) == ([signal.SIGINT], [True])
        now += 1
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize(
    ("options", "usable", "threads"),
    [
        ({"model": "mlp"}, 8, 1),
        ({"model": "linear", "hidden": ()}, 8, 1),
        ({"model": "cnn", "hidden": (4, 8)}, 8, 8),
        ({"model": "cnn", "hidden": (4, 8)}, 1, 1),
        ({"model": "mlp", "threads": 3}, 8, 3),
        ({"model": "cnn", "hidden": (4, 8), "threads": 3}, 2, 3),
    ],
)
def test_a_run_keeps_the_number_of_threads_that_it_began_with(
    tmp_path, monkeypatch, data_dir, options, usable, threads
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cores, "available", lambda: usable)
    run, trainer = session.begin(TrainConfig(epochs=2, train_size=20, **options), "one", False, CPU, data_dir)
    assert trainer.config.threads == threads
    assert f"threads = {threads}\n" in (run.log_dir / "config.toml").read_text()
    session.save(run.last_path, trainer)
    runs.unlock(run)
    monkeypatch.setattr(cores, "available", lambda: 64)
    _, resumed = session.take_up(run.last_path, None, CPU, data_dir)
    assert resumed.config.threads == threads


def test_a_run_of_a_version_that_chose_no_threads_is_given_some(tmp_path, monkeypatch, data_dir):
    monkeypatch.chdir(tmp_path)
    run = runs.create("one", CONFIG)
    session.save(run.last_path, session.prepare(CONFIG, CPU, data_dir))
    runs.unlock(run)
    assert CONFIG.threads == 0
    _, resumed = session.take_up(run.last_path, None, CPU, data_dir)
    assert resumed.config.threads == 1
