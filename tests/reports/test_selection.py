from fractions import Fraction
from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.errors import BakeoffError
from reports.selection import SUBSETS, best_of_k, draw_subsets, weighted_vote
from reports.statistics import majority_at_k

# (tenths of a score, (answer, verdict)): few distinct values, so that scores and sums tie often.
responses = st.lists(
    st.tuples(
        st.integers(-3, 6),
        st.sampled_from([("a", True), ("b", True), ("c", False), ("d", False), (None, False)]),
    ),
    min_size=1,
    max_size=8,
)


def brute_best(tenths: list[int], correct: list[bool], k: int) -> Fraction:
    credits = []
    for subset in combinations(zip(tenths, correct, strict=True), k):
        top = max(score for score, _ in subset)
        first = [verdict for score, verdict in subset if score == top]
        credits.append(Fraction(sum(first), len(first)))
    return sum(credits, Fraction(0)) / len(credits)


def brute_vote(drawn: list[tuple[int, tuple[str | None, bool]]], k: int) -> Fraction:
    credits = []
    for subset in combinations(drawn, k):
        sums: dict[str, int] = {}
        for score, (answer, _) in subset:
            if answer is not None:
                sums[answer] = sums.get(answer, 0) + score
        first = [answer for answer, total in sums.items() if total == max(sums.values())]
        right = {answer for _, (answer, verdict) in subset if verdict}
        credits.append(Fraction(len(right.intersection(first)), max(1, len(first))))
    return sum(credits, Fraction(0)) / len(credits)


@given(responses, st.data())
def test_best_of_k_is_the_mean_over_all_subsets(drawn, data):
    k = data.draw(st.integers(1, len(drawn)))
    tenths, correct = [score for score, _ in drawn], [verdict for _, (_, verdict) in drawn]
    found = best_of_k([score / 10 for score in tenths], correct, k=k)
    assert found == pytest.approx(float(brute_best(tenths, correct, k)))


def test_best_of_k_by_hand():
    # Best to worst: wrong, right, right, wrong. Of 6 pairs 3 hold the first, 2 then the second.
    scores, correct = [0.9, 0.8, 0.5, 0.1], [False, True, True, False]
    assert best_of_k(scores, correct, k=1) == pytest.approx(1 / 2)
    assert best_of_k(scores, correct, k=2) == pytest.approx(3 / 6)
    assert best_of_k(scores, correct, k=3) == pytest.approx(1 / 4)
    assert best_of_k(scores, correct, k=4) == 0.0


def test_tied_scores_share_the_credit_whatever_their_order():
    assert best_of_k([0.5, 0.5, 0.1], [True, False, False], k=3) == pytest.approx(1 / 2)
    assert best_of_k([0.5, 0.5, 0.1], [False, True, False], k=3) == pytest.approx(1 / 2)
    assert best_of_k([1.0] * 5, [True, False, False, False, False], k=3) == pytest.approx(1 / 5)


def test_a_perfect_verifier_reaches_pass_at_k_of_many_responses():
    correct = [index < 3 for index in range(200)]
    expected = 1 - comb(197, 100) / comb(200, 100)
    found = best_of_k(list(map(float, correct)), correct, k=100)
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("k", [0, 4])
def test_a_choice_among_more_than_there_are_is_refused(k, rng):
    with pytest.raises(BakeoffError, match=f"among {k} of 3 responses"):
        best_of_k([1.0, 2.0, 3.0], [True, False, False], k=k)
    with pytest.raises(BakeoffError, match=f"among {k} of 3 responses"):
        draw_subsets(3, k=k, rng=rng)


@given(responses, st.data())
def test_a_weighted_vote_over_all_subsets_is_exact(drawn, data):
    k = data.draw(st.integers(1, len(drawn)))
    subsets = draw_subsets(len(drawn), k=k, rng=np.random.default_rng(0))
    assert len(subsets) == comb(len(drawn), k)
    found = weighted_vote(
        [score / 10 for score, _ in drawn],
        [answer for _, (answer, _) in drawn],
        correct=[verdict for _, (_, verdict) in drawn],
        subsets=subsets,
    )
    assert found == pytest.approx(float(brute_vote(drawn, k)))


