"""The whole of `bakeoff claims`, very small: real processes, real models, real records."""

import json
from pathlib import Path
from typing import Any

import pytest

from bakeoff.errors import BakeoffError
from bakeoff.records import read_lines
from benchmarks import claims
from benchmarks.claims import ClaimsOptions, Scale, run_claims
from benchmarks.suite import load_suite, matrix, quick
from reports.claims.write import write_claims

SETTINGS = {
    "model": "builtin",
    "task": "arithmetic",
    "train_problems": 64,
    "max_response_tokens": 64,
    "problems_per_step": 4,
    "group_size": 4,
    "budget_axis": "optimizer_steps",
    "budget": 2,
    "learning_rate": 1e-4,
    "evaluations": 1,
    "evaluation_problems": 8,
    "evaluation_samples": 2,
    "final_samples": 2,
    "ood_problems": 4,
}
ARMS = {
    "grpo": None,
    "ppo_process_prm": {"method": "ppo_process", "reward": "model", "reward_model": "prm"},
}
SMALL = Scale(problems=12, solutions=2, annotated=12, completions=2, held_out=4, responses=4)


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    suite = tmp_path / "claims.yaml"
    suite.write_text(
        json.dumps({"study": "claims", "seeds": [0], "settings": SETTINGS, "methods": ARMS})
    )
    monkeypatch.setattr(claims, "SUITE", suite)
    monkeypatch.setattr(claims, "FULL", SMALL)
    monkeypatch.setattr(claims, "SAMPLED_ARMS", ("grpo",))
    return tmp_path / "out"


def run(out: Path) -> Path:
    return run_claims(
        ClaimsOptions(out=out, workers=2, command="bakeoff claims"),
        write_report=lambda study: study,
        write_claims=write_claims,
    )


@pytest.mark.long
def test_every_stage_leaves_what_the_judges_read_and_is_done_once(
    small: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = run(small).read_text()
    judged = json.loads((small / "claims.json").read_text())["claims"]
    assert [claim["number"] for claim in judged] == [*range(1, 12), *range(13, 19), 22, 23]
    verdicts = {claim["number"]: claim["verdict"] for claim in judged}
    assert verdicts[23] == "reproduced"
    assert verdicts[4] == "inconclusive"  # its arms are not in this matrix, and it says so
    assert "is not in the study" in text

    labels = list(read_lines(small / "annotation" / "annotations.jsonl"))
    assert len(labels) == 12 and all("truth" in row for row in labels)
    scored = list(read_lines(small / "samples" / "start-ood.jsonl"))
    assert len(scored) == 4
    assert scored[0]["scores"].keys() == {"orm", "prm"}
    assert len(scored[0]["scores"]["prm"]) == len(scored[0]["responses"]) == 4
    after = list(read_lines(small / "samples" / "grpo-s0-test.jsonl"))
    assert [row["id"] for row in after] == [f"arithmetic/test/{n}" for n in range(4)]

    made = {file: file.stat().st_mtime_ns for file in (small / "samples").iterdir()}
    capsys.readouterr()
    run(small)
    assert {file: file.stat().st_mtime_ns for file in (small / "samples").iterdir()} == made
    assert "responses of the ends" not in capsys.readouterr().out


@pytest.mark.slow
def test_a_stage_that_fails_is_named_with_its_reason(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {**SETTINGS, "task": "no_such_task"}
    claims.SUITE.write_text(
        json.dumps({"study": "claims", "seeds": [0], "settings": settings, "methods": ARMS})
    )
    with pytest.raises(BakeoffError, match=r"solutions of the start.*no task 'no_such_task'"):
        run(small)


def test_the_shipped_matrix_can_be_built_at_both_sizes() -> None:
    suite = load_suite(claims.SUITE)
    assert len(matrix(suite, {})) == 3 * len(suite.methods)
    small = quick(suite)
    assert len(matrix(small, {})) == len(suite.methods)
    assert {*claims.SAMPLED_ARMS, *claims.VERIFIED_ARMS} <= suite.methods.keys()
