import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from bakeoff.types import Completion
from benchmarks.predicted import ARMS, error
from benchmarks.predictor_error import SIZES, ended, main, profiled, write_model

COMMITTED = Path(__file__).parents[2] / "reports" / "results" / "predictor_error.json"


def test_all_arms_make_as_many_rollouts(tmp_path: Path) -> None:
    write_model(tmp_path, hidden_size=64, layers=1, vocabulary=100)
    plans = [profiled(arm, tmp_path).make().plan for arm in ARMS]
    assert {plan.group_size for plan in plans} == {8}


def test_a_response_at_the_limit_counts_as_ended() -> None:
    cut = Completion(text="a", token_ids=(1,), logprobs=(-1.0,), finish="length", policy_version=0)
    ((found,),) = ended(lambda: [[cut]])()
    assert (found.finish, found.text) == ("stop", "a")


def test_the_committed_errors_are_of_every_method_and_size_and_within_five_per_cent() -> None:
    record = json.loads(COMMITTED.read_text())
    rows = record["rows"]
    assert {(row["method"], row["size"]) for row in rows} == {(a, s) for a in ARMS for s in SIZES}
    for row in rows:
        for of in ("predicted_bytes", "measured_bytes"):
            assert row["whole"][of] == max(phase[of] for phase in row["phases"].values())
        assert row["whole"]["error"] == error(row["whole"])
        assert abs(row["whole"]["error"]) <= 0.05
    assert record["largest_error"] == max(abs(row["whole"]["error"]) for row in rows)


@pytest.mark.slow
def test_a_prediction_is_within_five_per_cent_of_a_run(tmp_path: Path) -> None:
    out = tmp_path / "error.json"
    result = CliRunner().invoke(main, ["--methods", "grpo", "--sizes", "1M", "--out", str(out)])
    assert result.exit_code == 0, result.output
    (row,) = json.loads(out.read_text())["rows"]
    assert abs(row["whole"]["error"]) <= 0.05
    assert set(row["phases"]) == {"load", "sample", "score", "annotate", "update"}
