import pytest

from bakeoff.records import append_lines
from reports.evaluation import evaluation_metrics


def row(split, problem, correct, answers, greedy):
    return {
        "batch": 0,
        "split": split,
        "problem": problem,
        "greedy": greedy,
        "correct": correct,
        "answers": answers,
        "response_tokens": [2] * len(correct),
        "kl_to_start": 0.0,
    }


def test_means_by_split_by_hand(tmp_path):
    append_lines(
        tmp_path / "evaluations.jsonl",
        [
            row("test", "p", [True, False, True, True], ["1", "2", "1", "1"], True),
            row("test", "q", [False, False, False, False], ["2", None, "2", "2"], False),
            row("ood", "p", [True], ["1"], None),
        ],
    )
    found = evaluation_metrics(tmp_path)
    assert found["test"]["pass@1"] == pytest.approx(3 / 8)
    assert found["test"]["greedy"] == 0.5
    assert found["test"]["pass@4"] == 0.5
    assert found["test"]["format_rate"] == pytest.approx(7 / 8)
    assert found["ood"]["pass@1"] == 1
    assert "pass@4" not in found["ood"]
    assert "greedy" not in found["ood"]
