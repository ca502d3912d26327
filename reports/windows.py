"""What two methods do early and late in the budget, from learning curves of the same seeds.

S seeds, E evaluations, P problems. Intervals over seeds are Student's t of the S numbers.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from bakeoff.errors import BakeoffError
from reports.statistics import LEVEL, FloatArray, Interval, mean_interval

EARLY = (0.0, 1 / 3)  # shares of the budget, both ends included
LATE = (2 / 3, 1.0)
LAST_HALF = (0.5, 1.0)
_ROUNDING = 1e-9
# An evaluation comes after the batch that reaches its moment, so that it lies a little past it.
_OVERSHOOT = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class OverSeeds:
    """A number of every seed, and its mean with the 95 % interval over seeds."""

    by_seed: tuple[float, ...]
    interval: Interval


def window_difference(
    a: FloatArray, b: FloatArray, *, shares: FloatArray, window: tuple[float, float]
) -> OverSeeds:
    """Mean accuracy of a minus that of b over the evaluations in a window, paired by seed.

    Args:
        a: [S, E].
        b: [S, E], of the same seeds at the same shares.
        shares: [E] share of the budget that was spent, 0 to 1.
        window: first and last share, e.g. `EARLY` or `LATE`.

    Raises:
        BakeoffError: fewer than 2 seeds, no evaluation in the window, or a score that is missing.
    """
    differences = _paired(a, b, shares=shares)
    if differences.ndim != 2:
        raise BakeoffError(f"curves must be [seeds, evaluations], got {differences.ndim} axes")
    return _over_seeds(_finite(differences[:, _inside(shares, window, least=1)]).mean(axis=1))


def window_difference_over_problems(
    a: FloatArray,
    b: FloatArray,
    *,
    shares: FloatArray,
    window: tuple[float, float],
    rng: np.random.Generator,
) -> Interval:
    """The difference of `window_difference`, with a bootstrap interval over seeds and problems.

    Args:
        a: [S, E, P]; NaN where there is no verdict, and left out of its problem's mean.
        b: [S, E, P], of the same seeds and problems at the same shares.
        shares: [E] share of the budget that was spent, 0 to 1.
        window: first and last share, e.g. `EARLY` or `LATE`.
        rng: source of the resamples.

    Raises:
        BakeoffError: no evaluation in the window, or no score in it.
    """
    differences = _paired(a, b, shares=shares)
    if differences.ndim != 3:
        raise BakeoffError(
            f"scores must be [seeds, evaluations, problems], got {differences.ndim} axes"
        )
    chosen = differences[:, _inside(shares, window, least=1)]
    known = np.isfinite(chosen)
    counts = known.sum(axis=1)
    means = np.where(known, chosen, 0.0).sum(axis=1) / np.where(counts > 0, counts, np.nan)
    return mean_interval(means, rng=rng)  # [S, P]


def late_slope(curves: FloatArray, *, shares: FloatArray) -> OverSeeds:
    """Least-squares slope of each seed's accuracy over the last half, per whole budget.

    Args:
        curves: [S, E].
        shares: [E] share of the budget that was spent, 0 to 1.

    Raises:
        BakeoffError: fewer than 2 seeds, fewer than 2 shares in the last half, or a missing score.
    """
    if curves.ndim != 2 or curves.shape[1] != len(shares):
        raise BakeoffError(f"curves {curves.shape} must be [seeds, {len(shares)} shares]")
    inside = _inside(shares, LAST_HALF, least=2)
    return _over_seeds(np.polyfit(shares[inside], _finite(curves[:, inside]).T, 1)[0])


def _paired(a: FloatArray, b: FloatArray, *, shares: FloatArray) -> FloatArray:
    if a.shape != b.shape or a.ndim < 2 or a.shape[1] != len(shares):
        raise BakeoffError(
            f"scores {a.shape} and {b.shape} at {len(shares)} shares of the budget do not pair; "
            "take the same seeds, evaluations and problems of both methods"
        )
    return np.asarray(a - b, dtype=np.float64)


def _inside(
    shares: FloatArray, window: tuple[float, float], *, least: int
) -> npt.NDArray[np.bool_]:
    low, high = window
    inside = (shares >= low - _ROUNDING) & (shares <= high + _OVERSHOOT)
    found = len(np.unique(shares[inside]))
    if found < least:
        raise BakeoffError(
            f"{found} evaluations between {low:.0%} and {high:.0%} of the budget, {least} needed; "
            "set more evaluations"
        )
    return inside


def _finite(scores: FloatArray) -> FloatArray:
    if not np.isfinite(scores).all():
        raise BakeoffError("a curve has an evaluation without a score; leave its seed out")
    return scores


def _over_seeds(values: FloatArray) -> OverSeeds:
    seeds = len(values)
    if seeds < 2:
        raise BakeoffError(f"an interval over seeds needs 2 or more, got {seeds}; run more seeds")
    mean = float(values.mean())
    half = float(stats.t.ppf((1 + LEVEL) / 2, seeds - 1) * values.std(ddof=1) / np.sqrt(seeds))
    return OverSeeds(
        by_seed=tuple(map(float, values)),
        interval=Interval(mean=mean, low=mean - half, high=mean + half),
    )
