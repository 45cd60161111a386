import pytest

from mnist_cli.exporting.comparison import Comparison


@pytest.mark.parametrize(
    ("different", "distance", "accuracy", "is_same", "is_as_good"),
    [
        (0, 1e-4, 0.99, True, True),
        (0, 2e-4, 0.99, False, True),
        (1, 1e-5, 0.9901, False, True),
        (12, 0.5, 0.9889, False, False),
    ],
)
def test_an_export_is_compared_by_predictions_logits_and_accuracy(different, distance, accuracy, is_same, is_as_good):
    found = Comparison(10_000, distance, different, accuracy, accuracy_before=0.99)
    assert (found.is_same, found.is_as_good) == (is_same, is_as_good)
