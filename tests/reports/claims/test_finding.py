from dataclasses import replace

import pytest

from bakeoff.errors import BakeoffError
from reports.claims.effects import seed_effect
from reports.claims.finding import Value, as_level, as_value, conclude

FALL = seed_effect("fall", {0: 0.1, 1: 0.3}, unit="nats", policies=["grpo", "start"])
OTHER = seed_effect("other", {1: 0.1, 2: 0.3}, unit="nats", policies=["rft"])


def test_what_decides_carries_its_adjusted_p_and_what_is_shown_beside_it_none():
    family = [replace(FALL, p_value_holm=0.5)]
    found = conclude("inconclusive", family=family, rows=[lambda: OTHER], notes=["Read this."])
    first, second = found.values
    assert (first.name, first.p_value_holm, first.decides) == ("fall", 0.5, True)
    assert first.p_value == pytest.approx(FALL.p_of(0.0))
    assert (second.name, second.p_value_holm, second.decides) == ("other", None, False)
    assert found.notes == ("Read this.",)


def test_policies_and_seeds_are_those_that_decide():
    found = conclude("inconclusive", family=[FALL, OTHER])
    assert found.policies == ("grpo", "start", "rft")
    assert found.seeds == (1,)
    assert conclude("inconclusive", family=[FALL], rows=[lambda: OTHER]).policies == (
        "grpo",
        "start",
    )


def test_a_row_that_cannot_be_made_becomes_a_note_once():
    def missing():
        raise BakeoffError("arm ppo is not in the study")

    found = conclude("inconclusive", family=[FALL], rows=[missing, missing, lambda: OTHER])
    assert [value.name for value in found.values] == ["fall", "other"]
    assert found.notes == ("Not shown: arm ppo is not in the study.",)


def test_an_error_of_our_own_is_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        conclude("inconclusive", family=[FALL], rows=[lambda: 1 / 0])


@pytest.mark.parametrize(
    ("by_seed", "holm", "margin", "said"),
    [
        ({0: 0.2, 1: 0.201}, 0.001, 0.0, "fall is above 0"),
        ({0: -0.2, 1: -0.201}, 0.001, 0.0, "fall is below 0"),
        ({0: 0.2, 1: 0.201}, 0.07, 0.0, "fall is not told from 0 (p 0.07 after Holm)"),
        ({0: 0.2, 1: 0.201}, 0.001, 2.0, "fall is within ±2 nats"),
        ({0: -3.0, 1: -3.01}, 0.001, 2.0, "fall is below 0, its interval beyond ±2 nats"),
        ({0: 2.0, 1: 2.1}, 0.001, 2.0, "fall is above 0"),
    ],
)
def test_the_reason_says_what_each_comparison_showed(by_seed, holm, margin, said):
    effect = seed_effect("fall", by_seed, unit="nats", policies=["a"])
    family = [replace(effect, p_value_holm=holm, margin=margin)]
    assert conclude("inconclusive", family=family).reason == said


def test_one_seed_has_a_value_and_neither_interval_nor_p():
    single = seed_effect("fall", {0: 0.1}, unit="nats", policies=["a"])
    assert as_value(single) == Value(name="fall", value=0.1, unit="nats", difference=True)


def test_a_level_is_not_tested():
    level = as_level(FALL)
    assert (level.p_value, level.difference) == (None, False)
    assert (level.low, level.high) == (FALL.interval.low, FALL.interval.high)
