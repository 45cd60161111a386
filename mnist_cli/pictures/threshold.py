"""The grey level that separates ink from paper."""

import numpy as np
from numpy.typing import NDArray


def otsu_threshold(counts: NDArray[np.int64]) -> float:
    """Return Otsu's threshold, 0 to 256, of a histogram of 256 levels: the least variance within both classes.

    N. Otsu, "A threshold selection method from gray-level histograms", 1979.
    """
    levels = np.arange(256)
    below = counts.cumsum()
    above = below[-1] - below
    sum_below = (counts * levels).cumsum()
    with np.errstate(divide="ignore", invalid="ignore"):
        difference = sum_below / below - (sum_below[-1] - sum_below) / above
        between = below * above * difference**2
    between[np.isnan(between)] = 0
    return float(between.argmax()) + 0.5
