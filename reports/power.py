"""What a paired comparison of the seeds and problems at hand could have found. S seeds, P problems.

Planned with the estimates of `reports.intervals`; with few seeds their variance is itself hardly
known, so every number here is "about".
"""

from math import sqrt

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammaincinv, ndtr

from bakeoff.errors import ConfigError
from reports.intervals import (
    FloatArray,
    MeanSquares,
    half_width,
    mean_error,
    mean_squares,
)

LEVEL = 0.95
POWER = 0.8
MOST_SEEDS = 1000
SEED_QUANTILES, PROBLEM_QUANTILES = 64, 8


def minimum_detectable_difference(differences: FloatArray, *, power: float = POWER) -> float:
    """The smallest true mean difference found with this power at 5 %, two-sided, by as many runs.

    0 where all differences are the same number. With one seed it is that of these very runs on
    other problems.

    Args:
        differences: [S, P]; NaN where one of the two has no score.
        power: above 0.05, below 1.

    Raises:
        ConfigError: fewer than 2 problems.
    """
    squares = _squares(differences)
    return _detectable_with(squares, squares.seeds, power)


def seeds_needed(differences: FloatArray, *, power: float = POWER) -> int | None:
    """The least number of seeds, 2 to 1000, that would find a true difference of the observed size.

    None where no such number would, where the observed difference is 0, and with one seed, which
    does not say how much runs differ.

    Args:
        differences: [S, P]; NaN where one of the two has no score.
        power: above 0.05, below 1.

    Raises:
        ConfigError: fewer than 2 problems.
    """
    squares = _squares(differences)
    size = abs(float(np.nanmean(differences)))
    if squares.seeds < 2 or size == 0 or _detectable_with(squares, MOST_SEEDS, power) > size:
        return None
    fewest, most = 2, MOST_SEEDS
    while fewest < most:
        middle = (fewest + most) // 2
        if _detectable_with(squares, middle, power) <= size:
            most = middle
        else:
            fewest = middle + 1
    return fewest


def _squares(differences: FloatArray) -> MeanSquares:
    problems = int(np.isfinite(differences).any(axis=0).sum())
    if problems < 2:
        raise ConfigError(
            f"the power of a comparison needs 2 or more shared problems, got {problems}; "
            "evaluate both methods on the same problems"
        )
    return mean_squares(differences)


def _detectable_with(squares: MeanSquares, seeds: int, power: float) -> float:
    """The detectable difference if the same effects were seen through this number of seeds.

    The half width that a difference must exceed is itself random: it is averaged over quantiles of
    the mean squares, those of the noise held at their mean for their many degrees of freedom. A
    noncentral t would know one variance only, and scipy's has no value for 1 degree of freedom.
    """
    problems, noise = squares.problems, squares.noise
    seed = max(squares.seed - noise, 0.0) + noise if seeds > 1 else 0.0
    problem = max(squares.problem - noise, 0.0) * seeds / squares.seeds + noise
    variance = (max(seed - noise, 0.0) + problem) / (seeds * problems)
    if variance == 0:
        return 0.0
    half_widths = np.array(
        [
            half_width(
                mean_error(
                    MeanSquares(
                        seed=seed * seed_draw,
                        problem=problem * problem_draw,
                        noise=noise,
                        seeds=seeds,
                        problems=problems,
                        cells=seeds * problems,
                    )
                ),
                level=LEVEL,
            )
            for seed_draw in _quantiles(seeds - 1, SEED_QUANTILES)
            for problem_draw in _quantiles(problems - 1, PROBLEM_QUANTILES)
        ]
    ) / sqrt(variance)

    def missing(size: float) -> float:
        return float((ndtr(size - half_widths) + ndtr(-size - half_widths)).mean()) - power

    return sqrt(variance) * brentq(missing, 0.0, float(half_widths.max()) + 10.0)


def _quantiles(freedom: int, number: int) -> FloatArray:
    """Equally likely values of a mean square whose expectation is 1."""
    if freedom == 0:
        return np.ones(1)
    middles = (np.arange(number) + 0.5) / number
    return np.asarray(2 * gammaincinv(freedom / 2, middles) / freedom, dtype=np.float64)
