"""The scores of an evaluation, and the [seed, problem] tables of them."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

import numpy as np

from reports.evaluations import K_IN_CURVES, Evaluation
from reports.statistics import FloatArray, pass_at_k

Score = Callable[[Evaluation], FloatArray]  # [P]; NaN where the evaluation does not say

K_IN_TABLES = (4, 16)
PRIMARY = "pass@1"


def pass_rate(evaluation: Evaluation) -> FloatArray:
    """[P] share of correct samples at temperature 1 among those with a verdict."""
    known = np.where(evaluation.judged > 0, evaluation.judged, np.nan)
    return np.asarray(evaluation.right / known, dtype=np.float64)


def greedy(evaluation: Evaluation) -> FloatArray:
    """[P] 1 if the greedy response is correct, else 0."""
    return evaluation.greedy


def format_rate(evaluation: Evaluation) -> FloatArray:
    """[P] share of samples with an answer in the asked format."""
    return evaluation.format_rate


def response_tokens(evaluation: Evaluation) -> FloatArray:
    """[P] mean length of the samples, in tokens."""
    return evaluation.response_tokens


def kl_to_start(evaluation: Evaluation) -> FloatArray:
    """[P] achieved KL from the common start, in nats, as the evaluation measured it."""
    return evaluation.kl_to_start


def pass_score(k: int) -> Score:
    """pass@k by problem; NaN with fewer than k samples that have a verdict."""

    def score(evaluation: Evaluation) -> FloatArray:
        counts = zip(evaluation.judged.tolist(), evaluation.right.tolist(), strict=True)
        return np.array([_pass_at_k(n, right, k) for n, right in counts], dtype=np.float64)

    return score


def majority_score(k: int) -> Score:
    """maj@k by problem, for a k of `K_IN_CURVES`; NaN with fewer than k judged samples."""
    place = K_IN_CURVES.index(k)
    return lambda evaluation: evaluation.majority[place]


SCORES: Mapping[str, Score] = {
    PRIMARY: pass_rate,
    "greedy": greedy,
    **{f"maj@{k}": majority_score(k) for k in K_IN_TABLES},
    **{f"pass@{k}": pass_score(k) for k in K_IN_TABLES},
    "format_rate": format_rate,
    "response_tokens": response_tokens,
    "kl_to_start": kl_to_start,
}
OOD = "ood_pass@1"
NO_SHARES = ("response_tokens", "kl_to_start")
METRICS = (*SCORES, OOD)
# Accuracies, of which differences between methods are tested; each is a family for Holm.
TESTED = (PRIMARY, "greedy", "maj@16", "pass@16", OOD)


def problems_of(evaluations: Sequence[Evaluation]) -> tuple[str, ...]:
    """The problems that any of the evaluations asked, sorted."""
    asked = {evaluation.problems for evaluation in evaluations}
    if len(asked) == 1:
        return next(iter(asked))
    return tuple(sorted(set().union(*asked)))


def score_table(
    evaluations: Sequence[Evaluation], score: Score, *, problems: Sequence[str]
) -> FloatArray:
    """[S, P] scores, one row per evaluation; NaN where a problem was not asked or not judged."""
    table = np.full((len(evaluations), len(problems)), np.nan)
    wanted = tuple(problems)
    place = {problem: index for index, problem in enumerate(wanted)}
    for row, evaluation in zip(table, evaluations, strict=True):
        values = score(evaluation)
        if evaluation.problems == wanted:
            row[:] = values
            continue
        kept = [index for index, problem in enumerate(evaluation.problems) if problem in place]
        row[[place[evaluation.problems[index]] for index in kept]] = values[kept]
    return table


def unverified_samples(evaluations: Sequence[Evaluation]) -> int:
    """How many samples the verifier gave no verdict on."""
    return sum(int((e.samples - e.judged).sum()) for e in evaluations)


@lru_cache(maxsize=65536)
def _pass_at_k(n: int, right: int, k: int) -> float:
    return pass_at_k(n, right, k=k) if n >= k else np.nan
