import pytest

from mnist_cli.results import EpochResult
from mnist_cli.training import early_stopping


def results_with(losses):
    return [EpochResult(epoch, 0.0, 0.0, 0.0, 0.0, 0.0, loss) for epoch, loss in enumerate(losses, start=1)]


@pytest.mark.parametrize(
    ("losses", "last_is_best", "is_due"),
    [
        ([3.0], True, False),
        ([3.0, 2.0], True, False),
        ([2.0, 3.0], False, False),
        ([2.0, 3.0, 2.5], False, True),
        ([2.0, 3.0, 1.0], True, False),
        ([2.0, 2.0], False, False),
    ],
)
def test_a_run_stops_after_so_many_epochs_without_a_better_one(losses, last_is_best, is_due):
    results = results_with(losses)
    assert (early_stopping.best_of(results) is results[-1]) is last_is_best
    assert early_stopping.is_due(results, patience=2) is is_due
    assert early_stopping.is_due(results, patience=0) is False


def test_without_held_out_images_no_epoch_is_best_and_none_is_the_last():
    assert early_stopping.best_of(results_with([None])) is None
    assert early_stopping.is_due(results_with([None] * 9), patience=2) is False
    assert early_stopping.is_due([], patience=2) is False
