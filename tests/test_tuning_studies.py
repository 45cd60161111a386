import os
import subprocess
import sys

import pytest
from searching import plan

pytest.importorskip("optuna")

from mnist_cli.errors import ConfigError, MnistError
from mnist_cli.tuning import studies
from mnist_cli.tuning.studies import Study
from mnist_cli.tuning.tuner import Tuner


def open_study(folder, name="study"):
    return Study(studies.open_storage(str(folder / "journal.log")), name, studies.make_pruner("none", 1))


def states(study):
    return {record.number: record.state for record in study.records()}


def test_each_trial_is_taken_once_and_no_more_than_wanted(tmp_path):
    one, other = open_study(tmp_path), open_study(tmp_path)
    taken = [study.take(below=3) for study in (one, other, one, other, one)]
    assert [trial and trial.number for trial in taken] == [0, 1, 2, None, None]
    assert (one.is_new, other.is_new) == (True, False)


def test_a_trial_that_was_put_back_is_taken_again_with_its_values(tmp_path):
    study = open_study(tmp_path)
    trial = study.take(3)
    value = trial.suggest_float("x", 0.0, 1.0)
    study.put_back(trial)
    assert states(study) == {}
    again = open_study(tmp_path).take(3)
    assert (again.number, again.suggest_float("x", 0.0, 1.0)) == (0, value)


def test_the_trials_of_a_search_that_was_killed_go_back_into_the_queue_at_once(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; sys.path.insert(0, sys.argv[2])\n"
        "from test_tuning_studies import open_study\n"
        "study = open_study(Path(sys.argv[1])); study.beat(); study.take(3); study.take(3); os.kill(os.getpid(), 9)"
    )
    killed = subprocess.run([sys.executable, "-c", code, tmp_path, os.path.dirname(__file__)], check=False)
    assert killed.returncode == -9
    study = open_study(tmp_path)
    assert states(study) == {0: "running", 1: "running"}
    study.requeue_lost()
    assert states(study) == {}
    assert [study.take(3).number for _ in range(3)] == [0, 1, 2]
    assert study.take(3) is None


def test_the_trials_of_a_search_on_another_machine_are_taken_over_when_it_gives_no_sign_of_life(tmp_path, monkeypatch):
    now = 0.0  # seconds
    monkeypatch.setattr(studies.time, "monotonic", lambda: now)
    elsewhere, here = open_study(tmp_path), open_study(tmp_path)
    elsewhere.runner = "another-machine 1 ab"
    elsewhere.take(3)
    for now in (1, 50, 100):  # noqa: B007
        elsewhere.beat()
        here.requeue_lost()
        assert states(here) == {0: "running"}
    now = 150
    here.requeue_lost()
    assert states(here) == {0: "running"}
    now = 170
    here.requeue_lost()
    assert states(here) == {}


def test_a_trial_that_another_search_has_finished_meanwhile_stays_finished(tmp_path):
    slow, quick = open_study(tmp_path), open_study(tmp_path)
    trial = slow.take(1)
    slow.put_back(trial)
    again = quick.take(1)
    quick.study.tell(again, 0.5)
    slow.put_back(trial)
    assert states(quick) == {0: "complete"}


def test_a_study_of_another_base_is_refused(tmp_path):
    Tuner(plan(tmp_path), None)
    Tuner(plan(tmp_path), None)
    with pytest.raises(ConfigError, match="was begun with another base: epochs = 1 rather than epochs = 2; give"):
        Tuner(plan(tmp_path, epochs=2), None)
    with pytest.raises(ConfigError, match="another space"):
        Tuner(plan(tmp_path, search=["learning_rate=0.001..1,log"]), None)
    with pytest.raises(ConfigError, match="another method"):
        Tuner(plan(tmp_path, sampler="cmaes"), None)


@pytest.mark.parametrize("is_open", [False, True])
def test_a_line_that_a_full_disk_or_a_kill_cut_off_does_not_end_a_study(tmp_path, is_open):
    study = open_study(tmp_path)
    study.take(3)
    with (tmp_path / "journal.log").open("ab") as file:
        file.write(b'{"op_code":')
    study = study if is_open else open_study(tmp_path)
    assert study.take(3).number == 1
    assert states(open_study(tmp_path)) == {0: "running", 1: "running"}


@pytest.mark.parametrize(
    "url", ["sqlite:////proc/nowhere/study.db", "nosuchdatabase://host/name", "postgresql://me:secret@127.0.0.1:9/none"]
)
def test_a_storage_that_is_not_there_is_said_in_one_sentence_without_its_password(url):
    pytest.importorskip("sqlalchemy")
    with pytest.raises(MnistError) as error:
        studies.open_storage(url)
    assert str(error.value).startswith("the storage ")
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize("content", [b"no line of it\n", b"\xff\n", b"{\n{\n"])
def test_a_damaged_journal_is_said_in_one_sentence(tmp_path, content):
    open_study(tmp_path)
    with (tmp_path / "journal.log").open("ab") as file:
        file.write(content)
    with pytest.raises(MnistError, match=r"^the storage .*journal.log cannot be used: "):
        Tuner(plan(tmp_path), None)


@pytest.mark.parametrize("content", [b"a note", b"PK\x03\x04 a checkpoint", b"one line\n"])
def test_a_file_that_is_no_journal_is_refused_and_left_as_it_was(tmp_path, content):
    (tmp_path / "journal.log").write_bytes(content)
    with pytest.raises(MnistError, match=r"^the storage .*journal.log cannot be used: it is not a journal of Optuna"):
        Tuner(plan(tmp_path), None)
    assert (tmp_path / "journal.log").read_bytes() == content


@pytest.mark.parametrize(
    ("pruner", "epochs", "rungs"),
    [("halving", 1, [1]), ("halving", 10, [1, 3, 9, 10]), ("hyperband", 40, [4, 12, 36, 40]), ("none", 40, [40])],
)
def test_trials_are_compared_after_a_ninth_and_a_third_of_the_epochs(pruner, epochs, rungs):
    assert studies.rungs(pruner, epochs) == rungs


def test_the_lock_of_a_journal_is_released_when_its_process_is_killed(tmp_path):
    (tmp_path / "journal.log").touch()
    code = (
        "import os, sys; from pathlib import Path; from mnist_cli.tuning.studies import JournalLock\n"
        "JournalLock(Path(sys.argv[1])).acquire(); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "journal.log"], check=False)
    waiting = studies.JournalLock(tmp_path / "journal.log")
    assert waiting.acquire()
    waiting.release()
