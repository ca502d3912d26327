import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bakeoff.config import EngineConfig
from bakeoff.memory.components import Component
from bakeoff.types import Completion
from benchmarks.predicted import ARMS, error
from benchmarks.predictor_error import (
    SIZES,
    ended,
    in_a_process,
    main,
    prediction,
    profiled,
    write_model,
)

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


@pytest.mark.slow
@pytest.mark.parametrize("stage", [2, 3])
def test_deepspeed_holds_what_its_stage_is_predicted_to_hold(stage: int, tmp_path: Path) -> None:
    write_model(tmp_path, hidden_size=64, layers=2, vocabulary=500)
    cell = profiled("ppo", tmp_path)
    engine = EngineConfig(engine="deepspeed", zero_stage=stage)
    cell = replace(cell, config=replace(cell.config, engine=engine))
    held = in_a_process(cell)["phases"]["update"]
    told = prediction(cell, prompt_tokens=8).phases["update"].device
    kept = ("policy", "critic", "reference")
    states = [which for which in Component if which.value.split()[0] in kept]
    assert len(states) == 7
    for which in states:
        assert told[which] == pytest.approx(held[which.value], rel=0.01), which
