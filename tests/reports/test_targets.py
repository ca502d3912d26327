import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.errors import ConfigError
from reports.targets import targets, time_to_target, time_to_target_profile

SPENT = np.array([0.0, 10.0, 20.0, 40.0])


def test_targets_are_shares_of_the_way():
    assert targets(0.2, 0.6) == pytest.approx((0.4, 0.5, 0.56))
    with pytest.raises(ConfigError, match="not above the start"):
        targets(0.5, 0.5)


def test_a_target_between_two_evaluations_is_interpolated():
    accuracy = np.array([0.2, 0.3, 0.5, 0.4])
    assert time_to_target(SPENT, accuracy, target=0.35) == pytest.approx(12.5)
    assert time_to_target(SPENT, accuracy, target=0.5) == pytest.approx(20.0)


def test_a_target_is_reached_the_first_time_even_if_it_is_lost_again():
    accuracy = np.array([0.2, 0.4, 0.1, 0.6])
    assert time_to_target(SPENT, accuracy, target=0.4) == pytest.approx(10.0)


def test_a_miss_is_infinite_and_a_start_at_the_target_costs_nothing():
    accuracy = np.array([0.2, 0.3, 0.5, 0.4])
    assert time_to_target(SPENT, accuracy, target=0.51) == np.inf
    assert time_to_target(SPENT, accuracy, target=0.2) == 0.0
    assert time_to_target(SPENT, np.full(4, np.nan), target=0.2) == np.inf


def test_an_evaluation_without_a_score_is_bridged():
    accuracy = np.array([0.2, np.nan, 0.4, 0.4])
    assert time_to_target(SPENT, accuracy, target=0.3) == pytest.approx(10.0)


def test_spending_that_goes_back_is_refused():
    with pytest.raises(ConfigError, match="increasing"):
        time_to_target(np.array([0.0, 5.0, 5.0]), np.array([0.1, 0.2, 0.3]), target=0.2)


def test_the_profile_by_hand():
    times = np.array([[10.0, 30.0, np.inf, np.inf], [20.0, 10.0, 50.0, np.inf]])
    found = time_to_target_profile(times, factors=np.array([1.0, 2.0, 3.0, 100.0]))
    # Ratios 1, 3, miss, miss and 2, 1, 1, miss.
    assert found.shares.tolist() == [[0.25, 0.25, 0.5, 0.5], [0.5, 0.75, 0.75, 0.75]]
    # What is left of 1 to 4: (1 + 1/3) / 4 and (2/3 + 1 + 1) / 4.
    assert found.scores == pytest.approx([1 / 3, 2 / 3])


def test_a_run_that_a_method_does_not_have_is_not_its_miss():
    times = np.array([[10.0, np.nan], [20.0, 40.0]])
    found = time_to_target_profile(times, factors=np.array([1.0, 2.0]))
    assert found.shares.tolist() == [[1.0, 1.0], [0.5, 1.0]]


@given(
    st.lists(
        st.lists(st.one_of(st.floats(0.1, 100), st.just(np.inf)), min_size=4, max_size=4),
        min_size=1,
        max_size=4,
    )
)
def test_the_score_is_the_area_under_the_profile(rows):
    times = np.array(rows)
    factors = 1 + 3 * (np.arange(4000) + 0.5) / 4000
    found = time_to_target_profile(times, factors=factors)
    assert found.scores == pytest.approx(found.shares.mean(axis=1), abs=1e-3)
    assert (np.diff(found.shares, axis=1) >= 0).all()


def test_a_ratio_to_nothing_is_refused():
    with pytest.raises(ConfigError, match="spending of 0"):
        time_to_target_profile(np.array([[0.0], [5.0]]), factors=np.array([1.0]))
    with pytest.raises(ConfigError, match="a method without runs"):
        time_to_target_profile(np.array([[np.nan], [5.0]]), factors=np.array([1.0]))
