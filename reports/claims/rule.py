"""When a claim is reproduced: the one place where numbers become verdicts.

A difference counts only where its 95 % interval excludes 0 (or a margin) and its p value, adjusted
over the comparisons that decide the same claim (Holm), is below 0.05, in either direction.
"""

from collections.abc import Sequence
from math import copysign
from typing import Literal

from reports.claims.effects import Effect
from reports.comparison import SIGNIFICANCE
from reports.statistics import holm

Verdict = Literal["reproduced", "not reproduced", "inconclusive"]
VERDICTS: tuple[Verdict, ...] = ("reproduced", "not reproduced", "inconclusive")


def above(effect: Effect) -> bool:
    """Whether the difference is above 0."""
    return effect.interval.low > 0 and effect.p_value_holm < SIGNIFICANCE


def below(effect: Effect) -> bool:
    """Whether the difference is below 0."""
    return effect.interval.high < 0 and effect.p_value_holm < SIGNIFICANCE


def within(effect: Effect) -> bool:
    """Whether the difference is smaller than its margin either way: two one-sided tests."""
    margin = effect.margin
    inside = effect.interval.low > -margin and effect.interval.high < margin
    return inside and max(effect.p_of(margin), effect.p_of(-margin)) < SIGNIFICANCE


def directional(
    family: Sequence[Effect], *, contradicting: Sequence[Effect] | None = None
) -> Verdict:
    """Reproduced where all differences are above 0, not reproduced where one is below.

    Args:
        family: in the claimed direction, adjusted for each other.
        contradicting: those of the family that may contradict; None: all.
    """
    if any(below(effect) for effect in (family if contradicting is None else contradicting)):
        return "not reproduced"
    return "reproduced" if all(above(effect) for effect in family) else "inconclusive"


def no_rise(effect: Effect) -> Verdict:
    """Reproduced where the difference is below 0 or within its margin, unless it is above 0."""
    if above(effect):
        return "not reproduced"
    return "reproduced" if below(effect) or within(effect) else "inconclusive"


def rise(effect: Effect) -> Verdict:
    """Reproduced where the difference is above 0, unless it is within its margin."""
    if below(effect) or within(effect):
        return "not reproduced"
    return "reproduced" if above(effect) else "inconclusive"


def alike(effects: Sequence[Effect]) -> Verdict:
    """Reproduced where all differences are within their margins, not where one is beyond.

    Beyond: the interval is outside of the margin, and p of the margin itself, adjusted over the
    differences, is below 0.05.
    """
    edges = [copysign(effect.margin, effect.interval.mean) for effect in effects]
    p_values = holm([e.p_of(edge) for e, edge in zip(effects, edges, strict=True)])
    for effect, p_value in zip(effects, p_values, strict=True):
        outside = effect.interval.low > effect.margin or effect.interval.high < -effect.margin
        if outside and p_value < SIGNIFICANCE:
            return "not reproduced"
    # All must hold, so that testing several does not make a false claim likelier.
    return "reproduced" if all(within(effect) for effect in effects) else "inconclusive"


def both(*verdicts: Verdict) -> Verdict:
    """Reproduced where every part is, not reproduced where one is not."""
    if "not reproduced" in verdicts:
        return "not reproduced"
    return "reproduced" if set(verdicts) == {"reproduced"} else "inconclusive"
