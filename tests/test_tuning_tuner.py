from dataclasses import replace

import pytest
from searching import Pretending, plan

pytest.importorskip("optuna")

from mnist_cli.tuning import tuner
from mnist_cli.tuning.tuner import FRESH_SEEDS, HOLDOUT, Finalist, Tuner


def trained_again(plan, pool=None):
    tuning = Tuner(plan, pool or Pretending())
    tuning.search(lambda study: None)
    chosen = tuner.finalists(plan, tuning.study.records())
    return tuning, chosen, tuning.train_again(chosen, lambda study: None)


def test_the_best_three_and_the_base_are_trained_with_fresh_seeds_and_on_all_images(tmp_path):
    pool = Pretending()
    tuning, chosen, finalists = trained_again(plan(tmp_path, trials=8), pool)
    scores = sorted((record.score for record in tuning.study.records()), reverse=True)
    assert [one.search_score for one in chosen][:3] == scores[:3]
    assert sum(one.is_base for one in chosen) == 1
    again = pool.parts[8:]
    assert len(again) == 2 * FRESH_SEEDS * len(chosen)
    assert {part.config.seed for part in again} == {1, 2, 3}
    assert {(part.on_val, part.config.holdout) for part in again} == {(False, HOLDOUT), (True, 0)}
    assert all(len(one.held_out) == len(one.val) == FRESH_SEEDS for one in finalists)


def test_the_base_is_trained_again_too_when_it_is_not_in_the_space(tmp_path):
    away = plan(tmp_path, search=["learning_rate=0.02..0.1,log"])
    _, chosen, finalists = trained_again(away)
    (base,) = [one for one in chosen if one.is_base]
    assert (base.number, base.search_score, base.config) == (None, None, away.base)
    assert finalists[0].is_base  # at 0.005 the pretended score is higher than anywhere in the space


def test_the_best_with_fresh_seeds_comes_first_and_the_val_images_choose_nothing(tmp_path):
    _, _, finalists = trained_again(plan(tmp_path, trials=8))
    fresh = [one.fresh_score for one in finalists]
    assert fresh == sorted(fresh, reverse=True)


def test_finalists_are_trained_once_however_often_the_search_is_taken_up(tmp_path):
    trained_again(plan(tmp_path))
    pool = Pretending()
    _, _, finalists = trained_again(plan(tmp_path), pool)
    assert pool.parts == []
    assert all(one.val for one in finalists)


def test_the_configuration_to_use_is_the_best_with_seed_threads_and_held_out_images_of_the_base(tmp_path):
    wanted = plan(tmp_path)
    _, _, finalists = trained_again(wanted)
    best, own = tuner.best_config(wanted, finalists[0]), wanted.resolve({})
    assert best.learning_rate == finalists[0].config.learning_rate
    assert (best.seed, best.threads, best.holdout) == (own.seed, own.threads, own.holdout) == (0, 0, 0)


def test_a_small_data_set_holds_out_fewer_images(tmp_path):
    assert [tuner.held_out_of(images) for images in (5, 240, 60_000, 600_000)] == [0, 40, HOLDOUT, HOLDOUT]
    small = replace(plan(tmp_path), holdout=40)
    assert (small.base.holdout, tuner.best_config(small, Finalist(small.base, True)).holdout) == (40, 0)


def test_the_same_search_has_the_same_name_and_another_one_another(tmp_path):
    def name(plan):
        return tuner.default_name(plan.resolve({}), plan.space, plan.sampler, plan.pruner)

    assert name(plan(tmp_path)) == name(plan(tmp_path, trials=99))
    others = [plan(tmp_path, epochs=2), plan(tmp_path, search=["dropout=0..0.5"][:0] or ["batch_size=32,64"])]
    assert len({name(plan(tmp_path)), *map(name, others)}) == 3
    assert name(plan(tmp_path)).startswith("tune-linear-")
