from dataclasses import replace

import pytest

from ablations.memory import peak_bytes
from bakeoff.settings import cell_config
from benchmarks.methods import method_defaults
from benchmarks.suite import Cell

PARAMETERS = 108_096  # of the built-in model; its output head is its embeddings


def cell(method: str, **settings) -> Cell:
    values = {"model": "config:builtin", "device": "cpu"} | settings
    config = cell_config(method, method_defaults(method), values)
    return Cell(arm=method, method=method, seed=0, config=config)


@pytest.mark.parametrize(
    ("method", "settings", "bytes_a_parameter"),
    [
        # Weights, gradients and two moments are 16; every frozen copy 4 more.
        ("grpo", {}, 20),
        ("grpo", {"kl_coefficient": 0.0, "measure_kl": False}, 16),
        ("ppo", {}, 36),
    ],
)
def test_a_trial_needs_more_than_its_weights_gradients_and_moments(
    method, settings, bytes_a_parameter
) -> None:
    short = {"max_response_tokens": 4, "micro_batch_tokens": 8, "problems_per_step": 1}
    found = peak_bytes(cell(method, **settings, **short))
    assert bytes_a_parameter * PARAMETERS < found < 1.5 * bytes_a_parameter * PARAMETERS


def test_longer_responses_and_larger_groups_need_more() -> None:
    short = {"max_response_tokens": 8, "problems_per_step": 2, "micro_batch_tokens": 64}
    least = peak_bytes(cell("grpo", group_size=2, **short))
    more = {"max_response_tokens": 100, "micro_batch_tokens": 200}
    assert peak_bytes(cell("grpo", group_size=2, **short | more)) > least


def test_a_prompt_counts_as_one_token() -> None:
    one = cell("grpo", max_response_tokens=8, problems_per_step=1)
    same = replace(one.config.task, train_problems=7)
    other = replace(one, config=replace(one.config, task=same))
    assert peak_bytes(one) == peak_bytes(other)
