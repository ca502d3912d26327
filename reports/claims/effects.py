"""Differences with the intervals and tests that verdicts rest on."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reports.claims.scores import Scores
from reports.seed_statistics import seed_interval, seed_p_value
from reports.statistics import Interval, holm, mean_interval, paired_p_value

POINTS = "points"


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
    values = tuple(by_seed.values())
    return Effect(
        name=name,
        unit=unit,
        interval=seed_interval(values),
        p_of=lambda mean: seed_p_value(values, mean),
        p_value_holm=seed_p_value(values, 0.0),
        policies=tuple(policies),
        seeds=tuple(by_seed),
    )


def holm_adjusted(effects: Sequence[Effect]) -> tuple[Effect, ...]:
    """The effects as one family: their p values adjusted for each other."""
    adjusted = holm([effect.p_of(0.0) for effect in effects])
    return tuple(replace(e, p_value_holm=p) for e, p in zip(effects, adjusted, strict=True))
