"""What arms do along their learning curves, paired by seed, problem and evaluation."""

from collections.abc import Sequence

import numpy as np

from bakeoff.errors import BakeoffError
from reports.claims.effects import Effect, table_effect
from reports.claims.evidence import Evidence
from reports.claims.scores import Scores
from reports.evaluations import Evaluation
from reports.metrics import pass_rate, score_table
from reports.statistics import FloatArray
from reports.windows import late_slope, window_difference


def window_scores(evidence: Evidence, a: str, b: str, *, window: tuple[float, float]) -> Scores:
    """Mean accuracy of arm a minus that of arm b over a window of their learning curves.

    Raises:
        BakeoffError: an arm is missing, the curves do not pair, or the window is empty.
    """
    seeds, problems, shares, (curve_a, curve_b) = _curves(evidence, (a, b))
    found = window_difference(_by_run(curve_a), _by_run(curve_b), shares=shares, window=window)
    return Scores(
        policies=(a, b),
        seeds=seeds,
        problems=problems,
        values=np.array(found.by_seed).reshape(len(seeds), len(problems)),
    )


def slope_scores(evidence: Evidence, arms: Sequence[str]) -> tuple[Scores, ...]:
    """Slope of the accuracy over the last half of each arm's run, per whole run, paired.

    Raises:
        BakeoffError: an arm is missing, the curves do not pair, or the last half is empty.
    """
    seeds, problems, shares, curves = _curves(evidence, arms)
    return tuple(
        Scores(
            policies=(arm,),
            seeds=seeds,
            problems=problems,
            values=np.array(late_slope(_by_run(curve), shares=shares).by_seed).reshape(
                len(seeds), len(problems)
            ),
        )
        for arm, curve in zip(arms, curves, strict=True)
    )


def from_best_to_last(evidence: Evidence, arm: str) -> Effect:
    """Accuracy at the end minus that at the evaluation with the best mean."""
    seeds, problems, shares, (curve,) = _curves(evidence, (arm,))
    best = int(curve.mean(axis=(0, 2)).argmax())
    fall = Scores(
        policies=(arm,), seeds=seeds, problems=problems, values=curve[:, -1] - curve[:, best]
    )
    name = f"{arm}: end − best evaluation, at {shares[best]:.0%} of the run"
    return table_effect(name, fall, rng=evidence.rng())


def _curves(
    evidence: Evidence, arms: Sequence[str]
) -> tuple[tuple[int, ...], tuple[str, ...], FloatArray, list[FloatArray]]:
    """Seeds, problems, shares of the run, and [S, E, P] of each arm.

    The i-th evaluations are paired and lie at equal shares of their runs: a pool is paid for before
    training, so that on an axis of tokens all points of an offline arm would lie at the end.
    """
    cells = [{cell.seed: cell for cell in evidence.cells(arm)} for arm in arms]
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in cells)))
    if not seeds:
        raise BakeoffError(f"{', '.join(arms)} share no seed; run the missing cells")
    split = evidence.study.split
    points = [[by_seed[seed].evaluations.get(split, ()) for seed in seeds] for by_seed in cells]
    counts = {len(series) for arm in points for series in arm}
    if len(counts) > 1 or counts == {0}:
        raise BakeoffError(
            f"the curves of {', '.join(arms)} have {sorted(counts)} evaluations; they must be equal"
        )
    shares = np.arange(1, counts.pop() + 1, dtype=np.float64)
    shares /= shares[-1]
    starts = [evidence.study.start.get(seed, {}).get(split) for seed in seeds]
    first = [start for start in starts if start is not None]
    if len(first) == len(seeds):
        shares = np.concatenate([[0.0], shares])
        points = [[(s, *one) for s, one in zip(first, arm, strict=True)] for arm in points]
    problems = _common_problems([e for arm in points for series in arm for e in series])
    curves = [
        np.array([score_table(series, pass_rate, problems=problems) for series in arm])
        for arm in points
    ]
    known = np.isfinite(np.array(curves)).all(axis=(0, 1, 2))
    if not known.any():
        raise BakeoffError(f"the curves of {', '.join(arms)} share no judged problem")
    kept = tuple(p for p, known_ in zip(problems, known, strict=True) if known_)
    return tuple(seeds), kept, shares, [curve[:, :, known] for curve in curves]


def _common_problems(evaluations: Sequence[Evaluation]) -> tuple[str, ...]:
    return tuple(sorted(set.intersection(*(set(one.problems) for one in evaluations))))


def _by_run(curve: FloatArray) -> FloatArray:
    """[S * P, E]: every problem of a seed as a curve of its own, for what is linear in it."""
    return curve.transpose(0, 2, 1).reshape(-1, curve.shape[1])
