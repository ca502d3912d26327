"""Differences with the intervals and tests that verdicts rest on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from reports.claims.scores import Scores
from reports.statistics import LEVEL, FloatArray, Interval, holm, mean_interval, paired_p_value

POINTS = "points"
_ROUNDING = 1e-9  # seeds that differ by less are equal


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """A mean difference, its 95 % interval, and how likely it is under another true value."""

    name: str
    unit: str
    interval: Interval
    p_of: Callable[[float], float]  # two-sided p of "the true mean is this"
    p_value_holm: float  # of 0, over the comparisons that decide the same claim
    policies: tuple[str, ...]
    seeds: tuple[int, ...]  # empty: of data that no run of a method made
    margin: float = 0.0  # sizes below it are called none, where the claim is of none


def table_effect(
    name: str, scores: Scores, *, rng: np.random.Generator, margin: float = 0.0
) -> Effect:
    """The mean of a table of differences in points, over seeds and problems.

    Args:
        name: what the difference is of.
        scores: shares of 1.
        rng: of the bootstrap.
        margin: in points.
    """
    points = 100 * scores.values

    def p_of(mean: float) -> float:
        return paired_p_value(points - mean)

    return Effect(
        name=name,
        unit=POINTS,
        interval=mean_interval(points, rng=rng),
        p_of=p_of,
        p_value_holm=p_of(0.0),
        policies=scores.policies,
        seeds=scores.seeds,
        margin=margin,
    )


def seed_effect(
    name: str, by_seed: Mapping[int, float], *, unit: str, policies: Sequence[str]
) -> Effect:
    """The mean of one number a seed, with Student's t; one seed has no interval.

    Args:
        name: what the number is.
        by_seed: at least one.
        unit: of the numbers.
        policies: whose.
    """
    values = np.array(list(by_seed.values()), dtype=np.float64)
    return Effect(
        name=name,
        unit=unit,
        interval=_t_interval(values),
        p_of=lambda mean: _t_test(values, mean),
        p_value_holm=_t_test(values, 0.0),
        policies=tuple(policies),
        seeds=tuple(by_seed),
    )


def holm_adjusted(effects: Sequence[Effect]) -> tuple[Effect, ...]:
    """The effects as one family: their p values adjusted for each other."""
    adjusted = holm([effect.p_of(0.0) for effect in effects])
    return tuple(replace(e, p_value_holm=p) for e, p in zip(effects, adjusted, strict=True))


def _t_interval(values: FloatArray) -> Interval:
    mean, seeds = float(values.mean()), len(values)
    if seeds < 2:
        return Interval(mean=mean, low=-np.inf, high=np.inf)
    half = float(stats.t.ppf((1 + LEVEL) / 2, seeds - 1) * stats.sem(values))
    return Interval(mean=mean, low=mean - half, high=mean + half)


def _t_test(values: FloatArray, mean: float) -> float:
    seeds, off = len(values), abs(float(values.mean()) - mean)
    if seeds < 2:
        return 1.0
    error = float(stats.sem(values))
    if error <= _ROUNDING * max(1.0, abs(mean)):
        # Without any spread: the exact sign-flip test.
        return 1.0 if off <= _ROUNDING * max(1.0, abs(mean)) else 2.0 ** (1 - seeds)
    return float(2 * stats.t.sf(off / error, seeds - 1))
