"""Spending until a target accuracy is reached, and its profile over methods.

After AlgoPerf (arXiv:2306.07179v1 section 4): targets are fixed beforehand for all methods, a miss
is infinite, and a method's time counts against the best method's on the same runs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bakeoff.errors import ConfigError
from reports.intervals import FloatArray

SHARES = (0.5, 0.75, 0.9)
MOST_TIMES_THE_BEST = 4.0  # AlgoPerf's r_max: a method that needs more counts as a miss


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetProfile:
    """How many of a method's runs reach the target within so many times the best's spending."""

    factors: FloatArray  # [F] times the best, 1 and above
    shares: FloatArray  # [M, F] of the method's runs
    scores: FloatArray  # [M] mean share over factors 1 to 4, from 0 to 1


def targets(start: float, best: float, *, shares: Sequence[float] = SHARES) -> tuple[float, ...]:
    """The accuracies at some shares of the way from the start to the best end.

    Args:
        start: accuracy of the common starting policy.
        best: highest end of the methods compared, above the start.
        shares: above 0, up to 1.

    Raises:
        ConfigError: no method ends above the start.
    """
    if not best > start:
        raise ConfigError(
            f"best end {best:g} is not above the start {start:g}; there is no way on which to set "
            "targets: report final accuracies alone"
        )
    return tuple(start + share * (best - start) for share in shares)


def time_to_target(spent: FloatArray, accuracy: FloatArray, *, target: float) -> float:
    """The spending at which a run first reaches the target, or infinity.

    Between two evaluations the accuracy is taken to be linear in the spending. Evaluations without
    a score are left out.

    Args:
        spent: [E] increasing; 0 first where the start is known.
        accuracy: [E], NaN where missing.
        target: accuracy.

    Raises:
        ConfigError: spending that does not increase, or of another length.
    """
    if spent.shape != accuracy.shape or spent.ndim != 1 or not (np.diff(spent) > 0).all():
        raise ConfigError(
            f"spending {spent.shape} of accuracies {accuracy.shape} must be one increasing number "
            "per evaluation; sort the evaluations and drop repeated ones"
        )
    known = np.isfinite(accuracy)
    spent, accuracy = spent[known], accuracy[known]
    reached = np.flatnonzero(accuracy >= target)
    if len(reached) == 0:
        return float("inf")
    first = int(reached[0])
    if first == 0:
        return float(spent[0])
    before, after = accuracy[first - 1], accuracy[first]
    share = (target - before) / (after - before)
    return float(spent[first - 1] + share * (spent[first] - spent[first - 1]))


def time_to_target_profile(times: FloatArray, *, factors: FloatArray) -> TargetProfile:
    """The shares of runs within a factor of the best method's spending (AlgoPerf's profile).

    The best method is found run by run, since a run's seed and target are the same for all methods.
    A run that no method brings to the target is a miss of all.

    Args:
        times: [M, R] of methods and runs (a seed at a target); infinite where missed, NaN where a
            method has no such run, which then does not count for it.
        factors: [F] at which the profile is wanted, 1 or more.

    Raises:
        ConfigError: a method without runs, a spending of 0 or less, or a factor below 1.
    """
    present = ~np.isnan(times)
    if times.ndim != 2 or not present.any(axis=1).all():
        raise ConfigError(
            f"times of shape {times.shape} hold a method without runs; expected [methods, runs]: "
            "leave that method out"
        )
    if (times[present] <= 0).any() or (factors < 1).any():
        raise ConfigError(
            "a spending of 0 or a factor below 1 has no place in ratios; set targets above the "
            "start and factors of 1 or more"
        )
    best = np.where(present, times, np.inf).min(axis=0)
    # The best of none is infinite: inf / inf would be NaN, a miss that no factor finds anyway.
    ratios = np.where(np.isfinite(times), times, np.inf) / np.where(np.isfinite(best), best, 1.0)
    runs = present.sum(axis=1)
    within = ratios[:, :, None] <= factors
    # The area under the step function from 1 to r_max: each run adds what is left from its ratio.
    left = np.clip(MOST_TIMES_THE_BEST - ratios, 0.0, None) / (MOST_TIMES_THE_BEST - 1)
    return TargetProfile(
        factors=factors, shares=within.sum(axis=1) / runs[:, None], scores=left.sum(axis=1) / runs
    )
