"""Training metrics of whole runs: their ends, their growth, their slopes."""

from collections.abc import Mapping, Sequence

import numpy as np

from bakeoff.errors import BakeoffError
from reports.claims.effects import Effect, seed_effect
from reports.claims.evidence import Evidence
from reports.statistics import FloatArray

TENTH = 0.1  # of a run's batches


def metric_means(evidence: Evidence, arm: str, key: str, *, last: bool = True) -> dict[int, float]:
    """Seed -> mean of a training metric over the last tenth of the batches, or over the first.

    Raises:
        BakeoffError: the arm is missing, or recorded no such number there.
    """
    found = {}
    for seed, values in _series(evidence, arm, key).items():
        width = max(1, round(TENTH * len(values)))
        part = values[-width:] if last else values[:width]
        if np.isfinite(part).any():
            found[seed] = float(np.nanmean(part))
    if not found:
        raise BakeoffError(f"{arm} recorded no {key} in the {'last' if last else 'first'} tenth")
    return found


def metric_growth(evidence: Evidence, arm: str, key: str) -> dict[int, float]:
    """Seed -> mean over the last tenth of the batches minus that over the first."""
    first = metric_means(evidence, arm, key, last=False)
    last = metric_means(evidence, arm, key)
    return {seed: last[seed] - first[seed] for seed in last if seed in first}


def metric_slope(
    evidence: Evidence, arm: str, keys: Mapping[str, float], *, start: float
) -> dict[int, float]:
    """Seed -> least-squares slope of a weighted sum of training metrics, per whole run.

    Args:
        evidence: with the arm.
        arm: whose batches.
        keys: metric -> weight.
        start: share of the batches that are left out before.

    Raises:
        BakeoffError: the arm is missing, or recorded fewer than two such numbers.
    """
    series = {key: _series(evidence, arm, key) for key in keys}
    slopes = {}
    for seed in next(iter(series.values())):
        values = sum((w * series[key][seed] for key, w in keys.items()), start=np.zeros(1))
        shares = np.linspace(0, 1, len(values))
        used = np.isfinite(values) & (shares >= start)
        if used.sum() >= 2:
            slopes[seed] = float(np.polyfit(shares[used], values[used], 1)[0])
    if not slopes:
        raise BakeoffError(f"{arm} recorded too few numbers of {' and '.join(keys)} for a slope")
    return slopes


def metric_contrast(
    name: str, a: Mapping[int, float], b: Mapping[int, float], *, unit: str, policies: Sequence[str]
) -> Effect:
    """The difference a minus b over the seeds that both have.

    Raises:
        BakeoffError: they share no seed.
    """
    shared = {seed: a[seed] - b[seed] for seed in a if seed in b}
    if not shared:
        raise BakeoffError(f"{', '.join(policies)} share no seed; run the missing cells")
    return seed_effect(name, shared, unit=unit, policies=policies)


def every_batch(evidence: Evidence, arm: str, key: str) -> FloatArray:
    """A training metric in all batches of all seeds that recorded it.

    Raises:
        BakeoffError: the arm is missing, or recorded none.
    """
    values = np.concatenate(list(_series(evidence, arm, key).values()))
    known = np.isfinite(values)
    if not known.any():
        raise BakeoffError(f"{arm} recorded no {key}")
    return np.asarray(values[known], dtype=np.float64)


def _series(evidence: Evidence, arm: str, key: str) -> dict[int, FloatArray]:
    return {cell.seed: cell.metrics[key] for cell in evidence.cells(arm)}
