import numpy as np
import pytest

from bakeoff.records import append_lines, read_lines
from reports.load import load_study
from reports.palette import marks
from reports.score_figures import score_figure, score_profiles


def profiles_of(path):
    study = load_study(path)
    look = marks(study.methods)
    return score_profiles(study, look=look, rng=np.random.default_rng(0)), look


def with_rates(path, cell, rates):
    """Gives the final evaluation of a cell these pass rates of 16 samples, problem by problem."""
    file = path / cell / "evaluations.jsonl"
    rows = list(read_lines(file))
    file.unlink()
    for row in rows:
        if row["final"] and row["split"] == "test":
            right = round(16 * rates[int(row["problem"].rsplit("/")[-1])])
            row["correct"] = [True] * right + [False] * (16 - right)
    append_lines(file, rows)


def test_the_profile_counts_problems_above_every_pass_rate(make_study):
    path = make_study(methods=("grpo",), seeds=(0,), problems=4)
    with_rates(path, "grpo-s0-abcdef0123", [0.0, 0.25, 0.75, 1.0])
    profiles, look = profiles_of(path)
    grpo = profiles["grpo"]
    shares = dict(zip(grpo.thresholds, grpo.shares, strict=True))
    assert (shares[0.0], shares[0.25], shares[0.5], shares[0.75]) == (0.75, 0.5, 0.5, 0.25)
    # One run: nothing else could have been drawn.
    assert grpo.low == pytest.approx(grpo.shares)
    assert "GRPO 50 % of problems above one half" in score_figure(profiles, look=look).alt
    assert list(profiles) == ["start", "grpo"]


def test_runs_that_differ_have_a_band(make_study):
    path = make_study(methods=("grpo",), seeds=(0, 1), problems=4)
    with_rates(path, "grpo-s0-abcdef0123", [0.0] * 4)
    with_rates(path, "grpo-s1-abcdef0123", [1.0] * 4)
    grpo = profiles_of(path)[0]["grpo"]
    assert grpo.shares[0] == 0.5
    assert grpo.low[0] < 0.25 and grpo.high[0] > 0.75
