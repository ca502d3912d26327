import numpy as np
import pytest

from bakeoff.records import append_lines, read_lines
from reports.ceilings import ceilings_table
from reports.comparison import compare
from reports.load import load_study
from reports.palette import marks

PROBLEMS = 400


def with_curve(path, cell, accuracies):
    """Rewrites the evaluations: compute 1e12 to 1e13 in equal steps, accuracies as given."""
    file = path / cell / "evaluations.jsonl"
    rows = [row for row in read_lines(file) if row["split"] == "test"]
    batches = sorted({row["batch"] for row in rows})
    file.unlink()
    for row in rows:
        place = batches.index(row["batch"])
        right = round(PROBLEMS * accuracies[place])
        row["correct"] = [int(row["problem"].rsplit("/")[-1]) < right] * len(row["correct"])
        row["flops"] = 1e12 * (1 + place)
    append_lines(file, rows)


def table_of(path):
    study = load_study(path)
    comparison = compare(study, rng=np.random.default_rng(0))
    return comparison, ceilings_table(study, comparison, look=marks(study.methods))


def test_a_sigmoid_over_compute_is_found_again(make_study):
    path = make_study(methods=("grpo", "ppo"), seeds=(0,), problems=PROBLEMS, interim=9)
    comparison, _ = table_of(path)
    start = comparison.start.metrics["pass@1"].mean
    compute = np.arange(1, 11)
    with_curve(path, "grpo-s0-abcdef0123", start + (0.8 - start) / (1 + (3 / compute) ** 1.5))
    # A straight line has no ceiling that its points could tell.
    with_curve(path, "ppo-s0-abcdef0123", start + 0.02 * compute)
    _, table = table_of(path)
    found = {record["method"]: record for record in table.records}
    assert found["grpo"]["ceiling"] == pytest.approx(0.8, abs=0.02)
    assert found["grpo"]["midpoint_flops"] == pytest.approx(3e12, rel=0.1)
    assert found["grpo"]["efficiency"] == pytest.approx(1.5, abs=0.15)
    assert "refused" in found["ppo"]
    assert "ceiling" not in found["ppo"]
    assert "not identifiable" in table.markdown()


def test_a_point_is_the_mean_of_its_seeds(make_study):
    path = make_study(methods=("grpo",), seeds=(0, 1), problems=PROBLEMS, interim=9)
    comparison, _ = table_of(path)
    start = comparison.start.metrics["pass@1"].mean
    curve = start + (0.8 - start) / (1 + (3 / np.arange(1, 11)) ** 1.5)
    with_curve(path, "grpo-s0-abcdef0123", curve + 0.05)
    with_curve(path, "grpo-s1-abcdef0123", curve - 0.05)
    _, table = table_of(path)
    assert table.records[0]["ceiling"] == pytest.approx(0.8, abs=0.02)


def test_few_evaluations_are_refused_and_a_study_without_a_start_has_no_table(make_study):
    path = make_study(methods=("grpo",), seeds=(0,), interim=2)
    _, table = table_of(path)
    assert table.records[0]["refused"] == "too few points"
    (path / "start/evaluations.jsonl").unlink()
    assert table_of(path)[1].rows == ()
