"""Judge of automatic step labels: how accurate they are with N completions a step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy import stats

from bakeoff.errors import BakeoffError
from reports.claims.effects import POINTS, Effect, holm_adjusted
from reports.claims.evidence import Evidence, Step
from reports.claims.finding import PER_CENT, Finding, Value, conclude
from reports.claims.rule import Verdict, above, below
from reports.statistics import LEVEL, RESAMPLES, FloatArray, Interval, paired_p_value

HARD, SOFT = "hard", "soft"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelAccuracy:
    """Expected numbers of steps that n of N completions label rightly, by solution P."""

    steps: FloatArray  # [P] steps that were estimated
    right: Mapping[tuple[str, int], FloatArray]  # (estimation, n) -> [P]
    ns: tuple[int, ...]  # 1, 2, 4, … and N


def label_accuracy(annotations: Sequence[Sequence[Step]]) -> LabelAccuracy:
    """The accuracy of hard and soft labels at every n, exact over the subsets of the N completions.

    Hard: a step is good when any of the n completions is right. Soft: when more than half are. Of
    n drawn without replacement the right ones are hypergeometric. Steps with fewer completions than
    the most, and those judged without any, are left out.

    Raises:
        BakeoffError: no step has a completion.
    """
    most = max((step.completions for steps in annotations for step in steps), default=0)
    if most == 0:
        raise BakeoffError("there are no annotations with completions")
    chosen = [[step for step in steps if step.completions == most] for steps in annotations]
    kept = [steps for steps in chosen if steps]
    ns = tuple(dict.fromkeys([*(2**i for i in range(most.bit_length())), most]))
    owner = np.repeat(np.arange(len(kept)), [len(steps) for steps in kept])
    successes = np.array([step.right for steps in kept for step in steps])
    truth = np.array([step.is_right for steps in kept for step in steps])
    right: dict[tuple[str, int], FloatArray] = {}
    for n in ns:
        for estimation, least in ((HARD, 0), (SOFT, n // 2)):
            good = stats.hypergeom.sf(least, most, successes, n)  # P(more than `least` are right)
            labelled = np.where(truth, good, 1 - good)
            sums = np.bincount(owner, weights=labelled, minlength=len(kept))
            right[estimation, n] = sums.astype(np.float64)
    return LabelAccuracy(
        steps=np.bincount(owner, minlength=len(kept)).astype(np.float64), right=right, ns=ns
    )


def hard_peaks_early(evidence: Evidence) -> Finding:
    """Claim 11: hard labels at every n against the largest, soft ones at the largest against 1."""
    found = label_accuracy(evidence.annotations)
    most, smaller = found.ns[-1], found.ns[:-1]
    if not smaller:
        raise BakeoffError("one completion a step says nothing of more")
    rng = evidence.rng()
    falls = [_difference(found, (HARD, n), (HARD, most), rng) for n in smaller]
    rise = _difference(found, (SOFT, most), (SOFT, 1), rng)
    *falls, rise = holm_adjusted([*falls, rise])
    return conclude(
        peak_verdict(falls, rise),
        family=[*falls, rise],
        rows=[
            partial(_level, found, name, n, evidence.rng())
            for name in (HARD, SOFT)
            for n in found.ns
        ],
        notes=[
            f"{int(found.steps.sum())} steps of {len(found.steps)} solutions, {most} completions a "
            "step; intervals over solutions. A soft label of exactly one half calls a step bad."
        ],
    )


def peak_verdict(falls: Sequence[Effect], rise: Effect) -> Verdict:
    """Reproduced where hard labels fall from some smaller n and soft ones rise.

    Not where hard labels are better at the largest n than at every other, or soft ones fall.

    Args:
        falls: hard at each smaller n minus hard at the largest.
        rise: soft at the largest minus soft at 1.
    """
    if below(rise) or all(below(fall) for fall in falls):
        return "not reproduced"
    return "reproduced" if above(rise) and any(map(above, falls)) else "inconclusive"


def _difference(
    found: LabelAccuracy, a: tuple[str, int], b: tuple[str, int], rng: np.random.Generator
) -> Effect:
    gained = 100 * (found.right[a] - found.right[b])
    scale = found.steps.mean()

    def p_of(mean: float) -> float:
        # Linear around the tested value, so that solutions of unlike length weigh as their steps.
        return paired_p_value(((gained - mean * found.steps) / scale)[None, :])

    return Effect(
        name=f"{a[0]} at N = {a[1]} − {b[0]} at N = {b[1]}",
        unit=POINTS,
        interval=_ratio_interval(gained, found.steps, rng),
        p_of=p_of,
        p_value_holm=p_of(0.0),
        policies=(),
        seeds=(),
    )


def _level(found: LabelAccuracy, name: str, n: int, rng: np.random.Generator) -> Value:
    interval = _ratio_interval(100 * found.right[name, n], found.steps, rng)
    return Value(
        name=f"accuracy of {name} labels at N = {n}",
        value=interval.mean,
        unit=PER_CENT,
        low=interval.low,
        high=interval.high,
    )


def _ratio_interval(totals: FloatArray, steps: FloatArray, rng: np.random.Generator) -> Interval:
    """Total over steps, with its percentile interval over solutions drawn with replacement."""
    solutions = len(steps)
    draws = rng.multinomial(solutions, np.full(solutions, 1 / solutions), size=RESAMPLES)
    counts = draws @ steps
    means = (draws @ totals)[counts > 0] / counts[counts > 0]
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(mean=float(totals.sum() / steps.sum()), low=float(low), high=float(high))
