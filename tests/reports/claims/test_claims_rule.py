import numpy as np
import pytest

from reports.claims.effects import Effect, holm_adjusted
from reports.claims.rule import above, alike, below, both, directional, no_rise, rise, within
from reports.statistics import Interval


def effect(low, high, *, p=0.001, p_margin=0.001, margin=0.0):
    """An effect with this interval, p of 0 and p of either margin."""
    return Effect(
        name="a − b",
        unit="points",
        interval=Interval(mean=(low + high) / 2, low=low, high=high),
        p_of=lambda mean: p if mean == 0 else p_margin,
        p_value_holm=p,
        policies=("a", "b"),
        seeds=(0, 1, 2),
        margin=margin,
    )


UP, DOWN, OPEN = effect(1, 3), effect(-3, -1), effect(-1, 3, p=0.4)


def test_a_side_needs_both_the_interval_and_p():
    assert above(UP) and not below(UP)
    assert below(DOWN) and not above(DOWN)
    assert not above(effect(1, 3, p=0.06))
    assert not below(effect(-3, -1, p=0.06))
    assert not above(effect(-0.1, 3, p=0.01))
    assert not above(effect(0.0, 3))


@pytest.mark.parametrize(
    ("family", "verdict"),
    [
        ([UP], "reproduced"),
        ([DOWN], "not reproduced"),
        ([OPEN], "inconclusive"),
        ([UP, UP], "reproduced"),
        ([UP, OPEN], "inconclusive"),
        ([UP, DOWN], "not reproduced"),
    ],
)
def test_a_direction_needs_all_and_one_contradicts(family, verdict):
    assert directional(family) == verdict


def test_only_what_may_contradict_contradicts():
    assert directional([UP, DOWN], contradicting=[UP]) == "inconclusive"
    assert directional([DOWN, UP], contradicting=[DOWN]) == "not reproduced"


def test_two_comparisons_are_adjusted_for_each_other():
    # 0.03 alone would do; with its twin Holm makes 0.06 of both.
    family = [effect(1, 3, p=0.03), effect(1, 3, p=0.03)]
    assert directional(family[:1]) == "reproduced"
    assert directional(holm_adjusted(family)) == "inconclusive"


def test_within_a_margin_needs_the_interval_inside_and_both_edges_rejected():
    assert within(effect(-1, 1, margin=2))
    assert not within(effect(-1, 2, margin=2))
    assert not within(effect(-2.5, 1, margin=2))
    assert not within(effect(-1, 1, margin=2, p_margin=0.06))
    assert not within(effect(-1, 1))


def test_no_rise_is_a_fall_or_nothing():
    assert no_rise(effect(-3, -2, margin=1)) == "reproduced"
    assert no_rise(effect(-0.5, 0.5, p=0.9, margin=1)) == "reproduced"
    assert no_rise(effect(-3, 3, p=0.9, margin=1)) == "inconclusive"
    assert no_rise(effect(2, 3, margin=1)) == "not reproduced"
    # A rise that is sure is a rise, however small.
    assert no_rise(effect(0.1, 0.5, margin=1)) == "not reproduced"


def test_a_rise_must_be_more_than_the_margin():
    assert rise(effect(2, 3, margin=1)) == "reproduced"
    assert rise(effect(0.5, 3, margin=1)) == "reproduced"
    assert rise(effect(0.1, 0.5, margin=1)) == "not reproduced"
    assert rise(effect(-0.5, 0.5, p=0.9, margin=1)) == "not reproduced"
    assert rise(effect(-3, -2, margin=1)) == "not reproduced"
    assert rise(effect(-3, 3, p=0.9, margin=1)) == "inconclusive"


def test_all_must_be_alike_and_one_beyond_the_margin_contradicts():
    inside, beyond = effect(-1, 1, margin=2), effect(2.5, 4, margin=2)
    assert alike([inside, inside]) == "reproduced"
    assert alike([inside, effect(-1, 3, margin=2)]) == "inconclusive"
    assert alike([inside, beyond]) == "not reproduced"
    assert alike([inside, effect(-4, -2.5, margin=2)]) == "not reproduced"
    # Above 0 for sure, but not above the margin.
    assert alike([effect(1.5, 4, margin=2)]) == "inconclusive"


def test_being_beyond_the_margin_is_tested_against_the_margin_over_all_pairs():
    one = effect(2.5, 4, margin=2, p_margin=0.03)
    assert alike([one]) == "not reproduced"
    # Holm over two: 0.03 becomes 0.06.
    assert alike([one, effect(-1, 1, margin=2, p_margin=0.04)]) == "inconclusive"


def test_the_edge_that_is_tested_is_on_the_side_of_the_difference():
    tested = []
    probe = Effect(
        name="a − b",
        unit="points",
        interval=Interval(mean=-3.0, low=-4.0, high=-2.5),
        p_of=lambda mean: tested.append(mean) or 0.001,
        p_value_holm=0.001,
        policies=("a", "b"),
        seeds=(0, 1),
        margin=2.0,
    )
    assert alike([probe]) == "not reproduced"
    assert tested == [-2.0]


def test_two_verdicts_are_one():
    assert both("reproduced", "reproduced") == "reproduced"
    assert both("reproduced", "inconclusive") == "inconclusive"
    assert both("inconclusive", "not reproduced") == "not reproduced"


def test_one_seed_s_endless_interval_decides_nothing():
    endless = effect(-np.inf, np.inf, p=1.0, p_margin=1.0, margin=2)
    assert directional([endless]) == no_rise(endless) == rise(endless) == "inconclusive"
    assert alike([endless]) == "inconclusive"
