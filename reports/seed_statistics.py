"""The mean of one number a seed, by Student's t; one seed says nothing of other seeds."""

from collections.abc import Iterable

import numpy as np
from scipy import stats

from reports.statistics import LEVEL, Interval

_ROUNDING = 1e-9  # seeds that differ by less are equal


def seed_interval(values: Iterable[float]) -> Interval:
    """The mean with its 95 % interval, which has infinite ends with one seed."""
    found = np.array(list(values), dtype=np.float64)
    mean, seeds = float(found.mean()), len(found)
    if seeds < 2:
        return Interval(mean=mean, low=-np.inf, high=np.inf)
    half = float(stats.t.ppf((1 + LEVEL) / 2, seeds - 1) * stats.sem(found))
    return Interval(mean=mean, low=mean - half, high=mean + half)


def seed_p_value(values: Iterable[float], mean: float) -> float:
    """Two-sided p of "the true mean is this"; 1 with one seed."""
    found = np.array(list(values), dtype=np.float64)
    seeds, off = len(found), abs(float(found.mean()) - mean)
    if seeds < 2:
        return 1.0
    error = float(stats.sem(found))
    if error <= _ROUNDING * max(1.0, abs(mean)):
        # Without any spread: the exact sign-flip test.
        return 1.0 if off <= _ROUNDING * max(1.0, abs(mean)) else 2.0 ** (1 - seeds)
    return float(2 * stats.t.sf(off / error, seeds - 1))
