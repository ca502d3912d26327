"""Aggregates over a matrix of scores [runs, tasks] (rliable, arXiv:2108.13264v4 section 4).

The tasks are the ones of interest, so that intervals are over runs: each task's runs are drawn
apart (stratified bootstrap). Problems of one test set are a sample; their intervals are those of
`reports.statistics`.
"""

from dataclasses import dataclass

import numpy as np

from bakeoff.errors import ConfigError
from reports.intervals import FloatArray
from reports.statistics import LEVEL, RESAMPLES, Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class PerformanceProfile:
    """The share of scores above each threshold, with pointwise 95 % intervals."""

    thresholds: FloatArray  # [T]
    shares: FloatArray  # [T]
    low: FloatArray  # [T]
    high: FloatArray  # [T]


def interquartile_mean(scores: FloatArray) -> float:
    """The mean of the middle half of all scores; a quarter, rounded down, is cut at either end.

    Args:
        scores: [runs, tasks], every cell finite.

    Raises:
        ConfigError: a score is missing, or there is none.
    """
    return float(_interquartile_means(_complete(scores)[None])[0])


def interquartile_mean_interval(
    scores: FloatArray, *, rng: np.random.Generator, resamples: int = RESAMPLES
) -> Interval:
    """The interquartile mean with its 95 % percentile interval over runs.

    Args:
        scores: [runs, tasks], every cell finite; tasks on one scale.
        rng: source of the resamples.
        resamples: number of them.

    Raises:
        ConfigError: a score is missing, or there is none.
    """
    means = _interquartile_means(_stratified(_complete(scores), rng=rng, resamples=resamples))
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(mean=interquartile_mean(scores), low=float(low), high=float(high))


def performance_profile(
    scores: FloatArray,
    thresholds: FloatArray,
    *,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> PerformanceProfile:
    """The share of runs x tasks with a score above each threshold (arXiv:2108.13264v4 eq. 1).

    Args:
        scores: [runs, tasks], every cell finite; tasks on one scale.
        thresholds: [T].
        rng: source of the resamples.
        resamples: number of them.

    Raises:
        ConfigError: a score is missing, or there is none.
    """
    drawn = _stratified(_complete(scores), rng=rng, resamples=resamples)
    # A threshold at a time: all at once would hold thresholds x resamples x scores.
    shares = np.array([(drawn > threshold).mean(axis=(1, 2)) for threshold in thresholds])
    low, high = np.quantile(shares, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
    return PerformanceProfile(
        thresholds=thresholds,
        shares=np.array([(scores > threshold).mean() for threshold in thresholds]),
        low=low,
        high=high,
    )


def _interquartile_means(scores: FloatArray) -> FloatArray:
    """[B] of [B, runs, tasks]."""
    ordered = np.sort(scores.reshape(len(scores), -1), axis=1)
    cut = ordered.shape[1] // 4
    return np.asarray(ordered[:, cut : ordered.shape[1] - cut].mean(axis=1), dtype=np.float64)


def _stratified(scores: FloatArray, *, rng: np.random.Generator, resamples: int) -> FloatArray:
    """[B, runs, tasks] with the runs of every task drawn with replacement."""
    runs, tasks = scores.shape
    draws = rng.integers(runs, size=(resamples, runs, tasks))
    return np.take_along_axis(scores[None], draws, axis=1)


def _complete(scores: FloatArray) -> FloatArray:
    if scores.ndim != 2 or scores.size == 0 or not np.isfinite(scores).all():
        missing = int((~np.isfinite(scores)).sum())
        raise ConfigError(
            f"scores of shape {scores.shape} with {missing} missing; expected [runs, tasks] with "
            "every cell: leave out the runs or tasks that lack one"
        )
    return scores
