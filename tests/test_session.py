import csv
import signal
from dataclasses import replace

import pytest
import torch
from conftest import draw_seven

from mnist_cli import cores
from mnist_cli.config import TrainConfig
from mnist_cli.datasets.dataset import Digits
from mnist_cli.datasets.labelled_pictures import Corrections
from mnist_cli.errors import ConfigError, DivergenceError
from mnist_cli.models import architectures, checkpoints
from mnist_cli.pictures import decode
from mnist_cli.reporting.run import RunReport
from mnist_cli.training import runs, session
from mnist_cli.training.loop import Trainer

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


@pytest.mark.parametrize("model", ["mlp", "cnn"])
def test_a_taught_run_resumes_to_the_same_weights(tmp_path, monkeypatch, data_dir, model):
    monkeypatch.chdir(tmp_path)
    config = TrainConfig(model=model, hidden=(4, 8), epochs=2, batch_size=50, train_size=200, teacher="pretrained")
    run, whole = session.begin(config, "one", False, CPU, data_dir)
    list(whole.epochs())
    stopped = session.prepare(whole.config, CPU, data_dir)
    list(stopped.epochs(lambda images: stopped.stop()))
    session.save(run.last_path, stopped)
    runs.unlock(run)
    _, resumed = session.take_up(run.last_path, None, CPU, data_dir)
    list(resumed.epochs())
    assert resumed.results[1].train_loss == whole.results[1].train_loss
    for one, other in zip(resumed.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_teacher_of_other_classes_is_refused(tmp_path, data_dir):
    letters = architectures.build("linear", classes=("a", "b"))
    digits = torch.zeros(2, 1, 28, 28, dtype=torch.uint8), torch.tensor([0, 1])
    session.save(tmp_path / "letters.pt", Trainer(letters, Digits(*digits), Digits(*digits), CONFIG))
    with pytest.raises(ConfigError, match=r"letters.pt has the classes a, b, and not those to learn, 0, 1, 2"):
        session.prepare(replace(CONFIG, teacher=str(tmp_path / "letters.pt")), CPU, data_dir)


def test_processes_with_other_teachers_differ(data_dir, trained):
    with_teachers = [
        session.prepare(replace(CONFIG, teacher=name), CPU, data_dir) for name in (str(trained), "pretrained")
    ]
    for trainer in with_teachers:
        trainer.config = CONFIG
    assert len(set(map(session._fingerprint, with_teachers))) == 2


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


def test_a_run_that_is_stopped_in_its_first_epoch_leaves_no_best_checkpoint_of_the_one_it_replaces(run, data_dir):
    session.train_and_save(session.prepare(CONFIG, CPU, data_dir), run, report)
    assert run.best_path.exists()
    run = runs.create("one", CONFIG, overwrite=True)
    trainer = session.prepare(CONFIG, CPU, data_dir)
    trainer.stop()
    session.train_and_save(trainer, run, report)
    assert run.result_path == run.last_path
