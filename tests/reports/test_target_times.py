import numpy as np
import pytest

from bakeoff.records import append_lines, read_lines
from reports.comparison import compare
from reports.load import load_study
from reports.target_times import target_times


def times_of(path):
    study = load_study(path)
    return study, target_times(study, compare(study, rng=np.random.default_rng(0)))


def with_accuracies(path, cell, accuracies):
    """Gives every evaluation of the test split, in order, so many correct of 20 problems."""
    file = path / cell / "evaluations.jsonl"
    rows = [row for row in read_lines(file) if row["split"] == "test"]
    batches = sorted({row["batch"] for row in rows})
    file.unlink()
    for row in rows:
        right = round(20 * accuracies[batches.index(row["batch"])])
        hit = int(row["problem"].rsplit("/")[-1]) < right
        row["correct"] = [hit] * len(row["correct"])
    append_lines(file, rows)


def test_times_are_interpolated_between_evaluations_and_a_miss_is_infinite(make_study):
    path = make_study(methods=("grpo", "ppo"), seeds=(0,), problems=20)
    start = path / "start/evaluations.jsonl"
    rows = [
        row | {"correct": [int(row["problem"].rsplit("/")[-1]) < 8] * 16}
        for row in read_lines(start)
    ]
    start.unlink()
    append_lines(start, rows)
    # From 0.4: GRPO, charged 620 s, to 0.8 by thirds; PPO, charged 900 s, never beyond 0.65.
    with_accuracies(path, "grpo-s0-abcdef0123", [0.5, 0.7, 0.8])
    with_accuracies(path, "ppo-s0-abcdef0123", [0.65, 0.5, 0.6])
    _, found = times_of(path)
    assert found.targets == pytest.approx((0.6, 0.7, 0.76))
    third = 620 / 3
    assert found.times[0, :, 0] == pytest.approx((1.5 * third, 2 * third, 2.6 * third))
    assert found.times[1, :, 0] == pytest.approx((240, np.inf, np.inf))
    # PPO is first at the first target, 240 s against 310.
    assert found.profile.shares[:, 0] == pytest.approx((2 / 3, 1 / 3))


def test_an_offline_method_reaches_nothing_while_its_pool_is_sampled(make_study):
    _, found = times_of(make_study(methods=("rft", "grpo"), problems=100))
    pool = 420 * (1 - 0.35)
    offline = found.times[found.methods.index("rft")]
    assert np.nanmin(offline) > pool
    assert np.nanmin(found.times[found.methods.index("grpo")]) < pool


def test_without_a_way_from_start_to_end_there_is_no_target(make_study):
    path = make_study(methods=("grpo",), seeds=(0,), interim=0)
    assert times_of(path)[1] is None
    (path / "start/evaluations.jsonl").unlink()
    assert times_of(path)[1] is None
