import numpy as np
import pytest

from reports.load import Evaluation
from reports.metrics import (
    format_rate,
    greedy,
    majority_score,
    pass_rate,
    pass_score,
    score_table,
    unverified_samples,
)

ROW = {"correct": [True, None, False, True], "answers": ["4", "4", None, "4"], "greedy": None}


def evaluation(**rows):
    return Evaluation(batch=0, final=True, spent={}, rows=rows)


def test_unverified_samples_leave_the_mean_and_are_counted():
    assert pass_rate(ROW) == pytest.approx(2 / 3)
    assert unverified_samples([evaluation(p=ROW)]) == 1
    assert np.isnan(greedy(ROW))


def test_the_format_rate_counts_every_sample():
    assert format_rate(ROW) == 0.75


def test_k_beyond_the_verified_samples_is_unknown():
    assert pass_score(3)(ROW) == 1.0
    assert np.isnan(pass_score(4)(ROW))
    assert majority_score(3)(ROW) == 1.0
    assert np.isnan(majority_score(4)(ROW))


def test_a_problem_that_was_not_asked_is_unknown():
    points = [evaluation(p={"correct": [True]}), evaluation(q={"correct": [False]})]
    table = score_table(points, pass_rate, problems=["p", "q"])
    np.testing.assert_array_equal(table, [[1.0, np.nan], [np.nan, 0.0]])
