"""Where every arm ended, whatever the claims say."""

from dataclasses import dataclass

import numpy as np

from bakeoff.errors import BakeoffError
from bakeoff.records import START
from reports.claims.batches import metric_means
from reports.claims.contrasts import OOD, accuracy
from reports.claims.evidence import Evidence
from reports.metrics import Score, greedy, pass_rate
from reports.statistics import Interval, share_interval


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmEnd:
    """The start, or an arm at the end of its budget; None where there is no number."""

    policy: str
    seeds: tuple[int, ...]
    pass_at_1: Interval | None
    greedy: Interval | None
    ood: Interval | None  # pass@1
    entropy: float | None  # nats, mean over the last tenth of the batches
    wall_seconds: float | None  # of a cell, mean


def arm_ends(evidence: Evidence) -> tuple[ArmEnd, ...]:
    """The start and every arm with a finished cell, in the study's order."""
    study = evidence.study
    policies = (START,) if study.start else ()
    return tuple(_end(evidence, policy) for policy in (*policies, *study.methods))


def _end(evidence: Evidence, policy: str) -> ArmEnd:
    cells = evidence.study.of(policy)
    seconds = [float(c.ledger["wall_seconds"]) for c in cells if "wall_seconds" in c.ledger]
    return ArmEnd(
        policy=policy,
        seeds=tuple(cell.seed for cell in cells) or tuple(sorted(evidence.study.start)),
        pass_at_1=_interval(evidence, policy, evidence.study.split, pass_rate),
        greedy=_interval(evidence, policy, evidence.study.split, greedy),
        ood=_interval(evidence, policy, OOD, pass_rate),
        entropy=_entropy(evidence, policy),
        wall_seconds=float(np.mean(seconds)) if seconds else None,
    )


def _interval(evidence: Evidence, policy: str, split: str, score: Score) -> Interval | None:
    try:
        table = accuracy(evidence, policy, split=split, score=score)
    except BakeoffError:
        return None
    return share_interval(table.values, rng=evidence.rng())


def _entropy(evidence: Evidence, policy: str) -> float | None:
    try:
        return float(np.mean(list(metric_means(evidence, policy, "entropy").values())))
    except BakeoffError:
        return None
