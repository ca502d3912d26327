"""What K responses a problem are worth under each way to choose one: pass@K, votes, best of K.

Problems come as `bakeoff.responses` reads them. P problems, n responses each. Responses without a
verdict are left out of everything. The responses are one set of draws: intervals and tests are over
problems, and say nothing of another training run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import comb
from typing import Protocol

import numpy as np
from scipy import stats

from bakeoff.errors import BakeoffError, ConfigError
from reports.comparison import Verdict, verdict_of
from reports.selection import best_of_k, draw_subsets, weighted_vote
from reports.statistics import (
    LEVEL,
    FloatArray,
    Interval,
    bootstrap_means,
    holm,
    majority_at_k,
    mean_interval,
    paired_p_value,
    pass_at_k,
    share_interval,
)

# The ways to choose; those of a verifier are followed by its name, as in "best:orm".
PASS = "pass"  # an oracle finds a correct response where there is one
MAJORITY = "maj"
BEST = "best"
WEIGHTED = "weighted"


class Judged(Protocol):
    """A problem and its n judged responses."""

    @property
    def id(self) -> str: ...

    @property
    def correct(self) -> Sequence[bool | None]:
        """[n] verdicts; None where the verifier failed."""
        ...

    @property
    def answers(self) -> Sequence[str | None]:
        """[n] as extracted; None where there was none in the asked format."""
        ...

    @property
    def scores(self) -> Mapping[str, Sequence[float]]:
        """Name of a verifier -> [n] finite scores, higher is better."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A mean difference over problems, its 95 % interval and the p of "there is none"."""

    interval: Interval
    p_value: float
    problems: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One way to choose among K."""

    values: FloatArray  # [P] expected correctness; NaN with fewer than K judged responses
    interval: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Way a minus way b at one K, paired by problem."""

    a: str
    b: str
    k: int
    difference: Difference
    p_value_holm: float  # over the pairs of the file
    verdict: Verdict  # on a


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """The numbers of one file of judged responses."""

    problems: tuple[str, ...]  # [P] ids
    responses: int
    unjudged: int  # responses without a verdict
    below_zero: tuple[str, ...]  # verifiers with a negative score, whose votes do not add up
    accuracy: Choice  # of a response taken at random
    format_rate: Choice  # share of responses with an answer in the asked format
    at: Mapping[int, Mapping[str, Choice]]  # K, ascending -> way -> its choices
    pairs: tuple[Pair, ...]  # best of the largest K minus majority vote, one a verifier

    def count(self, k: int) -> int:
        """How many problems have K judged responses."""
        return int(np.isfinite(self.at[k][PASS].values).sum())


def verification(
    problems: Sequence[Judged], *, rng: np.random.Generator, ks: Sequence[int] | None = None
) -> Verification:
    """Every way to choose at every K, with intervals, and the verifiers against the plain vote.

    A problem with fewer than K judged responses is left out at that K.

    Args:
        problems: every one with scores of the same verifiers.
        rng: of the bootstrap, and of the subsets that stand for all in a weighted vote.
        ks: None for the powers of two up to the smallest number of responses of a problem.

    Raises:
        ConfigError: a K below 1, or above what any problem has.
        BakeoffError: no response has a verdict.
    """
    judged = [_Judgements.of(problem) for problem in problems]
    most = max((len(one.correct) for one in judged), default=0)
    if most == 0:
        raise BakeoffError("no response has a verdict; there is nothing to choose among")
    if ks is None:
        least = min(len(problem.correct) for problem in problems)
        chosen = [k for k in _powers_of_two(least) if k <= most]
    else:
        chosen = sorted(set(ks))
        _check(chosen, most)
    at = {}
    for k in chosen:
        ways = _values(judged, k, rng)
        at[k] = {way: Choice(values=v, interval=_interval(v, rng)) for way, v in ways.items()}
    accuracy = np.array([_mean(one.correct) for one in judged])
    formats = np.array([_mean([a is not None for a in one.answers]) for one in judged])
    return Verification(
        problems=tuple(problem.id for problem in problems),
        responses=sum(len(problem.correct) for problem in problems),
        unjudged=sum(verdict is None for problem in problems for verdict in problem.correct),
        below_zero=tuple(
            name for name in problems[0].scores if any(min(p.scores[name]) < 0 for p in problems)
        ),
        accuracy=Choice(values=accuracy, interval=_interval(accuracy, rng)),
        format_rate=Choice(values=formats, interval=_interval(formats, rng)),
        at=at,
        pairs=_pairs(at[chosen[-1]], chosen[-1], list(problems[0].scores), rng),
    )


def paired_difference(a: FloatArray, b: FloatArray, *, rng: np.random.Generator) -> Difference:
    """Mean of a - b over the problems that have both: two ways to choose, or two policies.

    Args:
        a: [P], NaN where there is no value.
        b: [P], of the same problems.
        rng: of the bootstrap.

    Raises:
        BakeoffError: no problem has both.
    """
    differences = np.asarray(a - b, dtype=np.float64)
    return Difference(
        interval=mean_interval(differences[None, :], rng=rng),
        p_value=paired_p_value(differences[None, :]),
        problems=int(np.isfinite(differences).sum()),
    )


