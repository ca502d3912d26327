"""Which trials no other trial beats in everything at once."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from reports.ablation.trials import PEAK_BYTES, TOKENS_PER_SECOND, Setting
from reports.metrics import PRIMARY
from reports.statistics import FloatArray

UPWARDS = {PRIMARY: True, TOKENS_PER_SECOND: True, PEAK_BYTES: False}  # more is better


def non_dominated(settings: Sequence[Setting], objectives: Sequence[str]) -> tuple[Setting, ...]:
    """The Pareto front of the means, by its first objective.

    A trial without one of the objectives is not on it.
    """
    known = [s for s in settings if all(objective in s.objectives for objective in objectives)]
    goods = np.array(
        [[s.objectives[o].mean * (1 if UPWARDS[o] else -1) for o in objectives] for s in known],
        dtype=np.float64,
    ).reshape(len(known), len(objectives))
    kept = [s for s, keep in zip(known, front_mask(goods), strict=True) if keep]
    return tuple(sorted(kept, key=lambda s: s.objectives[objectives[0]].mean))


def front_mask(goods: FloatArray) -> npt.NDArray[np.bool_]:
    """[N] whether no other row is at least as good in every column and better in one.

    Args:
        goods: [N, objectives], more is better; equal rows do not beat each other.
    """
    at_least = (goods[None, :, :] >= goods[:, None, :]).all(axis=2)
    better = (goods[None, :, :] > goods[:, None, :]).any(axis=2)
    beaten: npt.NDArray[np.bool_] = np.any(at_least & better, axis=1)
    return ~beaten
