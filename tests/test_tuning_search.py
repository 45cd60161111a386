import pytest
from searching import Pretending, plan, score

pytest.importorskip("optuna")

from mnist_cli import config
from mnist_cli.errors import DivergenceError, MnistError
from mnist_cli.tuning import tuner
from mnist_cli.tuning.search import MAX_STARTS
from mnist_cli.tuning.tuner import Tuner


def searched(plan, pool):
    tuning = Tuner(plan, pool)
    tuning.search(lambda study: None)
    return tuning.study.records()


def configured(record, tmp_path):
    (tmp_path / "trial.toml").write_text(record.config)
    return config.resolve(None, tmp_path / "trial.toml", {})


def test_what_was_proposed_is_what_was_trained_and_recorded(tmp_path):
    pool = Pretending()
    records = searched(plan(tmp_path, search=["learning_rate=0.001..0.1,log", "batch_size=32,64"]), pool)
    assert [record.number for record in records] == list(range(6))
    assert len({record.values["learning_rate"] for record in records}) == 6
    for record, part in zip(records, pool.parts, strict=True):
        assert configured(record, tmp_path) == part.config
        assert part.config.learning_rate == record.values["learning_rate"]
        assert str(part.config.batch_size) == record.values["batch_size"]
        assert record.scores == {1: pytest.approx(score(part.config, 1))}
        assert (part.config.threads, part.config.holdout, part.on_val) == (1, tuner.HOLDOUT, False)


def test_the_base_is_the_first_trial(tmp_path):
    first, *_ = searched(plan(tmp_path), Pretending())
    assert configured(first, tmp_path) == plan(tmp_path).base


def test_trials_behind_the_others_are_stopped_after_a_rung_and_go_on_from_their_state(tmp_path):
    pool = Pretending()
    records = searched(plan(tmp_path, epochs=9, trials=12), pool)
    assert {record.state for record in records} == {"complete", "pruned"}
    for record in records:
        assert max(record.scores) == 9 if record.state == "complete" else max(record.scores) in {1, 3}
    later = [part for part in pool.parts if part.until > 1]
    assert later
    assert all(part.state == b"state" and len(part.results) in {1, 3} for part in later)


@pytest.mark.parametrize("method", [{"pruner": "hyperband"}, {"pruner": "none"}, {"sampler": "cmaes"}])
def test_every_method_searches(tmp_path, method):
    if method == {"sampler": "cmaes"}:
        pytest.importorskip("cmaes")
    records = searched(plan(tmp_path, epochs=9, trials=8, **method), Pretending())
    assert len(records) == 8
    assert any(record.state == "complete" for record in records)


def test_a_search_is_repeated_by_its_seed_and_another_seed_is_another_search(tmp_path):
    for folder in ("one", "other", "third"):
        (tmp_path / folder).mkdir()
    one = searched(plan(tmp_path / "one"), Pretending())
    assert [it.values for it in searched(plan(tmp_path / "other"), Pretending())] == [it.values for it in one]
    assert searched(plan(tmp_path / "third", seed=1), Pretending())[3].values != one[3].values


def test_a_search_goes_on_and_a_larger_number_makes_it_longer(tmp_path):
    assert len(searched(plan(tmp_path, trials=2), Pretending())) == 2
    again = Pretending()
    assert len(searched(plan(tmp_path, trials=5), again)) == 5
    assert len(again.parts) == 3


def test_a_trial_whose_process_was_killed_is_begun_again_and_counted_once(tmp_path):
    pool = Pretending(lose=2)
    records = searched(plan(tmp_path, trials=2), pool)
    assert [record.state for record in records] == ["complete", "complete"]
    assert [part.config for part in pool.parts] == [pool.parts[0].config] * 3 + [pool.parts[3].config]


def test_a_trial_whose_process_is_killed_again_and_again_fails(tmp_path):
    (first, second) = searched(plan(tmp_path, trials=2), Pretending(lose=MAX_STARTS))
    assert (first.state, second.state) == ("failed", "complete")
    assert "its process was ended 5 times" in first.reason


@pytest.mark.parametrize(
    "error", [DivergenceError("the loss became nan"), MemoryError("no memory"), RuntimeError("no")]
)
def test_a_trial_that_cannot_be_trained_fails_and_the_search_goes_on(tmp_path, error):
    records = searched(plan(tmp_path, trials=3), Pretending(raising=error))
    assert [(record.state, record.reason) for record in records] == [("failed", str(error))] * 3
    with pytest.raises(MnistError, match="no trial was trained to its end; the last one failed: "):
        tuner.finalists(plan(tmp_path), records)


def test_a_bug_ends_the_search_and_its_trial_is_run_again(tmp_path):
    with pytest.raises(ZeroDivisionError):
        searched(plan(tmp_path), Pretending(raising=ZeroDivisionError()))
    assert len(searched(plan(tmp_path), Pretending())) == 6


def test_a_stopped_search_puts_its_trials_back(tmp_path):
    tuning = Tuner(plan(tmp_path), Pretending())

    def stop(study):
        if len(study.records()) == 3:
            tuning.stop()

    tuning.search(stop)
    assert len(tuning.study.records()) < 6
    assert {record.state for record in tuning.study.records()} == {"complete"}
    assert len(searched(plan(tmp_path), Pretending())) == 6


def test_after_the_time_no_trial_is_begun(tmp_path):
    assert searched(plan(tmp_path, minutes=0.0, trials=float("inf")), Pretending()) == []
    assert len(searched(plan(tmp_path, minutes=0.002, trials=float("inf")), Pretending())) >= 1


def test_a_combination_that_cannot_be_trained_fails_alone(tmp_path):
    searched_for = ["model=mlp,linear", "hidden=9000,9000,9000/8"]
    records = searched(plan(tmp_path, search=searched_for, trials=12), Pretending())
    assert {record.state for record in records} == {"complete", "failed"}
    assert all("weights between its layers" in record.reason for record in records if record.state == "failed")
    assert all("hidden" not in record.values for record in records if record.values["model"] == "linear")
