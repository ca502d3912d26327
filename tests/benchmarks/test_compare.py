"""A whole comparison in real processes, on random weights, from the command line."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bakeoff.records import RunDirectory, read_json, read_lines

pytestmark = pytest.mark.slow

SUITE = """
study: tiny
seeds: [0]
settings:
  model: config:builtin
  problems_per_step: 4
  group_size: 4
  max_response_tokens: 12
  budget: 600
  learning_rate: 1.0e-3
  evaluations: 2
  evaluation_problems: 6
  evaluation_samples: 2
  final_samples: 4
  ood_problems: 3
methods:
  online_rft:
  grpo: {kl_coefficient: 0.0}
"""

# Arithmetic, but what it calls gold is wrong where it is tested: the gate has to see it. In
# training it is right, or a run that is forced on would be stopped by its canary.
WRONG_GOLD = """
from bakeoff.tasks.arithmetic_task import ArithmeticTask


class WrongGold(ArithmeticTask):
    name = "wrong_gold"

    def gold_response(self, problem):
        return f"#{int(problem.answer) + ('/test/' in problem.id)}"
"""

METRIC = {"mean": float, "low": float, "high": float}


def compare(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "bakeoff", "compare", "suite.yaml", "--out", "study"),
            *("--workers", "2", *arguments),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=400,
    )


def assert_number(value: Any) -> None:
    assert isinstance(value, int | float) and not isinstance(value, bool), value


def assert_metrics(metrics: dict[str, Any]) -> None:
    assert {"pass@1", "greedy"} <= metrics.keys()
    for interval in metrics.values():
        assert interval.keys() >= METRIC.keys()
        if interval["mean"] is not None:
            assert interval["low"] <= interval["mean"] <= interval["high"]


def assert_schema_1(summary: dict[str, Any]) -> None:
    """The summary.json of design.md section 7."""
    assert summary["budget"] == {"axis": "sampled_tokens", "value": 600.0}
    assert (summary["task"], summary["model"]) == ("arithmetic", "config:builtin")
    assert summary["gate"] == {"passed": True, "failed": []}
    assert_metrics(summary["start"]["metrics"])
    assert list(summary["methods"]) == ["online_rft", "grpo"]
    for result in summary["methods"].values():
        assert result["n_seeds"] == 1
        assert_metrics(result["metrics"])
        for name in ("sampled_tokens", "trained_tokens", "wall_seconds", "tokens_per_second"):
            assert_number(result["ledger"][name])
        assert result["ledger"]["peak_bytes"] > 0
        # The last batch may pass the budget by what one batch samples.
        assert 600 <= result["ledger"]["sampled_tokens"] < 600 + 4 * 4 * 12
    assert [(pair["a"], pair["b"]) for pair in summary["pairs"] if pair["metric"] == "pass@1"] == [
        ("online_rft", "grpo")
    ]
    for pair in summary["pairs"]:
        assert pair["verdict"] in ("better", "worse", "inconclusive")
        for name in ("difference", "low", "high", "probability_of_improvement", "p_value"):
            assert_number(pair[name])
        assert pair["low"] <= pair["difference"] <= pair["high"]


def test_a_comparison_runs_to_its_report_and_is_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(SUITE)
    ended = compare(tmp_path, "--no-tracking")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    study = tmp_path / "study"
    assert [path.name for path in tmp_path.iterdir() if path.name != "suite.yaml"] == ["study"]
    record = read_json(study / "study.json")
    assert record["state"] == "finished"
    gate = {"passed": True, "failed": [], "forced": False, "shortened": True}
    assert record["gate"] == gate
    assert "compare suite.yaml --out study" in record["command"]

    assert_schema_1(json.loads((study / "report" / "summary.json").read_text()))
    for name in ("report.html", "report.md"):
        assert (study / "report" / name).stat().st_size > 1000
    assert "online_rft (n=1)" in ended.stdout and "grpo (n=1)" in ended.stdout
    cells = [RunDirectory(study / cell["directory"]) for cell in record["cells"]]
    assert [cell.state for cell in cells] == ["finished", "finished"]
    # Both arms are compared on the same problems, and start from the same evaluation.
    problems = [
        {row["problem"] for row in read_lines(cell.evaluations) if row["final"]} for cell in cells
    ]
    start = {row["problem"] for row in read_lines(study / "start" / "evaluations.jsonl")}
    assert problems[0] == problems[1] == start
    assert len(start) == 6 + 3
    # Same weights, same problems, same noise: the first batch is the same for both.
    firsts = [next(read_lines(cell.metrics)) for cell in cells]
    assert firsts[0]["sampled_tokens"] == firsts[1]["sampled_tokens"] > 0

    written = [study / "start" / "evaluations.jsonl"]
    written += [file for cell in cells for file in (cell.metrics, cell.evaluations, cell.ledger)]
    before = {file: file.stat().st_mtime_ns for file in written}
    report = (study / "report" / "summary.json").read_bytes()
    again = compare(tmp_path, "--no-tracking")
    assert again.returncode == 0, again.stdout + again.stderr
    assert {file: file.stat().st_mtime_ns for file in written} == before
    assert (study / "report" / "summary.json").read_bytes() == report


def test_a_failing_gate_stops_unless_forced_and_then_voids_the_report(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(SUITE)
    (tmp_path / "wrong.py").write_text(WRONG_GOLD)
    arguments = ("--task", "wrong.py:WrongGold", "--methods", "online_rft", "--no-tracking")
    ended = compare(tmp_path, *arguments)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("bakeoff: the conformance gate failed")
    assert "gold answers are graded correct" in line and "--force" in line
    study = tmp_path / "study"
    record = read_json(study / "study.json")
    (failure,) = record["gate"]["failed"]
    assert failure["check"] == "gold answers are graded correct"
    (cell,) = record["cells"]
    assert not (study / cell["directory"]).exists()
    assert not (study / "report").exists()

    ended = compare(tmp_path, *arguments, "--force")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "NOT COMPARABLE" in ended.stdout
    summary = read_json(study / "report" / "summary.json")
    assert summary["gate"]["passed"] is False
    assert any("gold answers are graded correct" in reason for reason in summary["gate"]["failed"])
    assert "not comparable" in (study / "report" / "report.md").read_text().lower()
    assert RunDirectory(study / cell["directory"]).state == "finished"


def test_a_model_that_cannot_be_loaded_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_text(SUITE)
    ended = compare(tmp_path, "--model", "./none", "--no-tracking")
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert line.startswith("bakeoff: ") and "model folder './none' does not exist" in line
    assert not (tmp_path / "study").exists()
