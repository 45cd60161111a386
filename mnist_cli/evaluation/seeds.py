"""How much a score depends on the random seed: a sample of runs that differ in nothing else, and two samples compared."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, stdev

from mnist_cli.results import percent


@dataclass(frozen=True)
class Sample:
    """The scores of runs that differ in their seeds alone, each from 0 to 1."""

    scores: Sequence[float]

    @property
    def mean(self) -> float:
        """Their mean."""
        return mean(self.scores)

    @property
    def deviation(self) -> float | None:
        """Their standard deviation, with n - 1 in the denominator; None of a single run."""
        return stdev(self.scores) if len(self.scores) > 1 else None

    def interval(self, confidence: float = 0.95) -> tuple[float, float] | None:
        """Return the interval of the mean by Student's t distribution; None of a single run.

        It takes the scores for independent and normally distributed, and holds for seeds, not for other images.
        """
        from scipy import stats  # slow to import

        if self.deviation is None:
            return None
        half_width = (
            stats.t.ppf((1 + confidence) / 2, len(self.scores) - 1) * self.deviation / math.sqrt(len(self.scores))
        )
        return self.mean - float(half_width), self.mean + float(half_width)

    def describe(self) -> str:
        """Return for example `98.31 % ± 0.05 (standard deviation), 95 % interval of the mean 98.24 % to 98.38 %`."""
        interval = self.interval()
        if self.deviation is None or interval is None:
            return percent(self.mean)
        low, high = interval
        return (
            f"{percent(self.mean)} ± {100 * self.deviation:.2f} (standard deviation), "
            f"95 % interval of the mean {percent(low)} to {percent(high)}"
        )


def welch(one: Sample, other: Sample) -> float | None:
    """Return the p-value of Welch's t-test (1947): how probable so large a difference is if only the seeds make it.

    None where a sample is a single run. Without any deviation it is 1 for equal means, else 0.
    """
    from scipy import stats

    if one.deviation is None or other.deviation is None:
        return None
    if one.deviation == other.deviation == 0:
        return float(one.mean == other.mean)
    return float(stats.ttest_ind(one.scores, other.scores, equal_var=False).pvalue)
