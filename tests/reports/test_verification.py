from dataclasses import dataclass, field

import numpy as np
import pytest
from scipy import stats

from bakeoff.errors import BakeoffError, ConfigError
from reports.verification import (
    paired_difference,
    shared_values,
    unpaired_difference,
    verification,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    id: str
    correct: tuple[bool | None, ...]
    answers: tuple[str | None, ...]
    scores: dict[str, tuple[float, ...]] = field(default_factory=dict)


def problem(id: str, text: str, *, unjudged: tuple[int, ...] = (), **scores: tuple[float, ...]):
    """Answers as single letters: r is right, - is none."""
    return Problem(
        id=id,
        correct=tuple(None if i in unjudged else letter == "r" for i, letter in enumerate(text)),
        answers=tuple(None if letter == "-" else letter for letter in text),
        scores=scores,
    )


BY_HAND = [
    problem("p", "rrxy", orm=(0.1, 0.2, 0.9, 0.3), prm=(0.9, 0.8, 0.1, 0.2)),
    problem("q", "xxr-", orm=(0.1, 0.1, 0.4, 0.3), prm=(0.5, 0.4, 0.3, 0.2)),
]


def test_every_way_at_every_k_by_hand(rng):
    found = verification(BY_HAND, rng=rng)
    assert list(found.at) == [1, 2, 4]
    expected = {
        1: {"pass": (1 / 2, 1 / 4), "maj": (1 / 2, 1 / 4), "best:orm": (1 / 2, 1 / 4)},
        2: {
            "pass": (5 / 6, 3 / 6),
            # p: rr 1, rx rx ry ry a half each, xy 0. q: xx 0, xr xr a half each, x- x- 0, r- 1.
            "maj": (3 / 6, 2 / 6),
            # p: right where neither the first nor the second score is drawn. q: r is highest.
            "best:orm": (1 / 6, 3 / 6),
            "weighted:orm": (1 / 6, 3 / 6),
        },
        4: {
            "pass": (1.0, 1.0),
            "maj": (1.0, 0.0),
            "best:orm": (0.0, 1.0),
            "best:prm": (1.0, 0.0),
            "weighted:orm": (0.0, 1.0),  # 0.3 against 0.9; 0.2 against 0.4
            "weighted:prm": (1.0, 0.0),
        },
    }
    for k, ways in expected.items():
        for way, values in ways.items():
            assert found.at[k][way].values == pytest.approx(values), (k, way)
            assert found.at[k][way].interval.mean == pytest.approx(np.mean(values))
    assert found.accuracy.values == pytest.approx((1 / 2, 1 / 4))
    assert found.format_rate.values == pytest.approx((1.0, 3 / 4))
    assert (found.problems, found.responses, found.unjudged) == (("p", "q"), 8, 0)


def test_responses_without_a_verdict_are_left_out_of_everything(rng):
    scores = (0.9, 0.1, 0.2, 0.3)
    with_one = problem("p", "rxr-", unjudged=(0,), orm=scores)
    without = problem("p", "xr-", orm=scores[1:])
    found, expected = verification([with_one], rng=rng), verification([without], rng=rng)
    assert (found.responses, found.unjudged) == (4, 1)
    assert list(found.at) == [1, 2]  # four responses, of which three are left
    for k in (1, 2):
        for way, choice in expected.at[k].items():
            assert found.at[k][way].values == pytest.approx(choice.values), (k, way)
    assert found.accuracy.interval == expected.accuracy.interval
    assert found.format_rate.values == pytest.approx([2 / 3])


def test_a_problem_with_too_few_responses_is_left_out_of_that_k(rng):
    found = verification([problem("p", "rrrx"), problem("q", "xx")], ks=(4, 1, 2, 2), rng=rng)
    assert {k: found.count(k) for k in found.at} == {1: 2, 2: 2, 4: 1}
    assert np.isnan(found.at[4]["maj"].values[1])
    assert found.at[4]["maj"].interval.mean == 1.0
    assert found.at[2]["maj"].interval.mean == pytest.approx((3 / 6 + 3 / 6 / 2) / 2)


def test_a_k_that_no_problem_has_is_refused(rng):
    with pytest.raises(ConfigError, match="K = 8 is above the 4 judged responses"):
        verification(BY_HAND, ks=(1, 8), rng=rng)
    with pytest.raises(ConfigError, match=r"1 or more, got \[0, 1\]"):
        verification(BY_HAND, ks=(1, 0), rng=rng)


def test_nothing_judged_is_refused(rng):
    with pytest.raises(BakeoffError, match="no response has a verdict"):
        verification([problem("p", "rx", unjudged=(0, 1))], rng=rng)


def test_verifiers_are_compared_with_the_vote_at_the_largest_k(rng):
    # Two of three problems are lost by the vote and found by the good verifier alone.
    good, bad = (0.2, 0.1, 0.9), (0.9, 0.1, 0.2)
    problems = [
        problem(f"p{i}", "rrr" if i % 3 == 0 else "xxr", good=good, bad=bad) for i in range(60)
    ]
    found = verification(problems, ks=(1, 3), rng=rng)
    by_name = {pair.a: pair for pair in found.pairs}
    assert {pair.b for pair in found.pairs} == {"maj"} and {pair.k for pair in found.pairs} == {3}
    better, same = by_name["best:good"], by_name["best:bad"]
    assert better.difference.interval.mean == pytest.approx(2 / 3)
    assert (better.verdict, same.verdict) == ("better", "inconclusive")
    assert (same.difference.p_value, same.difference.problems) == (1.0, 60)
    assert better.p_value_holm == pytest.approx(2 * better.difference.p_value)


def test_without_scores_there_is_nothing_to_compare(rng):
    found = verification([problem("p", "rx")], rng=rng)
    assert found.pairs == ()
    assert list(found.at[1]) == ["pass", "maj"]


def test_verifiers_with_scores_below_zero_are_named(rng):
    problems = [
        problem("p", "rx", a=(0.5, 0.1), b=(-1.0, 2.0)),
        problem("q", "rx", a=(0, 0), b=(1, 1)),
    ]
    assert verification(problems, rng=rng).below_zero == ("b",)


def test_two_files_pair_by_the_id_of_their_problems(rng):
    before = verification([problem("p", "rx"), problem("q", "xx"), problem("s", "rr")], rng=rng)
    after = verification([problem("q", "rr"), problem("t", "xx"), problem("p", "rx")], rng=rng)
    a, b = shared_values(after, before, way="pass", k=1)
    assert (list(a), list(b)) == ([1.0, 0.5], [0.0, 0.5])  # q, p
    difference = paired_difference(a, b, rng=rng)
    assert difference.interval.mean == pytest.approx(0.5)
    assert difference.problems == 2
    # Differences 1 and 0: t = 0.5 / (0.7071 / 1.4142) = 1 with one degree of freedom.
    assert difference.p_value == pytest.approx(0.5)


def test_files_that_share_nothing_are_refused(rng):
    a = verification([problem("p", "rx")], rng=rng)
    b = verification([problem("q", "rx")], rng=rng)
    with pytest.raises(BakeoffError, match="share no problem"):
        shared_values(a, b, way="pass", k=1)
    with pytest.raises(BakeoffError, match="no 'best:orm' at K = 1"):
        shared_values(a, b, way="best:orm", k=1)


def test_problems_with_one_value_alone_do_not_pair(rng):
    a, b = np.array([1.0, np.nan, 0.5]), np.array([0.0, 0.0, np.nan])
    difference = paired_difference(a, b, rng=rng)
    assert (difference.interval.mean, difference.problems) == (1.0, 1)


def test_an_easy_and_a_hard_set_compare_by_welch(rng):
    easy, hard = np.array([0.9, 0.7, 0.8, np.nan]), np.array([0.1, 0.5, 0.3, 0.3, 0.3])
    found = unpaired_difference(easy, hard, rng=rng)
    # Squared standard errors 0.01 / 3 and 0.02 / 5: t = 0.5 / sqrt(0.0073333) = 5.8387, with
    # 0.0073333^2 / (0.0033333^2 / 2 + 0.004^2 / 4) = 5.6279 degrees of freedom.
    assert found.interval.mean == pytest.approx(0.5)
    assert found.p_value == pytest.approx(2 * stats.t.sf(5.8387, 5.6279), rel=1e-3)
    assert found.problems == 8
    assert 0.3 < found.interval.low < 0.5 < found.interval.high < 0.7


def test_sets_without_spread_fall_back_on_the_permutation_test(rng):
    ones, zeros = np.ones(3), np.zeros(2)
    assert unpaired_difference(ones, zeros, rng=rng).p_value == pytest.approx(2 / 10)
    assert unpaired_difference(ones, np.ones(4), rng=rng).p_value == 1.0
    with pytest.raises(BakeoffError, match="3 and 1 problems do not compare"):
        unpaired_difference(ones, zeros[:1], rng=rng)
