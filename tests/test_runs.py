import os
from dataclasses import replace
from pathlib import Path

import pytest
from test_checkpoints import measured_at

from mnist_cli.config import PRETRAINED, TrainConfig, read_toml
from mnist_cli.errors import CheckpointError, ConfigError
from mnist_cli.training import runs

CONFIG = TrainConfig(epochs=3)


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_run_is_called_after_its_model_and_the_time(monkeypatch):
    monkeypatch.setattr(runs.time, "strftime", lambda layout: "20260102-030405")
    names = [runs.create(None, CONFIG).name for _ in range(3)]
    assert names == ["mlp-20260102-030405", "mlp-20260102-030405-2", "mlp-20260102-030405-3"]


def test_a_run_has_a_folder_for_its_checkpoint_and_one_for_its_curves():
    run = runs.create("first try", CONFIG)
    assert str(run.last_path) == "checkpoints/first try/last.pt"
    assert str(run.log_dir) == "runs/first try"
    assert run.checkpoint_dir.is_dir()
    assert read_toml(run.log_dir / "config.toml")["epochs"] == 3


def test_an_existing_run_is_kept_without_overwrite():
    run = runs.create("one", CONFIG)
    run.last_path.write_text("a model")
    (run.log_dir / "events").write_text("curves")
    runs.release(run)
    with pytest.raises(ConfigError, match=r"a run 'one' already.*--overwrite"):
        runs.create("one", CONFIG)
    assert (run.log_dir / "events").exists()
    runs.create("one", CONFIG, overwrite=True)
    assert run.last_path.read_text() == "a model"  # until there is a new one
    assert not (run.log_dir / "events").exists()


@pytest.mark.parametrize("file", ["journal.log", "study.json"])
@pytest.mark.parametrize("has_checkpoints", [False, True])
def test_a_study_is_never_replaced_or_removed_by_a_run_of_its_name(file, has_checkpoints):
    Path("runs/search").mkdir(parents=True)
    Path("runs/search", file).write_text("trials")
    if has_checkpoints:  # a folder that a run left which was killed in its first epoch
        Path("checkpoints/search").mkdir(parents=True)
    for overwrite in (False, True):
        with pytest.raises(ConfigError, match="there is a study 'search' already, which no run replaces; give another"):
            runs.create("search", CONFIG, overwrite)
    Path("checkpoints/search").mkdir(parents=True, exist_ok=True)
    run = runs.Run("search", Path("checkpoints/search"))
    assert runs.folders(run) == [Path("checkpoints/search")]
    runs.remove(run)
    assert Path("runs/search", file).read_text() == "trials"
    assert not Path("checkpoints/search").exists()


def test_a_run_without_a_name_passes_over_a_study(monkeypatch):
    monkeypatch.setattr(runs.time, "strftime", lambda layout: "20260102-030405")
    Path("runs/mlp-20260102-030405").mkdir(parents=True)
    Path("runs/mlp-20260102-030405/study.json").touch()
    assert runs.create(None, CONFIG).name == "mlp-20260102-030405-2"


@pytest.mark.parametrize("field", ["from_", "teacher"])
def test_a_run_does_not_replace_one_from_which_it_learns(field):
    learning = replace(CONFIG, **{field: "checkpoints/one/last.pt"})
    with pytest.raises(ConfigError, match=f"--{field.strip('_')} .* is of the run that --overwrite replaces"):
        runs.create("one", learning, overwrite=True)
    runs.release(runs.create("two", learning, overwrite=True))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc", "..\\x", ".hidden", "-x", "x" * 101, "a\nb", "a\0b"])
def test_a_name_that_cannot_be_a_folder_is_refused(name, tmp_path):
    with pytest.raises(ConfigError, match="cannot name a run"):
        runs.create(name, CONFIG)
    assert not list(tmp_path.iterdir())


def test_the_best_epoch_of_the_newest_run_is_preferred(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "last.pt").touch()
    (tmp_path / "a" / "best.pt").touch()
    assert runs.find_newest(tmp_path) == tmp_path / "a" / "best.pt"


def test_the_newest_checkpoint_is_the_one_written_last(tmp_path):
    for age, name in enumerate(["b", "c", "a"]):
        path = tmp_path / name / "last.pt"
        path.parent.mkdir()
        path.touch()
        os.utime(path, (1000 - age, 1000 - age))
    assert runs.find_newest(tmp_path) == tmp_path / "b" / "last.pt"


def test_without_checkpoints_the_newest_is_the_one_that_ships(tmp_path):
    assert runs.find_newest(tmp_path / "nowhere") == PRETRAINED


def test_the_name_of_a_run_that_was_killed_before_its_first_checkpoint_is_free():
    killed = runs.create("one", CONFIG)
    (killed.checkpoint_dir / ".last.pt.123.tmp").write_text("half a checkpoint")
    (killed.log_dir / "events").write_text("half a curve")
    os.close(killed.descriptor)  # as the end of the process does
    run = runs.create("one", CONFIG)
    assert [path.name for path in run.log_dir.iterdir()] == ["config.toml"]
    runs.release(run)
    assert not run.checkpoint_dir.exists()


