import numpy as np
import pytest
from scipy import stats

from bakeoff.errors import BakeoffError
from reports.windows import (
    EARLY,
    LATE,
    late_slope,
    window_difference,
    window_difference_over_problems,
)

SHARES = np.linspace(0, 1, 7)
# By seed: at the start both are equal; then a leads by 0.1 and 0.3, at the end by 0 and -0.2.
A = np.array([[0.2, 0.4, 0.5, 0.5, 0.6, 0.6, 0.6], [0.2, 0.6, 0.7, 0.6, 0.6, 0.6, 0.6]])
B = np.array([[0.2, 0.3, 0.4, 0.5, 0.6, 0.6, 0.6], [0.2, 0.3, 0.4, 0.6, 0.8, 0.8, 0.8]])


def test_an_early_window_holds_the_start_and_the_end_of_the_first_third():
    found = window_difference(A, B, shares=SHARES, window=EARLY)
    assert found.by_seed == pytest.approx((0.2 / 3, 0.6 / 3))
    # Two seeds: the mean +- t(0.975, 1) * |difference| / 2, and t(0.975, 1) = 12.7062.
    mean, half = 0.4 / 3, 12.7062 * (0.4 / 3) / 2
    assert found.interval.mean == pytest.approx(mean)
    assert found.interval.low == pytest.approx(mean - half, abs=1e-5)
    assert found.interval.high == pytest.approx(mean + half, abs=1e-5)


def test_a_late_window_holds_the_last_third():
    found = window_difference(A, B, shares=SHARES, window=LATE)
    assert found.by_seed == pytest.approx((0.0, -0.2))


def test_an_evaluation_counts_where_it_was_due_although_its_batch_overshoots():
    overshot = SHARES + np.array([0, 0.01, 0.01, 0.01, 0.01, 0.01, 0.01])
    for window in (EARLY, LATE):
        expected = window_difference(A, B, shares=SHARES, window=window)
        assert window_difference(A, B, shares=overshot, window=window) == expected
    # Of thirds, two thirds may come out a bit below 2 / 3.
    below = SHARES.copy()
    below[4] = np.nextafter(2 / 3, 0)
    ahead = A + 0.3 * (np.arange(7) == 4)
    late = window_difference(ahead, B, shares=below, window=LATE)
    assert late.by_seed == pytest.approx((0.1, -0.1))
    assert late_slope(A, shares=overshot).by_seed == pytest.approx(
        [np.polyfit(SHARES[3:], row[3:], 1)[0] for row in A]
    )


def test_the_interval_over_seeds_is_the_paired_t_test_s(rng):
    a, b = rng.random((5, 7)), rng.random((5, 7))
    found = window_difference(a, b, shares=SHARES, window=LATE).interval
    expected = stats.ttest_rel(a[:, 4:].mean(axis=1), b[:, 4:].mean(axis=1)).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_the_interval_of_scores_by_problem_is_over_seeds_too(rng):
    # Every seed and problem differs by 0.25 in the window, and not at all outside of it.
    b = rng.integers(0, 2, (3, 7, 40)).astype(np.float64)
    a = b + 0.25 * (SHARES >= 0.6)[None, :, None]
    late = window_difference_over_problems(a, b, shares=SHARES, window=LATE, rng=rng)
    assert (late.mean, late.low, late.high) == pytest.approx((0.25, 0.25, 0.25))
    early = window_difference_over_problems(a, b, shares=SHARES, window=EARLY, rng=rng)
    assert (early.mean, early.low, early.high) == (0.0, 0.0, 0.0)
    # One seed of three gains 1 more: the standard error over seeds is 1/3, times Student's t with 2
    # degrees of freedom on either side. Resamples lie between 0.25 and 1.25, so a third of the
    # width goes below the mean and two thirds above.
    a[0] += 1
    wide = window_difference_over_problems(a, b, shares=SHARES, window=LATE, rng=rng)
    mean, width = 0.25 + 1 / 3, 2 * 4.302653 / 3
    expected = (mean, mean - width / 3, mean + 2 * width / 3)
    assert (wide.mean, wide.low, wide.high) == pytest.approx(expected, abs=1e-5)


def test_a_score_without_a_verdict_leaves_its_problem_s_mean_over_the_window(rng):
    b = np.zeros((2, 7, 2))
    a = np.zeros((2, 7, 2))
    a[:, :, 0] = [0.0, 0.0, 0.0, 0.0, 0.0, 0.6, 0.6]
    a[0, 4, 0] = np.nan
    a[1, 4:, 1] = np.nan
    found = window_difference_over_problems(a, b, shares=SHARES, window=LATE, rng=rng)
    # Problem 0: 0.6 and 0.4 by seed; problem 1: 0 in the first seed, unknown in the second.
    assert found.mean == pytest.approx((0.6 + 0.4 + 0.0) / 3)


def test_the_slope_is_of_the_last_half_and_per_whole_budget():
    shares = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    curves = np.array([[0.9, 0.0, 0.1, 0.2, 0.3], [0.0, 0.9, 0.5, 0.5, 0.5]])
    found = late_slope(curves, shares=shares)
    assert found.by_seed == pytest.approx((0.4, 0.0))
    assert found.interval.mean == pytest.approx(0.2)
    assert found.interval.high == pytest.approx(0.2 + 12.7062 * 0.4 / 2, abs=1e-4)


def test_the_slope_is_by_least_squares_where_shares_are_uneven(rng):
    shares = np.array([0.1, 0.5, 0.6, 0.85, 1.0])
    curves = rng.random((4, 5))
    expected = [stats.linregress(shares[1:], row[1:]).slope for row in curves]
    assert late_slope(curves, shares=shares).by_seed == pytest.approx(expected)


def test_too_little_data_is_refused(rng):
    with pytest.raises(BakeoffError, match="needs 2 or more, got 1"):
        window_difference(A[:1], B[:1], shares=SHARES, window=EARLY)
    with pytest.raises(BakeoffError, match="0 evaluations between 0% and 33%"):
        window_difference(A[:, 3:], B[:, 3:], shares=SHARES[3:], window=EARLY)
    with pytest.raises(BakeoffError, match="1 evaluations between 50% and 100%"):
        late_slope(A[:, :4], shares=SHARES[:4])
    with pytest.raises(BakeoffError, match="needs 2 or more, got 1"):
        late_slope(A[:1], shares=SHARES)
    unknown = np.full((2, 7, 3), np.nan)
    with pytest.raises(BakeoffError, match="no score is finite"):
        window_difference_over_problems(unknown, unknown, shares=SHARES, window=LATE, rng=rng)


def test_curves_that_do_not_pair_are_refused(rng):
    with pytest.raises(BakeoffError, match="do not pair"):
        window_difference(A, B[:1], shares=SHARES, window=EARLY)
    with pytest.raises(BakeoffError, match="do not pair"):
        window_difference(A, B, shares=SHARES[:6], window=EARLY)
    with pytest.raises(BakeoffError, match=r"must be \[seeds, evaluations, problems\], got 2"):
        window_difference_over_problems(A, B, shares=SHARES, window=EARLY, rng=rng)
    with pytest.raises(BakeoffError, match="without a score"):
        window_difference(np.where(A == 0.4, np.nan, A), B, shares=SHARES, window=EARLY)
