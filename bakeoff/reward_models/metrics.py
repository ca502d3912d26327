"""How well scores tell right from wrong on labelled solutions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from scipy.stats import rankdata

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldOutMetrics:
    """Scores against labels, by step and by solution; of an ORM both are the same.

    A soft label of 0.5 or more counts as right. A solution counts as right when all its steps
    do, and its score is the lowest of theirs.
    """

    solutions: int
    steps: int
    loss: float  # nats a solution, summed over its steps: what training minimises
    right_steps: float  # share; a constant score is at best max(this, 1 - this) accurate
    right_solutions: float
    step_accuracy: float  # of calling a score of 0.5 or more right
    step_auc: float | None  # chance that a right one scores above a wrong one; None: only one kind
    solution_accuracy: float
    solution_auc: float | None


def held_out_metrics(
    log_odds: Sequence[Sequence[float]], labels: Sequence[Sequence[float]]
) -> HeldOutMetrics:
    """The metrics of scores against labels.

    Args:
        log_odds: of the steps of each solution; at least one solution, and a step in each.
        labels: in [0, 1], of the same steps.
    """
    odds = np.concatenate([np.asarray(one, dtype=np.float64) for one in log_odds])
    target = np.concatenate([np.asarray(one, dtype=np.float64) for one in labels])
    lowest = np.array([min(one) for one in log_odds])
    all_right = np.array([min(one) >= 0.5 for one in labels])
    right = target >= 0.5
    return HeldOutMetrics(
        solutions=len(labels),
        steps=len(target),
        loss=float((np.logaddexp(0, odds) - target * odds).sum() / len(labels)),
        right_steps=float(right.mean()),
        right_solutions=float(all_right.mean()),
        step_accuracy=float(((expit(odds) >= 0.5) == right).mean()),
        step_auc=area_under_roc(odds, right),
        solution_accuracy=float(((expit(lowest) >= 0.5) == all_right).mean()),
        solution_auc=area_under_roc(lowest, all_right),
    )


def area_under_roc(scores: Values, right: NDArray[np.bool_]) -> float | None:
    """The chance that a right one scores above a wrong one, ties half; None without both kinds."""
    positives = int(right.sum())
    negatives = len(right) - positives
    if not positives or not negatives:
        return None
    # Mann and Whitney's U, from the ranks.
    above = rankdata(scores)[right].sum() - positives * (positives + 1) / 2
    return float(above / (positives * negatives))
