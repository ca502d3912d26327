from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from reports.claims.effects import holm_adjusted, seed_effect, table_effect
from reports.claims.scores import Scores
from reports.statistics import paired_p_value


def table(values):
    return Scores(
        policies=("a", "b"),
        seeds=tuple(range(len(values))),
        problems=tuple(f"p{i}" for i in range(len(values[0]))),
        values=np.array(values, dtype=np.float64),
    )


def test_a_table_becomes_points_with_the_p_of_the_paired_test(rng):
    values = 0.03 + 0.1 * rng.normal(size=(3, 40))
    effect = table_effect("a − b", table(values), rng=rng, margin=2.0)
    assert effect.interval.mean == pytest.approx(100 * values.mean())
    assert effect.interval.low < effect.interval.mean < effect.interval.high
    assert effect.p_of(0.0) == effect.p_value_holm == pytest.approx(paired_p_value(100 * values))
    # The test moves with the value that it tests.
    assert effect.p_of(2.0) == pytest.approx(paired_p_value(100 * values - 2.0))
    assert effect.p_of(effect.interval.mean) == pytest.approx(1.0)
    assert (effect.unit, effect.seeds, effect.margin) == ("points", (0, 1, 2), 2.0)


def test_one_number_a_seed_is_student_s_t():
    effect = seed_effect("fall", {0: 0.1, 2: 0.3, 5: 0.2}, unit="nats", policies=["a"])
    expected = stats.ttest_1samp([0.1, 0.3, 0.2], 0.0)
    interval = expected.confidence_interval()
    assert effect.p_of(0.0) == pytest.approx(expected.pvalue)
    assert (effect.interval.low, effect.interval.high) == pytest.approx(
        (interval.low, interval.high)
    )
    # By hand: mean 0.2, standard error 0.1 / sqrt 3, t(0.975, 2) = 4.3027.
    assert effect.interval.high == pytest.approx(0.2 + 4.3027 * 0.1 / 3**0.5, abs=1e-5)
    assert effect.seeds == (0, 2, 5)


def test_one_seed_has_no_interval_and_cannot_be_significant():
    effect = seed_effect("fall", {0: 0.4}, unit="nats", policies=["a"])
    assert (effect.interval.low, effect.interval.mean, effect.interval.high) == (
        -np.inf,
        0.4,
        np.inf,
    )
    assert effect.p_of(0.0) == 1.0


def test_equal_numbers_in_every_seed_have_the_p_of_sign_flips():
    effect = seed_effect("fall", {0: 0.5, 1: 0.5, 2: 0.5}, unit="nats", policies=["a"])
    assert effect.p_of(0.0) == 0.25
    assert effect.p_of(0.5) == 1.0


def test_holm_adjusts_within_the_family():
    effect = seed_effect("fall", {0: 0.0, 1: 0.0}, unit="nats", policies=["a"])
    family = [replace(effect, p_of=lambda mean, p=p: p) for p in (0.04, 0.01, 0.03)]
    assert [e.p_value_holm for e in holm_adjusted(family)] == pytest.approx([0.06, 0.03, 0.06])
