"""What choosing among the judged responses of a policy is worth, by seed and problem.

The ways to choose are those of `reports.verification`, without its intervals: a claim needs the
values of single problems, of one way at one K.
"""

from collections.abc import Sequence

import numpy as np

from bakeoff.errors import BakeoffError
from reports.claims.evidence import Evidence, Sampled
from reports.claims.scores import Scores
from reports.selection import best_of_k, draw_subsets, weighted_vote
from reports.statistics import majority_at_k, pass_at_k
from reports.verification import BEST, MAJORITY, PASS


def most_samples(evidence: Evidence, policies: Sequence[str], *, split: str) -> int:
    """The largest power of 4 that no problem of the policies has fewer responses than.

    Raises:
        BakeoffError: a policy has no samples.
    """
    least = min(
        len(problem.correct)
        for policy in policies
        for problems in evidence.sampled(policy, split).values()
        for problem in problems
    )
    if least == 0:
        raise BakeoffError(f"a problem of {split} has no response")
    return int(4 ** ((least.bit_length() - 1) // 2))


def choice(evidence: Evidence, policy: str, *, split: str, way: str, k: int) -> Scores:
    """What choosing among K responses in one way is worth by problem.

    Args:
        evidence: with samples of the policy.
        policy: "start" or an arm.
        split: of the problems.
        way: "pass", "maj", or "best:" and "weighted:" with the name of a verifier.
        k: problems with fewer judged responses are NaN.

    Raises:
        BakeoffError: there are no such samples, or no scores of the verifier.
    """
    runs = evidence.sampled(policy, split)
    verifier = way.partition(":")[2]
    everything = [problem for problems in runs.values() for problem in problems]
    if verifier and any(verifier not in problem.scores for problem in everything):
        raise BakeoffError(f"the samples of {policy} on {split} have no scores for {way}")
    rng = evidence.rng()
    tables = [{one.id: _worth(one, way, k, rng) for one in problems} for problems in runs.values()]
    shared = sorted(set.intersection(*map(set, tables)))
    return Scores(
        policies=(policy,),
        seeds=tuple(seed for seed in runs if seed is not None),
        problems=tuple(shared),
        values=np.array([[values[problem] for problem in shared] for values in tables]),
    )


def _worth(problem: Sampled, way: str, k: int, rng: np.random.Generator) -> float:
    judged = [index for index, verdict in enumerate(problem.correct) if verdict is not None]
    if len(judged) < k:
        return np.nan
    correct = [bool(problem.correct[index]) for index in judged]
    answers = [problem.answers[index] for index in judged]
    kind, _, verifier = way.partition(":")
    scores = [problem.scores[verifier][index] for index in judged] if verifier else []
    if kind == PASS:
        return pass_at_k(len(correct), sum(correct), k=k)
    if kind == MAJORITY:
        return majority_at_k(answers, correct, k=k)
    if kind == BEST:
        return best_of_k(scores, correct, k=k)
    subsets = draw_subsets(len(correct), k=k, rng=rng)
    return weighted_vote(scores, answers, correct=correct, subsets=subsets)
