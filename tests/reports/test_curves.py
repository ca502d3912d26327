from dataclasses import replace

import numpy as np
import pytest

from reports.curves import learning_curve, over_k, trace
from reports.load import Cell, load_study

CELL = Cell(
    method="grpo",
    seed=0,
    directory="grpo-s0",
    config={},
    ledger={},
    metrics={},
    evaluations={},
    transcripts=(),
)


def test_a_curve_goes_from_the_start_to_the_end(make_study, rng):
    study = load_study(make_study(methods=("grpo",)))
    points = learning_curve(study, "grpo", axis="sampled_tokens", rng=rng)
    assert [round(point.x) for point in points] == [0, 66_666, 133_333, 200_000]
    assert points[-1].interval.mean > points[0].interval.mean


def test_the_points_of_a_pool_lie_at_the_full_budget(make_study, rng):
    study = load_study(make_study(methods=("rft",)))
    points = learning_curve(study, "rft", axis="sampled_tokens", rng=rng)
    assert [point.x for point in points] == [0, 200_000, 200_000, 200_000]


def test_pass_at_k_never_falls_with_k(make_study, rng):
    study = load_study(make_study(methods=("ppo",)))
    finals = [cell.final("test") for cell in study.cells]
    means = [point.interval.mean for point in over_k(finals, kind="pass", rng=rng)]
    assert len(means) == 5
    assert means == sorted(means)


def test_a_trace_is_the_mean_over_seeds_of_what_was_recorded(make_study):
    study = load_study(make_study(methods=("ppo",), seeds=(0, 1)))
    found = trace(study.cells, "entropy")
    expected = np.mean([cell.metrics["entropy"] for cell in study.cells], axis=0)
    assert found is not None
    assert found.mean == pytest.approx(expected)
    assert trace(study.cells, "zero_variance_share") is None


def test_a_metric_that_was_not_loaded_is_an_error_and_no_empty_figure(make_study):
    study = load_study(make_study(methods=("ppo",), seeds=(0,)))
    with pytest.raises(KeyError, match="reward"):
        trace(study.cells, "reward")


def test_a_trace_has_the_batches_that_every_seed_reached(make_study):
    path = make_study(methods=("grpo",), seeds=(0, 1), batches=6)
    file = path / "grpo-s1-abcdef0123/metrics.jsonl"
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join([lines[0], *lines[2:5]]))
    first, second = (cell.metrics["pass_rate"] for cell in load_study(path).of("grpo"))
    found = trace(load_study(path).cells, "pass_rate")
    assert found is not None
    np.testing.assert_array_equal(found.batches, [0, 2, 3, 4])
    np.testing.assert_allclose(found.mean, (first[[0, 2, 3, 4]] + second) / 2)
    np.testing.assert_array_equal(found.low, np.minimum(first[[0, 2, 3, 4]], second))


def test_long_runs_are_smoothed_over_a_thirtieth_without_what_is_missing():
    batches = np.arange(90.0)
    values = np.where(batches < 10, np.nan, batches**2)
    values[50] = 1e20
    cell = replace(CELL, metrics={"batch": batches, "grad_norm": values})
    found = trace([cell], "grad_norm")
    assert found is not None
    # Windows of 80 // 30 = 2 batches are centred, and so of three.
    assert found.batches[0] == 10 and found.mean[0] == pytest.approx((10**2 + 11**2) / 2)
    assert found.mean[20] == pytest.approx((29**2 + 30**2 + 31**2) / 3)
    assert found.mean[-1] == pytest.approx((88**2 + 89**2) / 2)