def unpaired_difference(a: FloatArray, b: FloatArray, *, rng: np.random.Generator) -> Difference:
    """Mean of a minus mean of b, of different problems: an easy and a hard set.

    The p value is Welch's.

    Args:
        a: [P_a], NaN where there is no value.
        b: [P_b].
        rng: of the bootstrap, which draws the two sets apart.

    Raises:
        BakeoffError: fewer than two values in a or b.
    """
    a, b = a[np.isfinite(a)], b[np.isfinite(b)]
    if min(len(a), len(b)) < 2:
        raise BakeoffError(f"{len(a)} and {len(b)} problems do not compare; take 2 or more of each")
    means = bootstrap_means(a[None, :], rng=rng) - bootstrap_means(b[None, :], rng=rng)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    mean = float(a.mean() - b.mean())
    if np.ptp(a) == np.ptp(b) == 0:
        # Without any spread: the exact permutation test.
        p_value = 1.0 if mean == 0 else 2 / comb(len(a) + len(b), len(a))
    else:
        p_value = float(stats.ttest_ind(a, b, equal_var=False).pvalue)
    return Difference(
        interval=Interval(mean=mean, low=float(low), high=float(high)),
        p_value=p_value,
        problems=len(a) + len(b),
    )


def shared_values(
    a: Verification, b: Verification, *, way: str, k: int
) -> tuple[FloatArray, FloatArray]:
    """[P] values of two files in the same way, of the problems that both have, in a's order.

    Raises:
        BakeoffError: no problem is in both, or the way or K is not in both.
    """
    for one in (a, b):
        if way not in one.at.get(k, {}):
            raise BakeoffError(f"no {way!r} at K = {k} in both files; take a K and way of both")
    place = {problem: index for index, problem in enumerate(b.problems)}
    shared = [(index, place[p]) for index, p in enumerate(a.problems) if p in place]
    if not shared:
        raise BakeoffError("the two files share no problem; give equal problems the same 'id'")
    rows_a, rows_b = map(list, zip(*shared, strict=True))
    return a.at[k][way].values[rows_a], b.at[k][way].values[rows_b]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judgements:
    """The responses of a problem that have a verdict."""

    correct: list[bool]
    answers: list[str | None]
    scores: dict[str, list[float]]

    @classmethod
    def of(cls, problem: Judged) -> "_Judgements":
        kept = [index for index, verdict in enumerate(problem.correct) if verdict is not None]
        return cls(
            correct=[bool(problem.correct[index]) for index in kept],
            answers=[problem.answers[index] for index in kept],
            scores={name: [all_[i] for i in kept] for name, all_ in problem.scores.items()},
        )


def _values(
    judged: Sequence[_Judgements], k: int, rng: np.random.Generator
) -> dict[str, FloatArray]:
    """Way -> [P]."""
    rows = [_chosen(one, k, rng) if len(one.correct) >= k else {} for one in judged]
    ways = next(row for row in rows if row)
    return {way: np.array([row.get(way, np.nan) for row in rows]) for way in ways}


def _chosen(one: _Judgements, k: int, rng: np.random.Generator) -> dict[str, float]:
    found = {
        PASS: pass_at_k(len(one.correct), sum(one.correct), k=k),
        MAJORITY: majority_at_k(one.answers, one.correct, k=k),
    }
    for name, scores in one.scores.items():
        found[f"{BEST}:{name}"] = best_of_k(scores, one.correct, k=k)
    if one.scores:
        subsets = draw_subsets(len(one.correct), k=k, rng=rng)
        for name, scores in one.scores.items():
            found[f"{WEIGHTED}:{name}"] = weighted_vote(
                scores, one.answers, correct=one.correct, subsets=subsets
            )
    return found


def _pairs(
    ways: Mapping[str, Choice], k: int, names: Sequence[str], rng: np.random.Generator
) -> tuple[Pair, ...]:
    differences = [
        paired_difference(ways[f"{BEST}:{name}"].values, ways[MAJORITY].values, rng=rng)
        for name in names
    ]
    adjusted = holm([difference.p_value for difference in differences])
    return tuple(
        Pair(
            a=f"{BEST}:{name}",
            b=MAJORITY,
            k=k,
            difference=difference,
            p_value_holm=p_holm,
            verdict=verdict_of(difference.interval, p_holm),
        )
        for name, difference, p_holm in zip(names, differences, adjusted, strict=True)
    )


def _powers_of_two(most: int) -> list[int]:
    return [2**exponent for exponent in range(most.bit_length())]


def _check(ks: Sequence[int], most: int) -> None:
    if not ks or ks[0] < 1:
        raise ConfigError(f"ks must be whole numbers of 1 or more, got {list(ks)}")
    if ks[-1] > most:
        raise ConfigError(
            f"K = {ks[-1]} is above the {most} judged responses that a problem has at most; "
            "take a smaller K"
        )


def _interval(values: FloatArray, rng: np.random.Generator) -> Interval:
    return share_interval(values[None, :], rng=rng)


def _mean(values: Sequence[bool]) -> float:
    return float(np.mean(values)) if values else np.nan
