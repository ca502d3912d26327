import numpy as np
import pytest
from scipy import stats

from reports.seed_statistics import seed_interval, seed_p_value

VALUES = (0.1, 0.3, 0.2)


def test_the_interval_is_student_s_t():
    found = seed_interval(VALUES)
    expected = stats.ttest_1samp(VALUES, 0.0).confidence_interval()
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    # By hand: mean 0.2, standard error 0.1 / sqrt 3, t(0.975, 2) = 4.3027.
    assert found.high == pytest.approx(0.2 + 4.3027 * 0.1 / 3**0.5, abs=1e-5)


@pytest.mark.parametrize("mean", [0.0, 0.15, 0.5])
def test_the_p_value_is_student_s_t(mean):
    expected = stats.ttest_1samp(VALUES, mean).pvalue
    assert seed_p_value(VALUES, mean) == pytest.approx(expected)


def test_one_seed_has_no_interval_and_cannot_be_significant():
    found = seed_interval([0.4])
    assert (found.low, found.mean, found.high) == (-np.inf, 0.4, np.inf)
    assert seed_p_value([0.4], 0.0) == 1.0


def test_equal_numbers_in_every_seed_have_the_p_of_sign_flips():
    assert seed_p_value([0.5] * 3, 0.0) == 0.25
    assert seed_p_value([0.5] * 3, 0.5) == 1.0