def test_curves_without_a_checkpoint_are_kept():
    for name in ("ours", "of another program"):
        (Path("runs") / name).mkdir(parents=True)
        (Path("runs") / name / "metrics.csv").touch()
    Path("checkpoints/ours").mkdir(parents=True)
    for name in ("ours", "of another program"):
        with pytest.raises(ConfigError, match="already"):
            runs.create(name, CONFIG)


def test_a_run_in_progress_can_be_neither_replaced_nor_resumed():
    run = runs.create("one", CONFIG)
    with pytest.raises(ConfigError, match="another program is training the run"):
        runs.create("one", CONFIG, overwrite=True)
    run.last_path.touch()
    with pytest.raises(ConfigError, match=r"another program is training the run of checkpoints/one/last\.pt"):
        runs.take_up(run.last_path)
    runs.release(run)
    runs.release(runs.take_up(run.last_path))


@pytest.fixture
def first():
    """A run that holds images out, and a newer one, `second`, that does not."""
    for name, age in (("first", 100), ("second", 10)):
        run = runs.create(name, CONFIG)
        run.last_path.write_text("the last epoch")
        os.utime(run.last_path, (1000 - age, 1000 - age))
        runs.release(run)
    Path("checkpoints/first/best.pt").write_text("the best epoch")


@pytest.mark.parametrize(
    "name", ["first", "checkpoints/first", Path("checkpoints/first/"), "checkpoints/first/best.pt"]
)
def test_a_run_is_named_by_its_name_its_folder_or_its_file(first, name):
    assert runs.find_checkpoint(name) == Path("checkpoints/first/best.pt")


def test_to_resume_a_run_its_last_epoch_is_taken(first):
    assert runs.find_checkpoint("first", to_resume=True) == Path("checkpoints/first/last.pt")


def test_latest_is_the_newest_run_unless_a_run_is_called_that(first):
    assert runs.find_checkpoint("latest") == Path("checkpoints/second/last.pt")
    Path("checkpoints/first").rename("checkpoints/latest")
    assert runs.find_checkpoint("latest") == Path("checkpoints/latest/best.pt")


def test_a_file_of_the_same_name_wins(first):
    for name in ("first", "latest", "pretrained"):
        Path(name).touch()
        assert runs.find_checkpoint(name) == Path(name)


def test_pretrained_is_the_model_that_ships_and_cannot_be_resumed(first):
    assert runs.find_checkpoint("pretrained") == PRETRAINED
    with pytest.raises(ConfigError, match="no run to resume"):
        runs.find_checkpoint("pretrained", to_resume=True)


def test_the_default_is_what_the_environment_names_else_the_newest_run(first, monkeypatch):
    assert runs.find_checkpoint(None) == Path("checkpoints/second/last.pt")
    monkeypatch.setenv("MNIST_CHECKPOINT", "first")
    assert runs.find_checkpoint(None) == Path("checkpoints/first/best.pt")
    assert runs.find_checkpoint("second") == Path("checkpoints/second/last.pt")


def test_the_default_to_predict_with_is_the_newest_run_that_can_be_used_or_cannot_be_read(trained):
    assert runs.find_default() == runs.DefaultCheckpoint(PRETRAINED)
    for age, (name, val_accuracy) in enumerate([("worst", 0.1), ("bad", 0.98), ("good", 0.99), ("best", 0.999)]):
        run = runs.create(name, CONFIG)
        measured_at(val_accuracy, trained, run.last_path)
        os.utime(run.last_path, (1000 - age, 1000 - age))
        runs.release(run)
    found = runs.find_default()
    assert found.path == Path("checkpoints/good/last.pt")
    assert found.passed_over.path == Path("checkpoints/worst/last.pt")
    Path("checkpoints/worst/last.pt").write_text("not a checkpoint")
    assert runs.find_default() == runs.DefaultCheckpoint(Path("checkpoints/worst/last.pt"))


def test_a_name_that_is_neither_a_file_nor_a_run_is_an_error_and_a_path_stays():
    for name in ("nobody", "latest"):
        with pytest.raises(CheckpointError, match=rf"neither a file nor a run '{name}'.*`mnist runs`"):
            runs.find_checkpoint(name)
    assert runs.find_checkpoint("elsewhere/last.pt") == Path("elsewhere/last.pt")
    assert runs.find_checkpoint("none.pt") == Path("none.pt")


def test_the_curves_of_a_run_are_found_from_its_checkpoint_in_whichever_folder_one_is(tmp_path, monkeypatch):
    run = runs.create("one", CONFIG)
    run.last_path.touch()
    runs.release(run)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    taken_up = runs.take_up(Path("../checkpoints/one/last.pt"))
    assert taken_up.log_dir == tmp_path / "runs/one"  # absolute, since it is not below this folder
    runs.release(taken_up)
    monkeypatch.chdir(tmp_path / "checkpoints/one")
    taken_up = runs.take_up(Path("last.pt"))
    assert (taken_up.name, taken_up.log_dir) == ("one", tmp_path / "runs/one")
    runs.release(taken_up)
