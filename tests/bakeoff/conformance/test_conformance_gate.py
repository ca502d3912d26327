from dataclasses import replace

import torch

from algorithms import PRESETS
from algorithms.registry import build
from bakeoff.conformance import gate
from bakeoff.conformance.gate import GOLD_PROBLEMS_SHORTENED, run_checks
from bakeoff.settings import cell_config

SETTINGS = {"model": "config:builtin", "max_response_tokens": 16}
SHARED, OF_AN_ARM = 6, 4  # checks beside resume


def arms(names):
    return [(cell_config(name, PRESETS[name], SETTINGS), build(PRESETS[name])) for name in names]


def failed(checks):
    return [check.name for check in checks if not check.passed]


def test_every_preset_passes_every_check(world):
    checks = run_checks(world, arms(PRESETS), shortened=False)
    assert failed(checks) == []
    assert len(checks) == SHARED + (OF_AN_ARM + 1) * len(PRESETS)


def test_shortened_leaves_out_gold_answers_and_resumes_only(world):
    names = ["online_rft", "ppo", "grpo"]
    whole, short = (run_checks(world, arms(names), shortened=s) for s in (False, True))
    assert failed(short) == []
    missing = {check.name for check in whole} - {check.name for check in short}
    # PPO has the most models, so its resume has the most to lose.
    assert {name for name in missing if "gradient" not in name} == {
        "resume is bitwise (online_rft)",
        "resume is bitwise (grpo)",
    }
    both = {f"gradient ignores micro-batches and padding ({name})" for name in names}
    assert {check.name for check in short} - {check.name for check in whole} == both
    assert short[0].detail.startswith(f"{GOLD_PROBLEMS_SHORTENED} of {GOLD_PROBLEMS_SHORTENED}")


def test_a_large_model_is_not_saved_for_a_comparison(world, monkeypatch):
    monkeypatch.setattr(gate, "SMALL_PARAMETERS", world.policy.model.num_parameters() - 1)
    names = [check.name for check in run_checks(world, arms(["grpo"]), shortened=True)]
    assert not any(name.startswith("resume") for name in names)
    names = [check.name for check in run_checks(world, arms(["grpo"]), shortened=False)]
    assert "resume is bitwise (grpo)" in names


def test_the_checks_leave_the_policy_as_it_was(world):
    before = [p.clone() for p in world.policy.model.parameters()]
    run_checks(world, arms(["ppo"]), shortened=False)
    for old, new in zip(before, world.policy.model.parameters(), strict=True):
        assert torch.equal(old, new)


def test_a_failed_check_is_one_line_that_says_why(world):
    class Wrong:
        def verify(self, problems, responses):
            return [replace(v, correct=False) for v in world.verifier.verify(problems, responses)]

        def close(self):
            pass

    checks = run_checks(replace(world, verifier=Wrong()), arms(["online_rft"]), shortened=True)
    assert failed(checks) == ["gold answers are graded correct"]
    assert "0 of 64 right" in checks[0].detail
