"""Judges of what RL does to the answers a policy could give anyway."""

from functools import partial
from itertools import combinations, pairwise

import numpy as np

from bakeoff.errors import BakeoffError
from bakeoff.records import START
from reports.claims.choices import choice, most_samples
from reports.claims.contrasts import OOD, accuracy, minus
from reports.claims.effects import Effect, holm_adjusted, table_effect
from reports.claims.evidence import Evidence
from reports.claims.finding import Finding, Row, Value, conclude
from reports.claims.rule import alike, both, directional, no_rise
from reports.claims.scores import combined
from reports.metrics import pass_score
from reports.verification import MAJORITY, PASS

ARM = "grpo"
PASS_MARGIN = 1.0  # points
ALGORITHMS = ("ppo", "grpo", "rloo", "reinforce++", "dapo")
MARGIN = 2.0  # points


def votes_rise_coverage_does_not(evidence: Evidence) -> Finding:
    """Claim 6: GRPO against the start at every K, on both splits."""
    most = most_samples(evidence, (START, ARM), split=OOD)
    family = holm_adjusted(
        [
            gain(evidence, MAJORITY, split=OOD, k=most),
            gain(evidence, PASS, split=OOD, k=most, margin=PASS_MARGIN),
        ]
    )
    return conclude(
        both(directional(family[:1]), no_rise(family[1])),
        family=family,
        rows=[
            *_at_every_k(evidence, OOD, most=most // 4),
            partial(crossover, evidence, split=OOD, most=most),
            *_at_every_k(evidence, evidence.study.split, most=most),
        ],
        notes=[
            "Out of domain decides: on the training distribution both policies reach nearly every "
            "problem with many samples, so that pass@K has no room."
        ],
    )


def gain(evidence: Evidence, way: str, *, split: str, k: int, margin: float = 0.0) -> Effect:
    """What choosing among K is worth after GRPO more than at the start."""
    after = choice(evidence, ARM, split=split, way=way, k=k)
    before = choice(evidence, START, split=split, way=way, k=k)
    name = f"{way}@{k} on {split}, {ARM} − start"
    table = combined([(1, after), (-1, before)])
    return table_effect(name, table, rng=evidence.rng(), margin=margin)


def crossover(evidence: Evidence, *, split: str, most: int) -> Value:
    """The K at which pass@K of GRPO falls below that of the start, between powers of two.

    Raises:
        BakeoffError: it does not.
    """
    ks = [2**power for power in range(most.bit_length())]
    gains = [gain(evidence, PASS, split=split, k=k).interval.mean for k in ks]
    for index, (before, after) in enumerate(pairwise(gains)):
        if before > 0 >= after:
            share = before / (before - after)
            # Straight in log K, the axis on which the paper draws it.
            at = float(np.exp2(np.log2(ks[index]) + share))
            return Value(name=f"K where pass@K crosses on {split}", value=at, unit="samples")
    raise BakeoffError(f"pass@K on {split} does not cross up to K = {most}")


def algorithms_alike(evidence: Evidence) -> Finding:
    """Claim 7: every pair of five algorithms, and the start's coverage above each."""
    family = holm_adjusted(
        [minus(evidence, a, b, margin=MARGIN) for a, b in combinations(ALGORITHMS, 2)]
    )
    return conclude(
        alike(family),
        family=family,
        rows=[partial(coverage_gap, evidence, arm) for arm in ALGORITHMS],
        notes=[f"Pairs are tested against ±{MARGIN:g} points; the p values shown are of 0."],
    )


def coverage_gap(evidence: Evidence, arm: str) -> Effect:
    """pass@K of the start at its largest K minus pass@1 of an arm, out of domain."""
    try:
        most = most_samples(evidence, (START,), split=OOD)
        covered = choice(evidence, START, split=OOD, way=PASS, k=most)
        solved = choice(evidence, arm, split=OOD, way=PASS, k=1)
    except BakeoffError:
        # Evaluations draw fewer samples, but of every policy.
        ends = evidence.finals(START, OOD).values()
        most = min(int(end.samples.min()) for end in ends)
        covered = accuracy(evidence, START, split=OOD, score=pass_score(most))
        solved = accuracy(evidence, arm, split=OOD)
    name = f"pass@{most} of the start − pass@1 of {arm}, on {OOD}"
    return table_effect(name, combined([(1, covered), (-1, solved)]), rng=evidence.rng())


def _at_every_k(evidence: Evidence, split: str, *, most: int) -> list[Row]:
    ks = [4**power for power in range(most.bit_length()) if 4**power <= most]
    return [partial(gain, evidence, way, split=split, k=k) for way in (MAJORITY, PASS) for k in ks]
