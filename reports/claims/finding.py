"""What a judge found: numbers, a verdict, and what the verdict rests on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bakeoff.errors import BakeoffError
from reports.claims.effects import Effect
from reports.claims.rule import Verdict, above, below, within
from reports.claims.scores import Scores
from reports.statistics import share_interval

PER_CENT = "%"


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A number of a finding."""

    name: str
    value: float
    unit: str
    low: float | None = None  # 95 % interval; None: exact, or one seed
    high: float | None = None
    p_value: float | None = None  # of a difference
    p_value_holm: float | None = None  # of a difference that decides
    difference: bool = False
    decides: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A claim's verdict and numbers."""

    verdict: Verdict
    reason: str
    values: tuple[Value, ...] = ()
    policies: tuple[str, ...] = ()  # that decide; "start" and the arms
    seeds: tuple[int, ...] = ()  # that all of them share; empty: no run of a method decides
    notes: tuple[str, ...] = ()


Row = Callable[[], Value | Effect]


def conclude(
    verdict: Verdict,
    *,
    family: Sequence[Effect],
    rows: Sequence[Row] = (),
    notes: Sequence[str] = (),
) -> Finding:
    """The finding of a family of comparisons, with further rows where their records exist.

    Args:
        verdict: by `reports.claims.rule`, on the family.
        family: what decides.
        rows: what is shown beside it; a row that cannot be made becomes a note.
        notes: what a reader must know.
    """
    values = [replace(as_value(one), p_value_holm=one.p_value_holm, decides=True) for one in family]
    missing = []
    for row in rows:
        try:
            made = row()
        except BakeoffError as error:
            missing.append(str(error))
            continue
        values.append(made if isinstance(made, Value) else as_value(made))
    run = [set(effect.seeds) for effect in family if effect.seeds]
    return Finding(
        verdict=verdict,
        reason="; ".join(f"{effect.name} {_side(effect)}" for effect in family),
        values=tuple(values),
        policies=tuple(dict.fromkeys(policy for one in family for policy in one.policies)),
        seeds=tuple(sorted(set.intersection(*run))) if run else (),
        notes=(*notes, *(f"Not shown: {reason}." for reason in dict.fromkeys(missing))),
    )


def as_value(effect: Effect) -> Value:
    """The number of an effect, without the adjustment of a family."""
    exists = np.isfinite(effect.interval.low)
    return Value(
        name=effect.name,
        value=effect.interval.mean,
        unit=effect.unit,
        low=effect.interval.low if exists else None,
        high=effect.interval.high if exists else None,
        p_value=effect.p_of(0.0) if exists else None,
        difference=True,
    )


def as_level(effect: Effect) -> Value:
    """The number of an effect that is no difference: nothing is tested."""
    return replace(as_value(effect), difference=False, p_value=None)


def accuracy_value(name: str, scores: Scores, *, rng: np.random.Generator) -> Value:
    """The mean of a table in per cent, with its interval over seeds and problems."""
    interval = share_interval(scores.values, rng=rng)
    return Value(
        name=name,
        value=100 * interval.mean,
        unit=PER_CENT,
        low=100 * interval.low,
        high=100 * interval.high,
    )


def _side(effect: Effect) -> str:
    if within(effect):
        return f"is within ±{effect.margin:g} {effect.unit}"
    if not above(effect) and not below(effect):
        return f"is not told from 0 (p {effect.p_value_holm:.2g} after Holm)"
    side = "above" if above(effect) else "below"
    outside = effect.interval.low > effect.margin or effect.interval.high < -effect.margin
    if effect.margin and outside:
        return f"is {side} 0, its interval beyond ±{effect.margin:g} {effect.unit}"
    return f"is {side} 0"
