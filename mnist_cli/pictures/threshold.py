"""The grey levels that separate ink from paper, or from two kinds of paper."""

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


def otsu_thresholds(counts: NDArray[np.int64]) -> tuple[int, int, float]:
    """Return Otsu's two thresholds of a histogram of 256 levels, and the fraction of the variance that is between the classes.

    The levels of the first class are below the first threshold, those of the second below the second.
    """
    number, total = (np.concatenate([[0.0], values.cumsum()]) for values in (counts, counts * np.arange(256)))
    # Of a class from each level to each, the square of the sum of its levels by the number of its pixels.
    pixels = number - number[:, None]
    share = np.square(total - total[:, None]) / np.where(pixels > 0, pixels, np.inf)
    three = share[0][:, None] + share + share[:, -1]
    low, high = divmod(int(np.triu(three).argmax()), 257)
    mean = total[-1] / number[-1]
    variance = float((counts * np.square(np.arange(256) - mean)).sum())
    return low, high, float(three[low, high] - number[-1] * mean**2) / max(variance, 1e-9)
