from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.errors import BakeoffError
from reports.comparison import SIGNIFICANCE, verdict_of
from reports.intervals import half_width, mean_error, mean_squares
from reports.statistics import (
    bootstrap_means,
    holm,
    majority_at_k,
    mean_interval,
    paired_p_value,
    pass_at_k,
    probability_of_improvement,
    share_interval,
)

# Standard error of a coverage near 95 %: 0.55 points.
STUDIES = 1600

samples = st.lists(
    st.sampled_from([("a", True), ("b", True), ("c", False), ("d", False), (None, False)]),
    min_size=1,
    max_size=8,
)


def brute_pass(correct: list[bool], k: int) -> float:
    return float(np.mean([any(subset) for subset in combinations(correct, k)]))


def brute_majority(pairs: list[tuple[str | None, bool]], k: int) -> float:
    scores = []
    for subset in combinations(pairs, k):
        votes = [answer for answer, _ in subset if answer is not None]
        top = max((votes.count(answer) for answer in votes), default=0)
        winners = {answer for answer in votes if votes.count(answer) == top}
        right = {answer for answer, verdict in subset if verdict} & winners
        scores.append(len(right) / len(winners) if winners else 0.0)
    return float(np.mean(scores))


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_correct_sample(correct, data):
    k = data.draw(st.integers(1, len(correct)))
    assert pass_at_k(len(correct), sum(correct), k=k) == pytest.approx(brute_pass(correct, k))


def test_pass_at_k_by_hand():
    assert pass_at_k(4, 1, k=2) == pytest.approx(1 - comb(3, 2) / comb(4, 2))
    assert pass_at_k(16, 0, k=16) == 0.0
    assert pass_at_k(10_000, 5_000, k=1) == pytest.approx(0.5)


def test_pass_at_more_than_the_samples_is_refused():
    with pytest.raises(BakeoffError, match="pass@5 of 1 correct in 4"):
        pass_at_k(4, 1, k=5)


@given(samples, st.data())
def test_majority_is_the_mean_vote_over_all_subsets(pairs, data):
    k = data.draw(st.integers(1, len(pairs)))
    answers, correct = [a for a, _ in pairs], [v for _, v in pairs]
    assert majority_at_k(answers, correct, k=k) == pytest.approx(brute_majority(pairs, k))


def test_majority_of_one_is_accuracy_over_all_samples():
    answers, correct = ["4", "5", None, "4"], [True, False, False, True]
    assert majority_at_k(answers, correct, k=1) == pytest.approx(0.5)


def test_ties_share_the_credit_and_missing_answers_do_not_vote():
    assert majority_at_k(["4", "5"], [True, False], k=2) == pytest.approx(0.5)
    assert majority_at_k(["4", None, None], [True, False, False], k=3) == 1.0
    assert majority_at_k([None, None], [False, False], k=2) == 0.0
    # {4,4,5} wins twice of three times; {4,5,6} in 2 ways: a third each, of C(4,3) = 4 subsets.
    answers, correct = ["4", "4", "5", "6"], [True, True, False, False]
    assert majority_at_k(answers, correct, k=3) == pytest.approx((1 + 1 + 1 / 3 + 1 / 3) / 4)


def test_the_bootstrap_of_a_constant_is_the_constant(rng):
    interval = mean_interval(np.full((3, 10), 0.25), rng=rng)
    assert (interval.mean, interval.low, interval.high) == pytest.approx((0.25, 0.25, 0.25))


def test_a_seed_effect_widens_the_interval_as_resampling_seeds_must(rng):
    scores = np.repeat([[0.0], [1.0]], 50, axis=1)
    means = bootstrap_means(scores, rng=rng, resamples=4000)
    # Two seeds, drawn with replacement: both 0, mixed, both 1 with 1/4, 1/2, 1/4.
    assert [np.mean(means == value) for value in (0.0, 0.5, 1.0)] == pytest.approx(
        [0.25, 0.5, 0.25], abs=0.03
    )


