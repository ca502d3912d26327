"""Series over training: learning curves, curves over K, and what the metrics did by batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import convolve1d

from reports.evaluations import K_IN_CURVES, Evaluation
from reports.load import Cell, Study
from reports.metrics import (
    PRIMARY,
    SCORES,
    Score,
    majority_score,
    pass_score,
    problems_of,
    score_table,
)
from reports.statistics import FloatArray, Interval, share_interval

# Of points on the way and of bands, which are many: enough for a width that the eye reads.
CURVE_RESAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """A method's mean over seeds at one moment."""

    x: float
    interval: Interval


def learning_curve(
    study: Study, method: str, *, axis: str, rng: np.random.Generator
) -> tuple[Point, ...]:
    """pass@1 at every evaluation of a method against what it had spent, the start at 0 first.

    The i-th evaluations of all seeds make one point, at their mean spending.
    """
    cells = study.of(method)
    score = SCORES[PRIMARY]
    points = []
    start = [study.start[c.seed][study.split] for c in cells if _has_start(study, c.seed)]
    if start:
        points.append(_point(start, score, x=0.0, rng=rng))
    series = [cell.evaluations.get(study.split, ()) for cell in cells]
    interim = [[e for e in evaluations if not e.final] for evaluations in series]
    for moment in zip(*interim, strict=False):
        points.append(_point(moment, score, x=_spent(moment, axis), rng=rng))
    finals = [e for cell in cells if (e := cell.final(study.split))]
    if finals:
        points.append(_point(finals, score, x=_spent(finals, axis), rng=rng))
    return tuple(point for point in points if np.isfinite(point.interval.mean))


def over_k(
    evaluations: Sequence[Evaluation], *, kind: str, rng: np.random.Generator
) -> tuple[Point, ...]:
    """maj@K or pass@K (`kind` is "maj" or "pass") for every K that the samples allow."""
    problems = problems_of(evaluations)
    points = []
    for k in K_IN_CURVES:
        score = pass_score(k) if kind == "pass" else majority_score(k)
        values = score_table(evaluations, score, problems=problems)
        if np.isfinite(values).any():
            interval = share_interval(values, rng=rng, resamples=CURVE_RESAMPLES)
            points.append(Point(x=float(k), interval=interval))
    return tuple(points)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """A training metric by rollout batch."""

    batches: FloatArray  # [B]
    mean: FloatArray  # [B] over seeds
    low: FloatArray  # [B] lowest seed
    high: FloatArray  # [B] highest seed


def trace(cells: Sequence[Cell], key: str) -> Trace | None:
    """A metric over the batches that every seed reached; None where it was not recorded.

    A running mean over a thirtieth of the run, per seed, smooths long runs.

    Args:
        cells: loaded with the key.
        key: of metrics.jsonl.
    """
    batches, values = _by_batch([(cell.metrics["batch"], cell.metrics[key]) for cell in cells])
    keep = np.isfinite(values).any(axis=0)
    if not keep.any():
        return None
    values = _running_means(values[:, keep], max(1, int(keep.sum()) // 30))
    known = np.isfinite(values).any(axis=0)
    values = values[:, known]
    return Trace(
        batches=batches[keep][known],
        mean=np.nanmean(values, axis=0),
        low=np.nanmin(values, axis=0),
        high=np.nanmax(values, axis=0),
    )


def _by_batch(series: Sequence[tuple[FloatArray, FloatArray]]) -> tuple[FloatArray, FloatArray]:
    """[B] the batches that every series has, and [S, B] its values there."""
    if not series:
        return np.empty(0), np.empty((0, 0))
    batches = series[0][0]
    if all(np.array_equal(batches, other) for other, _ in series):
        return batches, np.array([values for _, values in series])
    by_batch = [dict(zip(*one, strict=True)) for one in series]
    shared = sorted(set.intersection(*(set(one) for one in by_batch)))
    return np.array(shared), np.array([[one[batch] for batch in shared] for one in by_batch])


def _has_start(study: Study, seed: int) -> bool:
    return study.split in study.start.get(seed, {})


def _spent(evaluations: Sequence[Evaluation], axis: str) -> float:
    return float(np.mean([evaluation.spent[axis] for evaluation in evaluations]))


def _point(
    evaluations: Sequence[Evaluation], score: Score, *, x: float, rng: np.random.Generator
) -> Point:
    values = score_table(evaluations, score, problems=problems_of(evaluations))
    if not np.isfinite(values).any():
        return Point(x=x, interval=Interval(mean=np.nan, low=np.nan, high=np.nan))
    return Point(x=x, interval=share_interval(values, rng=rng, resamples=CURVE_RESAMPLES))


def _running_means(values: FloatArray, width: int) -> FloatArray:
    """[S, B] means over a centred window of B; NaN only where the window holds no number."""
    window = np.ones(2 * (width // 2) + 1)
    if len(window) > values.shape[1]:
        return values
    known = np.isfinite(values)
    # Not a difference of running sums: one gradient norm of 1e20 would drown all that follows it.
    totals = convolve1d(np.where(known, values, 0.0), window, axis=1, mode="constant")
    counts = convolve1d(known.astype(np.float64), window, axis=1, mode="constant")
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)
