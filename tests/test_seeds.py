import pytest

from mnist_cli.evaluation.seeds import Sample, welch


def test_a_sample_has_mean_deviation_and_the_interval_of_student():
    sample = Sample([0.97, 0.98, 0.99])
    assert sample.mean == pytest.approx(0.98)
    assert sample.deviation == pytest.approx(0.01)
    # The quantile of t with 2 degrees of freedom is 4.3027 (any table), so the half width is 4.3027 * 0.01 / sqrt(3).
    assert sample.interval() == pytest.approx((0.98 - 0.024841, 0.98 + 0.024841), abs=1e-6)
    assert sample.describe() == "98.00 % ± 1.00 (standard deviation), 95 % interval of the mean 95.52 % to 100.48 %"


def test_a_single_run_has_no_deviation():
    assert (Sample([0.9]).deviation, Sample([0.9]).interval()) == (None, None)
    assert Sample([0.9]).describe() == "90.00 %"


def test_two_samples_are_compared_by_welchs_test():
    # Equal variances of 0.0001: t = -0.03 / sqrt(2 * 0.0001 / 3) = -3.674, with 4 degrees of freedom.
    one, other = Sample([0.97, 0.98, 0.99]), Sample([1.00, 1.01, 1.02])
    assert welch(one, other) == pytest.approx(0.0213, abs=1e-4)
    assert welch(one, one) == 1
    assert welch(one, Sample([0.9])) is None
    assert welch(Sample([0.9, 0.9]), Sample([0.9, 0.9])) == 1
    assert welch(Sample([0.9, 0.9]), Sample([0.8, 0.8])) == 0
