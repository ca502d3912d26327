"""How long the runs of a study took to reach accuracies on the way to the best end."""

from dataclasses import dataclass

import numpy as np

from reports.comparison import Comparison
from reports.load import Cell, Study
from reports.metrics import PRIMARY, SCORES
from reports.statistics import FloatArray
from reports.targets import (
    MOST_TIMES_THE_BEST,
    SHARES,
    TargetProfile,
    targets,
    time_to_target,
    time_to_target_profile,
)

TIME = "device_seconds"
FACTORS = np.linspace(1.0, MOST_TIMES_THE_BEST, 121)


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetTimes:
    """Device seconds to each target, by method and seed."""

    methods: tuple[str, ...]
    shares: tuple[float, ...]  # [T] of the way from the start to the best end
    targets: tuple[float, ...]  # [T] accuracies there
    times: FloatArray  # [M, T, S]; infinite where missed, NaN where the seed was not run
    profile: TargetProfile


def target_times(study: Study, comparison: Comparison) -> TargetTimes | None:
    """The times to target; None without a start, interim evaluations or an end above the start."""
    if comparison.start is None or PRIMARY not in comparison.start.metrics:
        return None
    start = comparison.start.metrics[PRIMARY].mean
    ends = {
        m: r.metrics[PRIMARY].mean for m, r in comparison.methods.items() if PRIMARY in r.metrics
    }
    methods = tuple(m for m in study.methods if m in ends)
    if not methods or max(ends.values()) <= start:
        return None
    if all(len(cell.evaluations.get(study.split, ())) < 2 for cell in study.cells):
        return None
    goals = targets(start, max(ends.values()), shares=SHARES)
    seeds = sorted({cell.seed for cell in study.cells})
    times = np.full((len(methods), len(goals), len(seeds)), np.nan)
    for row, method in zip(times, methods, strict=True):
        for cell in study.of(method):
            spent, accuracy = _course(study, cell, start)
            for column, goal in enumerate(goals):
                reached = time_to_target(spent, accuracy, target=goal)
                row[column, seeds.index(cell.seed)] = reached
    return TargetTimes(
        methods=methods,
        shares=SHARES,
        targets=goals,
        times=times,
        profile=time_to_target_profile(times.reshape(len(methods), -1), factors=FACTORS),
    )


def _course(study: Study, cell: Cell, start: float) -> tuple[FloatArray, FloatArray]:
    """[E] device seconds and accuracies of a run, the common start first."""
    points = [(0.0, start)]
    if cell.config.get("source") == "initial_policy":
        # Until its pool is paid for, the policy of an offline method is the start's.
        phases = cell.ledger.get("seconds") or {}
        points.append((sum(float(phases.get(p, 0.0)) for p in ("sample", "score")), start))
    for evaluation in cell.evaluations.get(study.split, ()):
        scores = SCORES[PRIMARY](evaluation)
        known = scores[np.isfinite(scores)]
        points.append((evaluation.spent[TIME], float(known.mean()) if known.size else np.nan))
    # Two evaluations at one spending: the later one counts.
    by_time = dict(sorted(points, key=lambda point: point[0]))
    return np.array(list(by_time)), np.array(list(by_time.values()))
