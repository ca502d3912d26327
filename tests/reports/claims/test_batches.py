import numpy as np
import pytest

from bakeoff.errors import BakeoffError
from reports.claims.batches import (
    every_batch,
    metric_contrast,
    metric_growth,
    metric_means,
    metric_slope,
)

FALLING = [[1.0 - 0.04 * b for b in range(20)], [0.5] * 18 + [0.1, 0.3]]


def with_metrics(make_evidence, series, **more):
    seeds = range(len(series))
    return make_evidence(metrics={"grpo": {"entropy": series, **more}}, seeds=tuple(seeds))


def test_an_end_is_a_tenth_of_the_batches(make_evidence):
    evidence = with_metrics(make_evidence, FALLING)
    last = metric_means(evidence, "grpo", "entropy")
    assert last == pytest.approx({0: (0.28 + 0.24) / 2, 1: 0.2})
    first = metric_means(evidence, "grpo", "entropy", last=False)
    assert first == pytest.approx({0: 0.98, 1: 0.5})
    growth = metric_growth(evidence, "grpo", "entropy")
    assert growth == pytest.approx({0: 0.26 - 0.98, 1: -0.3})


def test_batches_without_the_number_are_left_out_and_seeds_with_none(make_evidence):
    evidence = with_metrics(make_evidence, [[0.5] * 18 + [None, 0.4], [0.5] * 18 + [None, None]])
    assert metric_means(evidence, "grpo", "entropy") == {0: 0.4}
    assert metric_growth(evidence, "grpo", "entropy") == pytest.approx({0: -0.1})
    with pytest.raises(BakeoffError, match="grpo recorded no clip_fraction in the last tenth"):
        metric_means(evidence, "grpo", "clip_fraction")


def test_a_slope_is_per_run_and_of_a_weighted_sum(make_evidence):
    shares = np.linspace(0, 1, 21)
    reward = (0.3 + 0.2 * shares + 0.4 * np.maximum(shares - 0.5, 0)).tolist()
    pass_rate = (0.1 + 0.2 * shares).tolist()
    evidence = with_metrics(make_evidence, [[0.0] * 21], reward=[reward], pass_rate=[pass_rate])
    keys = {"reward": 1.0, "pass_rate": -1.0}
    assert metric_slope(evidence, "grpo", keys, start=0.5) == pytest.approx({0: 0.4})
    assert metric_slope(evidence, "grpo", {"pass_rate": 1.0}, start=0.0) == pytest.approx({0: 0.2})


def test_a_slope_needs_two_batches(make_evidence):
    evidence = with_metrics(make_evidence, [[None, None, 0.5]])
    with pytest.raises(BakeoffError, match="too few numbers of entropy for a slope"):
        metric_slope(evidence, "grpo", {"entropy": 1.0}, start=0.0)


def test_a_difference_of_metrics_is_over_shared_seeds():
    effect = metric_contrast(
        "fall", {0: 0.5, 1: 0.7, 2: 9.0}, {0: 0.4, 1: 0.4}, unit="nats", policies=["a", "b"]
    )
    assert effect.interval.mean == pytest.approx(0.2)
    assert effect.seeds == (0, 1)
    with pytest.raises(BakeoffError, match="a, b share no seed"):
        metric_contrast("fall", {0: 1.0}, {1: 1.0}, unit="nats", policies=["a", "b"])


def test_every_batch_of_every_seed_is_kept(make_evidence):
    evidence = with_metrics(make_evidence, [[0.0, None, 0.2], [0.0, 0.0]])
    assert sorted(every_batch(evidence, "grpo", "entropy")) == [0.0, 0.0, 0.0, 0.2]
    with pytest.raises(BakeoffError, match="grpo recorded no reward"):
        every_batch(evidence, "grpo", "reward")
