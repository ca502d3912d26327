from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from transformers import LlamaConfig

from algorithms import PRESETS
from algorithms.registry import build
from bakeoff.config import ModelConfig, SamplingConfig, TrainingConfig
from bakeoff.memory.components import Component
from bakeoff.memory.moments import COMPONENTS, Moments
from bakeoff.memory.placement import Offload, Placement
from bakeoff.memory.predictor import largest_micro_batch, placed, predict, processes_needed
from bakeoff.memory.presets import architecture
from bakeoff.memory.rehearsal import Rehearsal, Workload, rehearse

TINY = LlamaConfig(
    hidden_size=32,
    intermediate_size=64,
    num_hidden_layers=1,
    num_attention_heads=2,
    num_key_value_heads=2,
    vocab_size=50,
)
SMALL = Workload(
    prompt_tokens=5,
    model=ModelConfig(),
    sampling=SamplingConfig(max_response_tokens=15),
    training=TrainingConfig(micro_batch_tokens=200, problems_per_step=4),
)


@cache
def grpo() -> Rehearsal:
    return rehearse(TINY, build(PRESETS["grpo"]), SMALL)


def by_hand(**bytes_of: int) -> Rehearsal:
    """A run of one phase with such components."""
    live = [[bytes_of.get(which.name, 0) for which in COMPONENTS]]
    return Rehearsal(
        phases={"update": Moments(live=np.array(live))},
        parameters=1,
        trained_parameters=1,
        micro_batch_tokens=0,
        largest_layer_bytes=10,
    )


STATES = by_hand(POLICY_WEIGHTS=400, POLICY_GRADIENTS=400, POLICY_OPTIMIZER=800, ACTIVATIONS=100)


@pytest.mark.parametrize(
    ("device_bytes", "needed"),
    [
        (1700, [1, 2, 2, 2]),
        (1300, [None, 3, 2, 3]),  # stage 1: 900 + 1200 / 3
        (905, [None, 240, 4, 6]),  # stage 2: 500 + 1600 / 4; stage 3: 510 + 2000 / 6
        (520, [None, None, 80, 200]),
        (100, [None, None, None, None]),
    ],
)
def test_how_many_processes_by_hand(device_bytes, needed) -> None:
    found = [
        processes_needed(STATES, zero_stage=stage, offload=Offload.NONE, device_bytes=device_bytes)
        for stage in range(4)
    ]
    assert found == needed


def test_offload_counts_where_the_stage_allows_it() -> None:
    found = [
        processes_needed(STATES, zero_stage=stage, offload=Offload.BOTH, device_bytes=900)
        for stage in range(4)
    ]
    assert found == [None, 1, 1, 2]


def test_the_peak_is_that_of_the_highest_phase() -> None:
    found = placed(grpo(), Placement())
    assert found.peak_bytes == max(phase.device_bytes for phase in found.phases.values())
    assert found.peak_bytes == found.phases[found.peak_phase].device_bytes
    assert found.host_bytes == 0


def test_a_critic_of_its_own_costs_most_and_no_reference_least() -> None:
    frugal = replace(SMALL, training=replace(SMALL.training, measure_kl=False))
    ppo, shared = PRESETS["ppo"], replace(PRESETS["ppo"], critic="shared")
    methods = [replace(one, group_size=8) for one in (ppo, shared)]
    methods += [PRESETS["grpo"], replace(PRESETS["grpo"], kl_coefficient=0.0)]
    peaks = [predict(TINY, build(method), frugal).peak_bytes for method in methods]
    assert peaks == sorted(peaks, reverse=True)
    assert len(set(peaks)) == len(peaks)


def test_the_largest_micro_batch_fits_and_a_much_larger_one_does_not() -> None:
    wide = replace(SMALL, training=replace(SMALL.training, problems_per_step=64))
    limit = 3_000_000
    algorithm = build(PRESETS["grpo"])
    tokens = largest_micro_batch(TINY, algorithm, wide, placement=Placement(), device_bytes=limit)
    assert tokens is not None

    def update_bytes(tokens: int) -> int:
        training = replace(wide.training, micro_batch_tokens=tokens)
        found = predict(TINY, algorithm, replace(wide, training=training))
        return found.phases["update"].device_bytes

    # The line is straight to within a per cent, and the batch is cut into equal micro-batches.
    assert update_bytes(tokens) <= 1.01 * limit
    assert update_bytes(2 * tokens) > limit


def test_no_micro_batch_fits_where_the_weights_do_not() -> None:
    found = largest_micro_batch(
        TINY, build(PRESETS["grpo"]), SMALL, placement=Placement(), device_bytes=1000
    )
    assert found is None


@pytest.mark.slow
def test_a_model_larger_than_this_machine_is_predicted() -> None:
    workload = Workload(
        prompt_tokens=100,
        model=ModelConfig(compute_dtype="bfloat16"),
        sampling=SamplingConfig(max_response_tokens=100, sampling_rows=16),
        training=TrainingConfig(micro_batch_tokens=400, problems_per_step=2, measure_kl=False),
    )
    found = predict(architecture("qwen2.5-7b"), build(PRESETS["online_rft"]), workload)
    update = found.phases["update"].device
    states = sum(
        update[which]
        for which in (
            Component.POLICY_WEIGHTS,
            Component.POLICY_GRADIENTS,
            Component.POLICY_OPTIMIZER,
        )
    )
    assert states == pytest.approx(16 * found.parameters, rel=1e-3)
    assert found.peak_bytes > states
