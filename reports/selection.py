"""What a verifier's scores choose among k of n responses, drawn without replacement.

The expected correctness of the choice, as `pass_at_k` and `majority_at_k` have it for the best
response and for the plain vote. Scores are finite, higher is better; ties share the credit equally.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import combinations
from math import comb

import numpy as np
import numpy.typing as npt

from bakeoff.errors import BakeoffError
from reports.statistics import FloatArray

BoolArray = npt.NDArray[np.bool_]

SUBSETS = 256  # above so many k-subsets, so many random ones stand for all
_TIE = 1e-12  # in units of the largest score: sums of equal scores may differ by their rounding


def best_of_k(scores: Sequence[float], correct: Sequence[bool], *, k: int) -> float:
    """Expected correctness of the highest-scored of k responses; exact, by counting subsets.

    Args:
        scores: [n].
        correct: [n] the verdicts; responses without one must be left out before.
        k: 1 to n.
    """
    n = len(scores)
    _check(n, k)
    _, place, sizes = np.unique(np.asarray(scores), return_inverse=True, return_counts=True)
    hits = np.bincount(place, weights=np.asarray(correct, dtype=np.float64))
    # The best of a subset has the v-th lowest score if all of it lies within the scores up to
    # there, but not within those below.
    within = _shares_within(n, k)[np.concatenate([[0], np.cumsum(sizes)])]
    return float(np.diff(within) @ (hits / sizes))


def draw_subsets(n: int, *, k: int, rng: np.random.Generator) -> BoolArray:
    """[B, n] membership of k-subsets of n: all of them where those are at most 256, else random."""
    _check(n, k)
    if comb(n, k) <= SUBSETS:
        chosen = np.array(list(combinations(range(n), k)))
    else:
        chosen = rng.random((SUBSETS, n)).argpartition(k, axis=1)[:, :k]
    subsets = np.zeros((len(chosen), n), dtype=np.bool_)
    np.put_along_axis(subsets, chosen, np.True_, axis=1)
    return subsets


def weighted_vote(
    scores: Sequence[float],
    answers: Sequence[str | None],
    *,
    correct: Sequence[bool],
    subsets: BoolArray,
) -> float:
    """Mean accuracy over subsets of the answer whose responses have the highest sum of scores.

    The combination of self-consistency and a reward model (arXiv:2312.08935v3 section 3.4).
    Answers are compared as text, None does not vote, a subset without any answer scores 0. A sum
    of negative scores falls with every vote; the source's scores are probabilities.

    Args:
        scores: [n].
        answers: [n] as extracted, None where there was none in the asked format.
        correct: [n] the verdicts; responses without one must be left out before.
        subsets: [B, n] from `draw_subsets`.
    """
    distinct = sorted({answer for answer in answers if answer is not None})
    if not distinct:
        return 0.0
    votes = np.array([[answer == one for one in distinct] for answer in answers], dtype=np.float64)
    credit = np.asarray(correct, dtype=np.float64) @ votes / votes.sum(axis=0)  # [A]
    weights = np.asarray(scores, dtype=np.float64)
    weights = weights / (np.abs(weights).max() or 1.0)
    drawn = subsets.astype(np.float64)
    # An answer that was not drawn must not win with its sum of 0 over negative ones.
    present = drawn @ votes > 0
    totals = np.where(present, drawn @ (weights[:, None] * votes), -np.inf)  # [B, A]
    first = present & (totals >= totals.max(axis=1, keepdims=True) - _TIE * len(weights))
    return float(((first @ credit) / np.maximum(first.sum(axis=1), 1)).mean())


def _check(n: int, k: int) -> None:
    if not 1 <= k <= n:
        raise BakeoffError(f"a choice among {k} of {n} responses is undefined; take 1 <= k <= n")


@lru_cache(maxsize=4096)
def _shares_within(n: int, k: int) -> FloatArray:
    """[n + 1] share of the k-subsets of n that lie within a given j, for j from 0 to n."""
    ways = comb(n, k)
    shares = np.array([comb(j, k) / ways for j in range(n + 1)])
    shares.setflags(write=False)
    return shares
