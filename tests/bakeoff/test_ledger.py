import json
import time
from pathlib import Path

import pytest
import torch

from bakeoff.config import BudgetAxis, BudgetConfig
from bakeoff.ledger import FREE_PHASES, Ledger
from bakeoff.memory.components import Component
from bakeoff.memory.tracker import PeakMemory
from bakeoff.records import read_json, write_json
from bakeoff.types import Completion, Problem, Reward, Rollout


def ledger() -> Ledger:
    return Ledger(PeakMemory(torch.device("cpu")))


def rollout(group: int, tokens: int, *, correct: bool | None, outcome: float | None) -> Rollout:
    return Rollout(
        problem=Problem(id=f"toy/{group}", question="1+1", answer="2"),
        prompt_ids=(5,) * (10 + group),
        completion=Completion(
            text="", token_ids=(7,) * tokens, logprobs=(), finish="stop", policy_version=0
        ),
        reward=Reward(correct=correct, outcome=outcome),
        group=group,
    )


ROLLOUTS = [
    rollout(0, 3, correct=True, outcome=1.0),
    rollout(0, 4, correct=False, outcome=0.0),
    rollout(1, 5, correct=None, outcome=None),
    rollout(1, 6, correct=True, outcome=None),
]


def test_rollouts_are_counted_by_hand() -> None:
    spent = ledger()
    spent.count_rollouts(ROLLOUTS, sampling_flops=100.0)
    spent.count_rollouts(ROLLOUTS[:2], sampling_flops=11.0)
    assert spent.problems == 2 + 1
    assert spent.rollouts == 4 + 2
    assert spent.prompt_tokens == (10 + 11) + 10  # one prefill a group
    assert spent.sampled_tokens == (3 + 4 + 5 + 6) + (3 + 4)
    assert spent.verifier_calls == 4 + 2
    assert spent.verifier_errors == 1
    assert spent.unscorable == 2
    assert spent.flops == 111.0


def test_a_phase_is_charged_its_seconds_and_its_peak() -> None:
    spent = ledger()
    with spent.phase("sample"):
        block = torch.ones(16 * 2**20)  # 64 MiB
        time.sleep(0.05)
    del block
    with spent.phase("sample"):
        time.sleep(0.05)
    assert 0.1 <= spent.seconds["sample"] < 5
    assert spent.snapshot()["peak_bytes"]["sample"] > 64 * 2**20
    assert spent.seconds.keys() == {"sample"}


def test_a_phase_that_fails_is_charged_too() -> None:
    spent = ledger()
    with pytest.raises(ZeroDivisionError), spent.phase("score"):
        time.sleep(0.02)
        raise ZeroDivisionError
    assert spent.seconds["score"] >= 0.02


def test_looking_is_free() -> None:
    spent = ledger()
    for phase in ("sample", "score", "annotate", "update", *sorted(FREE_PHASES)):
        spent.seconds[phase] = 10.0
    assert spent.device_seconds == 40.0
    assert {"evaluate", "measure", "checkpoint", "load"} == FREE_PHASES


def test_the_budget_is_spent_on_its_axis() -> None:
    spent = ledger()
    spent.count_rollouts(ROLLOUTS, sampling_flops=30.0)
    spent.optimizer_steps = 3
    spent.seconds = {"update": 2.0, "evaluate": 100.0}
    expected = {
        BudgetAxis.SAMPLED_TOKENS: 18.0,
        BudgetAxis.OPTIMIZER_STEPS: 3.0,
        BudgetAxis.DEVICE_SECONDS: 2.0,
        BudgetAxis.FLOPS: 30.0,
    }
    assert {axis: spent.spent(axis) for axis in BudgetAxis} == expected
    for axis, value in expected.items():
        assert spent.share(BudgetConfig(budget_axis=axis, budget=12.0)) == value / 12
    assert spent.position() == {axis.value: value for axis, value in expected.items()}


def test_tokens_per_second_is_over_the_charged_cell() -> None:
    spent = ledger()
    spent.count_rollouts(ROLLOUTS, sampling_flops=0.0)
    spent.trained_tokens = 12
    spent.seconds = {"sample": 2.0, "score": 1.0, "update": 6.0, "evaluate": 91.0}
    record = spent.snapshot()
    assert record["tokens_per_second"] == 18 / 9
    assert record["sampling_tokens_per_second"] == 18 / 2
    assert record["training_tokens_per_second"] == 12 / 6


def test_a_restored_ledger_goes_on_where_it_stopped(tmp_path: Path) -> None:
    first = ledger()
    first.count_rollouts(ROLLOUTS, sampling_flops=0.1 + 0.2)
    first.optimizer_steps, first.trained_tokens, first.reward_model_tokens = 3, 44, 5
    with first.phase("sample"):
        time.sleep(0.02)
    write_json(tmp_path / "ledger.json", first.snapshot())
    record = read_json(tmp_path / "ledger.json")

    second = ledger()
    second.restore(record)
    again = second.snapshot()
    assert {k: v for k, v in again.items() if k != "wall_seconds"} == {
        k: v for k, v in record.items() if k != "wall_seconds"
    }
    assert again["wall_seconds"] >= record["wall_seconds"]
    second.count_rollouts(ROLLOUTS, sampling_flops=0.0)
    with second.phase("sample"):
        pass
    assert second.sampled_tokens == 36
    assert second.seconds["sample"] > record["seconds"]["sample"]
    assert record["seconds"] == json.loads((tmp_path / "ledger.json").read_text())["seconds"]


def test_a_pause_between_two_processes_is_not_wall_time() -> None:
    first = ledger()
    record = first.snapshot() | {"wall_seconds": 500.0}
    time.sleep(0.2)
    second = ledger()
    second.restore(record)
    assert 500.0 <= second.wall_seconds < 500.2


def test_the_second_batch_is_recorded_by_component_and_restored() -> None:
    weights = torch.ones(2**18)  # 1 MiB
    spent = ledger()
    spent.watch(lambda: {Component.POLICY_WEIGHTS: [weights]})
    for batch in range(3):
        spent.begin_batch(batch)
        with spent.phase("update"):
            block = torch.ones(2**18 * (3 if batch == 1 else 8))
        del block
    record = spent.snapshot()
    assert record["peak_components"] == {
        "load": {"policy weights": 2**20},
        "update": {"policy weights": 2**20, "other": 3 * 2**20},
    }
    resumed = ledger()
    resumed.restore(record)
    assert resumed.snapshot()["peak_components"] == record["peak_components"]
    del record["peak_components"]  # a record from before there were components
    resumed.restore(record)
    assert resumed.snapshot()["peak_components"] == {}
