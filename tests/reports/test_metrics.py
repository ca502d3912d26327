import numpy as np

from bakeoff.records import append_lines
from reports.evaluations import read_evaluations
from reports.metrics import (
    format_rate,
    greedy,
    majority_score,
    pass_rate,
    pass_score,
    problems_of,
    score_table,
    unverified_samples,
)

ROW = {"correct": [True, None, False, True], "answers": ["4", "4", None, "4"], "greedy": None}


def evaluation(path, **rows):
    place = {"batch": 0, "final": True, "split": "test"}
    file = path / f"{'-'.join(rows)}.jsonl"
    append_lines(file, [place | {"problem": problem} | row for problem, row in rows.items()])
    ((found,),) = read_evaluations(file).values()
    return found


def test_unverified_samples_leave_the_mean_and_are_counted(tmp_path):
    found = evaluation(tmp_path, p=ROW, q={"correct": [None, None]})
    np.testing.assert_array_equal(pass_rate(found), [2 / 3, np.nan])
    assert unverified_samples([found, found]) == 6
    assert np.isnan(greedy(found)).all()


def test_the_format_rate_counts_every_sample(tmp_path):
    assert format_rate(evaluation(tmp_path, p=ROW)).tolist() == [0.75]


def test_k_beyond_the_verified_samples_is_unknown(tmp_path):
    found = evaluation(tmp_path, p=ROW)
    assert pass_score(3)(found).tolist() == [1.0]
    assert np.isnan(pass_score(4)(found)).all()
    # Any two of "4", "4" and no answer hold a "4", which is right.
    assert majority_score(2)(found).tolist() == [1.0]
    assert np.isnan(majority_score(4)(found)).all()


def test_pass_at_k_is_over_all_subsets(tmp_path):
    found = evaluation(tmp_path, p={"correct": [True, False, False, False]}, q={"correct": [False]})
    # Of the six pairs of p's samples three hold the right one.
    np.testing.assert_allclose(pass_score(2)(found), [0.5, np.nan])


def test_a_problem_that_was_not_asked_is_unknown(tmp_path):
    points = [
        evaluation(tmp_path, p={"correct": [True]}),
        evaluation(tmp_path, q={"correct": [False]}, p={"correct": [True, False]}),
    ]
    assert problems_of(points) == ("p", "q")
    table = score_table(points, pass_rate, problems=["q", "p", "r"])
    np.testing.assert_array_equal(table, [[np.nan, 1.0, np.nan], [0.0, 0.5, np.nan]])
