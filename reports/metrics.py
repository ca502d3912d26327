"""What one line of evaluations.jsonl scores, and the [seed, problem] tables of those scores."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from bakeoff.records import Row
from reports.load import Evaluation
from reports.statistics import FloatArray, majority_at_k, pass_at_k

Score = Callable[[Row], float]  # NaN where the line does not say

K_IN_TABLES = (4, 16)
K_IN_CURVES = (1, 2, 4, 8, 16)
PRIMARY = "pass@1"


def pass_rate(row: Row) -> float:
    """Share of correct samples at temperature 1 among those with a verdict."""
    verdicts = [float(v) for v in row.get("correct") or () if v is not None]
    return float(np.mean(verdicts)) if verdicts else np.nan


def greedy(row: Row) -> float:
    """1 if the greedy response is correct, else 0."""
    return _number(row.get("greedy"))


def format_rate(row: Row) -> float:
    """Share of samples with an answer in the asked format."""
    answers = row.get("answers") or ()
    return float(np.mean([answer is not None for answer in answers])) if answers else np.nan


def response_tokens(row: Row) -> float:
    """Mean length of the samples, in tokens."""
    lengths = row.get("response_tokens") or ()
    return float(np.mean(lengths)) if lengths else np.nan


def kl_to_start(row: Row) -> float:
    """Achieved KL from the common start, in nats, as the evaluation measured it."""
    return _number(row.get("kl_to_start"))


def pass_score(k: int) -> Score:
    """pass@k of a line; NaN with fewer than k samples that have a verdict."""

    def score(row: Row) -> float:
        verdicts = [v for v in row.get("correct") or () if v is not None]
        return pass_at_k(len(verdicts), sum(verdicts), k=k) if len(verdicts) >= k else np.nan

    return score


def majority_score(k: int) -> Score:
    """maj@k of a line; NaN with fewer than k samples that have a verdict."""

    def score(row: Row) -> float:
        verdicts, answers = row.get("correct") or (), row.get("answers") or ()
        if len(verdicts) != len(answers):
            return np.nan
        judged = [(a, v) for a, v in zip(answers, verdicts, strict=True) if v is not None]
        if len(judged) < k:
            return np.nan
        return majority_at_k([a for a, _ in judged], [v for _, v in judged], k=k)

    return score


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
METRICS = (*SCORES, OOD)
# Accuracies, of which differences between methods are tested; each is a family for Holm.
TESTED = (PRIMARY, "greedy", "maj@16", "pass@16", OOD)


def problems_of(evaluations: Sequence[Evaluation]) -> tuple[str, ...]:
    """The problems that any of the evaluations asked, sorted."""
    return tuple(sorted({problem for evaluation in evaluations for problem in evaluation.rows}))


def score_table(
    evaluations: Sequence[Evaluation], score: Score, *, problems: Sequence[str]
) -> FloatArray:
    """[S, P] scores, one row per evaluation; NaN where a problem was not asked or not judged."""
    return np.array(
        [
            [score(e.rows[problem]) if problem in e.rows else np.nan for problem in problems]
            for e in evaluations
        ],
        dtype=np.float64,
    ).reshape(len(evaluations), len(problems))


def unverified_samples(evaluations: Sequence[Evaluation]) -> int:
    """How many samples the verifier gave no verdict on."""
    return sum(
        verdict is None
        for evaluation in evaluations
        for row in evaluation.rows.values()
        for verdict in row.get("correct") or ()
    )


def _number(value: float | bool | None) -> float:
    return np.nan if value is None else float(value)
