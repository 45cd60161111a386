import pytest

from mnist_cli.results import Evaluation, p_value, percent


def test_the_interval_is_wilsons():
    # Worked by hand from Wilson (1927): 20 of 100 wrong, z = 1.96.
    low, high = Evaluation(loss=0, errors=20, images=100).interval()
    assert (low, high) == (pytest.approx(0.7112, abs=1e-4), pytest.approx(0.8666, abs=1e-4))


def test_the_interval_of_a_flawless_model_ends_at_one():
    low, high = Evaluation(loss=0, errors=0, images=10_000).interval()
    assert high == pytest.approx(1)
    assert low == pytest.approx(0.99962, abs=1e-5)


def test_percent_has_a_space():
    assert percent(0.98765) == "98.77 %"
    assert percent(0.98765, 1) == "98.8 %"


@pytest.mark.parametrize(
    ("probability", "text"), [(0.5, "0.5"), (0.0123, "0.012"), (1e-4, "0.0001"), (9e-5, "< 0.0001")]
)
def test_a_small_p_value_is_shown_as_a_bound(probability, text):
    assert p_value(probability) == text
