import numpy as np
import pytest

from reports.curves import learning_curve, over_k, trace
from reports.load import load_study


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
    expected = np.mean([[row["entropy"] for row in cell.metrics] for cell in study.cells], axis=0)
    assert found is not None
    assert found.mean == pytest.approx(expected)
    assert trace(study.cells, "zero_variance_share") is None
    assert trace(study.cells, "not_a_metric") is None
