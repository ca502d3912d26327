"""Differences of final accuracies, paired by seed and problem."""

from collections.abc import Mapping

import numpy as np

from bakeoff.errors import BakeoffError
from reports.claims.effects import Effect, table_effect
from reports.claims.evidence import Evidence
from reports.claims.scores import Scores, combined
from reports.metrics import Score, pass_rate, problems_of, score_table

OOD = "ood"


def accuracy(
    evidence: Evidence, policy: str, *, split: str | None = None, score: Score = pass_rate
) -> Scores:
    """The final scores of an arm or of the start, by default pass@1 on the study's split.

    Raises:
        BakeoffError: it has none.
    """
    finals = evidence.finals(policy, split or evidence.study.split)
    problems = problems_of(list(finals.values()))
    values = score_table(list(finals.values()), score, problems=problems)
    known = np.asarray(np.isfinite(values).any(axis=1))
    if not known.any():
        raise BakeoffError(f"{policy} was not given this score")
    return Scores(
        policies=(policy,),
        # A seed without any verdict is no seed.
        seeds=tuple(seed for index, seed in enumerate(finals) if known[index]),
        problems=problems,
        values=values[known],
    )


def contrast(
    evidence: Evidence,
    weights: Mapping[str, float],
    *,
    name: str = "",
    margin: float = 0.0,
) -> Effect:
    """The weighted sum of final accuracies on the study's split, paired by seed and problem.

    Args:
        evidence: with every policy that has a weight.
        weights: of arms and of the start; a difference is {a: 1, b: -1}.
        name: empty: the policies by their signs.
        margin: in points.

    Raises:
        BakeoffError: a policy has no final evaluation, or they share no seed or problem.
    """
    table = combined([(weight, accuracy(evidence, policy)) for policy, weight in weights.items()])
    return table_effect(name or difference_name(weights), table, rng=evidence.rng(), margin=margin)


def minus(evidence: Evidence, a: str, b: str, *, margin: float = 0.0) -> Effect:
    """Final accuracy of a minus that of b, on the study's split."""
    return contrast(evidence, {a: 1.0, b: -1.0}, margin=margin)


def difference_name(weights: Mapping[str, float]) -> str:
    """The policies, those to be subtracted behind a minus."""
    gained = [policy for policy, weight in weights.items() if weight > 0]
    lost = [policy for policy, weight in weights.items() if weight < 0]
    return " − ".join([" + ".join(gained), *lost])