def test_seeds_of_a_resample_share_their_problems(rng):
    # The same problems are hard for both seeds: more seeds must not narrow the interval.
    row = np.tile([0.0, 1.0], 50)
    spread = [
        bootstrap_means(np.tile(row, (seeds, 1)), rng=rng, resamples=4000).std() for seeds in (1, 8)
    ]
    assert spread[0] == pytest.approx(0.05, rel=0.1)
    assert spread[1] == pytest.approx(spread[0], rel=0.1)


def test_unknown_scores_are_left_out_of_the_mean(rng):
    interval = mean_interval(np.array([[1.0, np.nan, 1.0], [np.nan, np.nan, 1.0]]), rng=rng)
    assert (interval.mean, interval.low, interval.high) == (1.0, 1.0, 1.0)


def test_nothing_known_is_refused(rng):
    with pytest.raises(BakeoffError, match="no score is finite"):
        mean_interval(np.full((2, 3), np.nan), rng=rng)


def test_with_one_seed_the_p_value_is_the_t_test_over_problems():
    # mean 0.5, standard error sqrt(1/3)/2, t = sqrt(3), 3 degrees of freedom.
    assert paired_p_value(np.array([[0.0, 0.0, 1.0, 1.0]])) == pytest.approx(0.181690, abs=1e-5)


def test_the_p_value_is_two_sided_and_order_free():
    rng = np.random.default_rng(5)
    differences = rng.normal(0.2, 1, (3, 30))
    assert paired_p_value(differences) == pytest.approx(paired_p_value(-differences))
    assert paired_p_value(differences) == pytest.approx(paired_p_value(differences[::-1]))


def test_equal_differences_fall_back_on_the_sign_test():
    assert paired_p_value(np.zeros((3, 8))) == 1.0
    assert paired_p_value(np.full((1, 5), 0.5)) == 2 / 2**5


def test_seeds_that_disagree_are_not_significant():
    rng = np.random.default_rng(0)
    differences = np.array([[0.3], [-0.1], [0.1]]) + 0.01 * rng.normal(size=(3, 200))
    assert paired_p_value(differences) > 0.3
    # A test over problems alone would be sure of it.
    assert paired_p_value(differences.mean(axis=0, keepdims=True)) < 1e-6


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_order_and_only_raises(p_values):
    adjusted = holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    by_p = [q for _, q in sorted(zip(p_values, adjusted, strict=True))]
    assert by_p == sorted(by_p)


def test_probability_of_improvement_by_hand():
    a, b = np.array([1.0, 2.0]), np.array([1.0, 0.0])
    # 1 = 1, 1 > 0, 2 > 1, 2 > 0.
    assert probability_of_improvement(a, b) == pytest.approx(3.5 / 4)


def test_the_interval_keeps_the_shape_of_the_bootstrap_and_the_width_of_the_p_value(rng):
    # A rare success: the bootstrap reaches further up than down.
    scores = (rng.random((4, 60)) < 0.04).astype(np.float64)
    interval = mean_interval(scores, rng=rng, resamples=4000)
    width = half_width(mean_error(mean_squares(scores)), level=0.95)
    assert interval.high - interval.low == pytest.approx(2 * width)
    assert interval.high - interval.mean > 1.1 * (interval.mean - interval.low)


def test_three_seeds_that_differ_have_the_width_of_students_t(rng):
    scores = np.repeat([[0.1], [0.2], [0.3]], 200, axis=1)
    interval = mean_interval(scores, rng=rng)
    # 4.303 * 0.1 / sqrt(3) either way; resampled seeds lie between 0.1 and 0.3.
    assert interval.high - interval.low == pytest.approx(2 * 0.2484, abs=1e-3)


def _normal_study(rng, shape, *, seed, problem, noise):
    seeds, problems = shape
    return (
        seed * rng.normal(size=(seeds, 1))
        + problem * rng.normal(size=(1, problems))
        + noise * rng.normal(size=shape)
    )


def _pass_rates(rng, shape, *, arms, seed, samples=16):
    """[A, S, P] of arms that are equal, on problems most of which are easy or hard.

    Symmetric about 1/2, which is the true mean whatever the spread of seeds.
    """
    seeds, problems = shape
    difficulty = rng.beta(0.5, 0.5, problems).clip(1e-4, 1 - 1e-4)
    logits = (
        np.log(difficulty / (1 - difficulty))
        + seed * rng.normal(size=(arms, seeds, 1))
        + 0.3 * rng.normal(size=(arms, seeds, problems))
    )
    return rng.binomial(samples, 1 / (1 + np.exp(-logits))) / samples


