import pytest

from bakeoff.errors import BakeoffError
from reports.claims.process import ppo_ladder, process_beats_outcome


@pytest.mark.parametrize(
    ("process", "outcome", "verdict"),
    [
        (0.60, 0.55, "reproduced"),
        (0.55, 0.60, "not reproduced"),
        (0.55, 0.55, "inconclusive"),
    ],
)
def test_claim_4_is_decided_by_the_exact_checker(make_evidence, process, outcome, verdict):
    levels = {"grpo_process": process, "grpo": outcome, "grpo_process_prm": 0.3, "grpo_orm": 0.5}
    found = process_beats_outcome(make_evidence(accuracy=levels))
    assert found.verdict == verdict
    row = found.values[1]
    assert row.name == "grpo_process_prm − grpo_orm"
    assert row.value == pytest.approx(-20, abs=1) and not row.decides


@pytest.mark.parametrize(
    ("rft", "orm", "prm", "verdict"),
    [
        (0.50, 0.55, 0.60, "reproduced"),
        (0.50, 0.55, 0.55, "inconclusive"),
        (0.50, 0.55, 0.50, "not reproduced"),
        (0.60, 0.55, 0.65, "not reproduced"),
    ],
)
def test_claim_8_needs_both_rungs(make_evidence, rft, orm, prm, verdict):
    levels = {"rft": rft, "ppo_orm": orm, "ppo_process_prm": prm}
    found = ppo_ladder(make_evidence(accuracy=levels))
    assert found.verdict == verdict
    names = [value.name for value in found.values if value.decides]
    assert names == ["ppo_orm − rft", "ppo_process_prm − ppo_orm"]
    assert found.notes[-1] == "Not shown: arm ppo_process is not in the study."


def test_a_missing_rung_is_told(make_evidence):
    with pytest.raises(BakeoffError, match="arm ppo_orm is not in the study"):
        ppo_ladder(make_evidence(accuracy={"rft": 0.5, "ppo_process_prm": 0.6}))
