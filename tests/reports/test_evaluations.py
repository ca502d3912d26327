import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bakeoff.errors import BakeoffError
from bakeoff.records import append_lines
from reports.evaluations import K_IN_CURVES, read_evaluations, read_start
from reports.statistics import majority_at_k


def row(problem, correct, answers=None, **changes):
    return {
        "batch": 2,
        "final": True,
        "split": "test",
        "problem": problem,
        "sampled_tokens": 100,
        "greedy": True,
        "correct": correct,
        "answers": answers if answers is not None else ["7"] * len(correct),
        "response_tokens": [3] * len(correct),
        "kl_to_start": 0.25,
    } | changes


def only(path, rows):
    append_lines(path / "evaluations.jsonl", rows)
    ((evaluation,),) = read_evaluations(path / "evaluations.jsonl").values()
    return evaluation


def test_problems_are_sorted_and_their_numbers_with_them(tmp_path):
    found = only(
        tmp_path,
        [
            row(
                "q", [True, None, False, True], ["1", "2", None, "1"], response_tokens=[1, 2, 3, 6]
            ),
            row("p", [False], greedy=None, kl_to_start=None),
        ],
    )
    assert found.problems == ("p", "q")
    assert (found.batch, found.final, found.spent["sampled_tokens"]) == (2, True, 100.0)
    assert found.spent["flops"] == 0.0
    assert found.samples.tolist() == [1, 4]
    assert found.judged.tolist() == [1, 3]
    assert found.right.tolist() == [0, 2]
    np.testing.assert_array_equal(found.greedy, [np.nan, 1.0])
    np.testing.assert_array_equal(found.format_rate, [1.0, 0.75])
    np.testing.assert_array_equal(found.response_tokens, [3.0, 3.0])
    np.testing.assert_array_equal(found.kl_to_start, [np.nan, 0.25])


def test_evaluations_are_by_split_and_batch_the_final_one_last(tmp_path):
    append_lines(
        tmp_path / "evaluations.jsonl",
        [
            row("p", [True], batch=4),
            row("p", [True], batch=4, final=False),
            row("p", [True], batch=2, final=False),
            row("p", [True], split="ood", batch=4),
        ],
    )
    found = read_evaluations(tmp_path / "evaluations.jsonl")
    assert {split: [(e.batch, e.final) for e in points] for split, points in found.items()} == {
        "test": [(2, False), (4, False), (4, True)],
        "ood": [(4, True)],
    }


def test_a_start_is_by_seed_and_split(tmp_path):
    append_lines(
        tmp_path / "evaluations.jsonl",
        [
            row("p", [True], seed=0),
            row("p", [False], seed=1),
            row("p", [True], seed=1, split="ood"),
        ],
    )
    found = read_start(tmp_path / "evaluations.jsonl")
    right = {(s, split): e.right.tolist() for s, by in found.items() for split, e in by.items()}
    assert right == {(0, "test"): [1], (1, "test"): [0], (1, "ood"): [1]}


def test_a_line_without_samples_has_no_scores(tmp_path):
    found = only(tmp_path, [row("p", [], response_tokens=[])])
    assert found.samples.tolist() == found.judged.tolist() == [0]
    assert np.isnan([*found.format_rate, *found.response_tokens, *found.majority[:, 0]]).all()


def test_answers_that_do_not_belong_to_the_samples_have_no_majority(tmp_path):
    found = only(tmp_path, [row("p", [True, True], ["1"])])
    assert np.isnan(found.majority).all()
    assert found.right.tolist() == [2]


@given(
    st.lists(
        st.tuples(st.sampled_from(["1", "2", "3", None]), st.sampled_from([True, False, None])),
        min_size=1,
        max_size=16,
    )
)
def test_majorities_are_those_of_the_judged_samples(tmp_path_factory, samples):
    answers, verdicts = map(list, zip(*samples, strict=True))
    found = only(tmp_path_factory.mktemp("cell"), [row("p", verdicts, answers)])
    kept = [(a, v) for a, v in samples if v is not None]
    expected = [
        majority_at_k([a for a, _ in kept], [v for _, v in kept], k=k) if len(kept) >= k else np.nan
        for k in K_IN_CURVES
    ]
    np.testing.assert_allclose(found.majority[:, 0], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"problem": 7}, "7 is not text"),
        ({"correct": 1}, "TypeError"),
        ({"batch": None}, "batch|int"),
    ],
)
def test_a_malformed_line_is_named(tmp_path, changes, why):
    file = tmp_path / "evaluations.jsonl"
    append_lines(file, [row("p", [True]), row("q", [True]) | changes])
    with pytest.raises(BakeoffError, match=rf"evaluations\.jsonl, line 2 cannot be read .*({why})"):
        read_evaluations(file)
