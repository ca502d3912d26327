import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from reports.intervals import MeanError, half_width, mean_error, mean_squares, two_sided_p

variances = st.floats(1e-6, 10.0)


def test_mean_squares_by_hand():
    # Seeds' means 2 and 4, problems' 2, 3 and 4; what is left of the sum is 0, then 1 in a corner.
    squares = mean_squares(np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 5.0]]))
    assert (squares.seed, squares.problem, squares.noise) == pytest.approx((6.0, 2.0, 0.0))
    # Residuals of the corner: 1/3, -1/6, -1/6 and the same below with the other sign.
    squares = mean_squares(np.array([[2.0, 2.0, 3.0], [3.0, 4.0, 5.0]]))
    assert squares.noise == pytest.approx((2 / 9 + 4 / 36) / 2)


def test_mean_squares_estimate_the_variances_that_made_the_scores():
    rng = np.random.default_rng(3)
    found = np.array(
        [
            (s.seed, s.problem, s.noise)
            for s in (
                mean_squares(
                    0.5 * rng.normal(size=(4, 1))
                    + 2.0 * rng.normal(size=(1, 20))
                    + rng.normal(size=(4, 20))
                )
                for _ in range(2000)
            )
        ]
    ).mean(axis=0)
    assert found == pytest.approx([20 * 0.25 + 1, 4 * 4 + 1, 1.0], rel=0.05)


def test_a_seed_and_a_problem_without_any_score_do_not_count():
    table = np.array([[1.0, 2.0, 4.0], [3.0, 5.0, 5.0]])
    wider = np.full((3, 4), np.nan)
    wider[:2, :3] = table
    assert mean_squares(wider) == mean_squares(table)


def test_missing_cells_of_an_additive_table_leave_no_noise_and_widen_the_error():
    table = np.arange(3.0)[:, None] + 10 * np.arange(6.0)[None, :]
    holed = table.copy()
    holed[np.arange(3), np.arange(3)] = np.nan
    squares = mean_squares(holed)
    assert squares.cells == 15
    assert half_width(mean_error(squares), level=0.95) > half_width(
        mean_error(mean_squares(table)), level=0.95
    )


def test_without_an_effect_of_problems_it_is_students_t_over_seeds():
    rng = np.random.default_rng(0)
    scores = np.array([[0.1], [0.5], [0.9]]) + 0.01 * rng.normal(size=(3, 200))
    error = mean_error(mean_squares(scores))
    by_seed = scores.mean(axis=1)
    expected = stats.t.ppf(0.975, 2) * stats.sem(by_seed)
    assert half_width(error, level=0.95) == pytest.approx(expected, rel=1e-3)
    p = stats.ttest_1samp(by_seed, 0.0).pvalue
    assert two_sided_p(error, distance=float(by_seed.mean())) == pytest.approx(p, rel=1e-3)


def test_without_an_effect_of_seeds_it_is_students_t_over_problems():
    rng = np.random.default_rng(0)
    problems = rng.normal(size=40)
    error = mean_error(mean_squares(np.tile(problems, (3, 1))))
    expected = stats.t.ppf(0.975, 39) * stats.sem(problems)
    assert half_width(error, level=0.95) == pytest.approx(expected)
    p = stats.ttest_1samp(problems, 0.3).pvalue
    distance = abs(float(problems.mean()) - 0.3)
    assert two_sided_p(error, distance=distance) == pytest.approx(p)


def test_parts_have_their_own_t_by_hand():
    # Seeds add 2.1 - 0.1 to the 2 of problems: t = (4.3027 + 1.9842) / 2, times the error 2.
    error = MeanError(
        seeds_alone=2.1, problems_alone=2.0, noise=0.1, seed_freedom=2, problem_freedom=99
    )
    assert half_width(error, level=0.95) == pytest.approx(6.2869, abs=1e-3)


@given(variances, variances, variances, st.integers(1, 9), st.integers(1, 500), st.floats(0.5, 1))
def test_the_p_value_is_the_level_at_which_the_interval_ends(
    seeds, problems, noise, seed_freedom, problem_freedom, level
):
    error = MeanError(
        seeds_alone=seeds,
        problems_alone=problems,
        noise=noise,
        seed_freedom=seed_freedom,
        problem_freedom=problem_freedom,
    )
    level = min(level, 1 - 1e-9)
    distance = half_width(error, level=level)
    assert two_sided_p(error, distance=distance) == pytest.approx(1 - level, rel=1e-5)


def test_a_p_value_too_small_for_a_float_is_still_a_number():
    error = MeanError(
        seeds_alone=2e-4, problems_alone=1e-4, noise=0.0, seed_freedom=400, problem_freedom=400
    )
    assert 0 <= two_sided_p(error, distance=1e6) <= 1e-200
    assert two_sided_p(error, distance=0.0) == 1.0