@given(responses, st.data(), st.sampled_from([0.1, 0.3, 7.0]))
def test_equal_scores_are_the_plain_vote(drawn, data, score):
    k = data.draw(st.integers(1, len(drawn)))
    answers = [answer for _, (answer, _) in drawn]
    correct = [verdict for _, (_, verdict) in drawn]
    subsets = draw_subsets(len(drawn), k=k, rng=np.random.default_rng(0))
    found = weighted_vote([score] * len(drawn), answers, correct=correct, subsets=subsets)
    assert found == pytest.approx(majority_at_k(answers, correct, k=k))


def test_a_weighted_vote_by_hand(rng):
    answers, correct = ["4", "5", "5", None], [True, False, False, False]
    everything = draw_subsets(4, k=4, rng=rng)
    # 0.7 against 0.3 + 0.3; the unanswered 0.9 has no vote.
    found = weighted_vote([0.7, 0.3, 0.3, 0.9], answers, correct=correct, subsets=everything)
    assert found == 1.0
    assert weighted_vote([0.5, 0.3, 0.3, 0.9], answers, correct=correct, subsets=everything) == 0.0
    # 0.1 + 0.2 and 0.3 differ in their last bit alone.
    found = weighted_vote([0.3, 0.1, 0.2, 0.9], answers, correct=correct, subsets=everything)
    assert found == pytest.approx(1 / 2)


def test_an_answer_that_was_not_drawn_does_not_beat_negative_scores(rng):
    answers, correct = ["4", "5", "5"], [True, False, False]
    subsets = draw_subsets(3, k=1, rng=rng)
    found = weighted_vote([-2.0, -1.0, -1.0], answers, correct=correct, subsets=subsets)
    assert found == pytest.approx(1 / 3)


def test_without_any_answer_the_vote_is_wrong(rng):
    subsets = draw_subsets(2, k=2, rng=rng)
    assert weighted_vote([1.0, 1.0], [None, None], correct=[True, True], subsets=subsets) == 0.0


def test_the_largest_scores_overflow_nothing(rng):
    answers, correct = ["4", "4", "5", "5"], [False, False, True, True]
    subsets = draw_subsets(4, k=4, rng=rng)
    huge = [1e308, 1e308, 1.5e308, 0.9e308]  # both sums are above the largest float
    assert weighted_vote(huge, answers, correct=correct, subsets=subsets) == 1.0


def test_random_subsets_hold_every_response_equally_often(rng):
    subsets = np.concatenate([draw_subsets(20, k=5, rng=rng) for _ in range(40)])
    assert len(subsets) == 40 * SUBSETS
    assert (subsets.sum(axis=1) == 5).all()
    # Each response is in a quarter of them: standard error sqrt(3/16 / 10240) = 0.0043.
    assert subsets.mean(axis=0) == pytest.approx(np.full(20, 0.25), abs=0.02)


def test_a_vote_over_random_subsets_is_near_the_one_over_all(rng):
    answers = [*"aaaaa", *"bbbb", *"ccc"]
    correct = [answer == "a" for answer in answers]
    scores = [index % 5 / 4 for index in range(12)]
    everything = np.zeros((comb(12, 5), 12), dtype=np.bool_)
    np.put_along_axis(everything, np.array(list(combinations(range(12), 5))), np.True_, axis=1)
    exact = weighted_vote(scores, answers, correct=correct, subsets=everything)
    means = [
        weighted_vote(scores, answers, correct=correct, subsets=draw_subsets(12, k=5, rng=rng))
        for _ in range(50)
    ]
    assert 0.2 < exact < 0.8
    # Standard error at most 0.5 / sqrt(50 * 256) = 0.0044.
    assert np.mean(means) == pytest.approx(exact, abs=0.018)