def _coverage(studies, *, truth, rng):
    hits = [
        interval.low <= truth <= interval.high
        for interval in (mean_interval(study, rng=rng, resamples=100) for study in studies)
    ]
    return float(np.mean(hits))


# Spread of seeds so that they add a tenth, as much, or ten times what problems and noise make of
# the variance of the mean.
@pytest.mark.slow
@pytest.mark.parametrize("ratio", [0.1, 1.0, 10.0])
@pytest.mark.parametrize("seeds", [3, 5])
def test_intervals_of_simulated_studies_cover_the_truth(seeds, ratio):
    rng = np.random.default_rng(11)
    shape, problem, noise = (seeds, 40), 0.5, 0.4
    seed = np.sqrt(ratio * (problem**2 * seeds + noise**2) / 40)
    studies = (
        0.3 + _normal_study(rng, shape, seed=seed, problem=problem, noise=noise)
        for _ in range(STUDIES)
    )
    assert 0.93 <= _coverage(studies, truth=0.3, rng=rng) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "seed"), [(3, 0.1), (3, 1.0), (5, 0.3), (10, 0.3)])
def test_intervals_of_simulated_pass_rates_cover_the_truth(seeds, seed):
    rng = np.random.default_rng(12)
    studies = (_pass_rates(rng, (seeds, 40), arms=1, seed=seed)[0] for _ in range(STUDIES))
    assert 0.93 <= _coverage(studies, truth=0.5, rng=rng) <= 0.97


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "seed"), [(3, 0.5), (5, 0.3), (5, 1.0)])
def test_intervals_of_paired_differences_cover_the_truth(seeds, seed):
    rng = np.random.default_rng(13)
    pairs = (_pass_rates(rng, (seeds, 40), arms=2, seed=seed) for _ in range(STUDIES))
    assert 0.93 <= _coverage((a - b for a, b in pairs), truth=0.0, rng=rng) <= 0.97


@pytest.mark.slow
def test_intervals_are_wide_rather_than_narrow_where_no_effect_can_be_told_from_noise():
    rng = np.random.default_rng(14)
    studies = (_normal_study(rng, (3, 40), seed=0, problem=0, noise=1) for _ in range(STUDIES))
    assert 0.97 <= _coverage(studies, truth=0.0, rng=rng) <= 0.995


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "seed"), [(2, 0.2), (3, 0.1), (3, 0.3), (5, 0.3)])
def test_four_equal_arms_are_rarely_told_apart(seeds, seed):
    rng = np.random.default_rng(15)
    false = 0
    for _ in range(STUDIES):
        arms = _pass_rates(rng, (seeds, 40), arms=4, seed=seed)
        differences = [a - b for a, b in combinations(arms, 2)]
        adjusted = holm([paired_p_value(difference) for difference in differences])
        false += any(
            verdict_of(mean_interval(difference, rng=rng, resamples=100), p) != "inconclusive"
            for difference, p in zip(differences, adjusted, strict=True)
            if p < SIGNIFICANCE  # without it no verdict: saves the bootstrap
        )
    assert false / STUDIES <= 0.05


def test_a_true_difference_is_found():
    rng = np.random.default_rng(16)
    better = 0
    for _ in range(50):
        difference = 0.2 + _normal_study(rng, (3, 40), seed=0.02, problem=0.1, noise=0.2)
        interval = mean_interval(difference, rng=rng, resamples=100)
        better += verdict_of(interval, paired_p_value(difference)) == "better"
    assert better >= 45


def test_an_interval_of_shares_ends_at_the_ends_of_their_range(rng):
    scores = np.array([[1.0] * 20, [1.0] * 20, [1.0] * 15 + [0.0] * 5])
    whole = mean_interval(scores, rng=np.random.default_rng(0))
    cut = share_interval(scores, rng=np.random.default_rng(0))
    assert whole.high > 1.0
    assert (cut.mean, cut.low, cut.high) == (whole.mean, max(whole.low, 0.0), 1.0)
