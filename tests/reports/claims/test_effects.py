from dataclasses import replace

import numpy as np
import pytest

from reports.claims.effects import holm_adjusted, seed_effect, table_effect
from reports.claims.scores import Scores
from reports.seed_statistics import seed_interval, seed_p_value
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


def test_one_number_a_seed_has_the_statistics_of_seeds():
    values = (0.1, 0.3, 0.2)
    effect = seed_effect("fall", dict(zip((0, 2, 5), values, strict=True)), unit="nats",
                         policies=["a"])  # fmt: skip
    assert effect.interval == seed_interval(values)
    assert effect.p_value_holm == effect.p_of(0.0) == seed_p_value(values, 0.0)
    assert effect.p_of(0.25) == seed_p_value(values, 0.25)
    assert (effect.seeds, effect.policies) == ((0, 2, 5), ("a",))


def test_holm_adjusts_within_the_family():
    effect = seed_effect("fall", {0: 0.0, 1: 0.0}, unit="nats", policies=["a"])
    family = [replace(effect, p_of=lambda mean, p=p: p) for p in (0.04, 0.01, 0.03)]
    assert [e.p_value_holm for e in holm_adjusted(family)] == pytest.approx([0.06, 0.03, 0.06])
