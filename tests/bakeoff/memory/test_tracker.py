import multiprocessing
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from transformers import LlamaConfig, LlamaForCausalLM

from algorithms.configs import GRPOConfig, PPOConfig
from algorithms.registry import build
from bakeoff.aggregation import loss_weights
from bakeoff.batch import collate
from bakeoff.config import Aggregation, OptimizerConfig, TrainingConfig
from bakeoff.engine.local import LocalEngine
from bakeoff.memory.attribution import component
from bakeoff.memory.components import Component
from bakeoff.memory.tracker import TRACK_EVERY, PeakMemory
from bakeoff.models.loading import Policy
from bakeoff.types import Rollout

MEBIBYTE = 1 << 20


def block(mebibytes: int, device: str = "cpu") -> Tensor:
    return torch.ones(mebibytes * MEBIBYTE, dtype=torch.uint8, device=device)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.gpu
def test_cuda_peaks_are_the_allocators() -> None:
    memory = PeakMemory(torch.device("cuda"))
    with memory.phase("update"):
        block(64, "cuda")
    assert memory.peak_bytes["update"] >= 64 * MEBIBYTE
    assert memory.peak_device_bytes["update"] >= memory.peak_reserved_bytes["update"]
    assert memory.peak_reserved_bytes["update"] >= memory.peak_bytes["update"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.gpu
def test_cuda_components_sum_to_the_allocators_peak() -> None:
    weights, nobodys = block(4, "cuda"), block(2, "cuda")
    memory = PeakMemory(torch.device("cuda"), every_time=True)
    memory.watch(lambda: {Component.POLICY_WEIGHTS: [weights]})
    with memory.phase("update"), component(Component.ACTIVATIONS):
        kept = block(8, "cuda")
    parts = memory.peak_components["update"]
    assert sum(parts.values()) == memory.peak_bytes["update"]
    assert parts["activations"] == 8 * MEBIBYTE
    assert parts["other"] >= 2 * MEBIBYTE
    del kept, nobodys


def test_a_phase_sees_its_own_peak_and_not_an_earlier_ones() -> None:
    memory = PeakMemory(torch.device("cpu"))
    with memory.phase("large"):
        large = block(256)
    del large
    with memory.phase("small"):
        pass
    assert memory.peak_bytes["large"] - memory.peak_bytes["small"] > 200 * MEBIBYTE


def test_the_highest_mark_of_a_phase_is_kept() -> None:
    memory = PeakMemory(torch.device("cpu"))
    memory.peak_bytes["update"] = 1 << 50
    with memory.phase("update"):
        pass
    assert memory.peak_bytes["update"] == 1 << 50


def watching(*, every_time: bool = False) -> tuple[PeakMemory, list[Tensor]]:
    weights = [block(2)]
    memory = PeakMemory(torch.device("cpu"), every_time=every_time)

    def owners() -> Mapping[Component, Iterable[Tensor]]:
        return {Component.POLICY_WEIGHTS: weights}

    memory.watch(owners)
    return memory, weights


def test_what_is_owned_when_watching_begins_is_the_loads() -> None:
    memory, _ = watching()
    assert memory.peak_components == {"load": {"policy weights": 2 * MEBIBYTE}}
    frozen = block(1)
    memory.watch(lambda: {Component.REFERENCE: [frozen]})
    assert memory.peak_components["load"] == {
        "policy weights": 2 * MEBIBYTE,
        "reference": MEBIBYTE,
    }


def test_a_tracked_phase_is_attributed_at_its_highest_moment() -> None:
    memory, _ = watching(every_time=True)
    with memory.phase("update"):
        with component(Component.ACTIVATIONS):
            block(8)
        with component(Component.LOGITS):
            block(5)
    assert memory.peak_components["update"] == {
        "policy weights": 2 * MEBIBYTE,
        "activations": 8 * MEBIBYTE,
    }
    (timeline,) = memory.timelines
    assert (timeline.phase, timeline.batch) == ("update", None)
    # The weights come before the phase; each block comes and goes.
    assert [change // MEBIBYTE for *_, change in timeline.changes] == [2, 8, -8, 5, -5]


def test_the_second_batch_is_tracked_and_every_64th_after_it() -> None:
    memory, _ = watching()
    tracked = []
    for batch in range(2 * TRACK_EVERY + 2):
        memory.batch = batch
        memory.peak_components.pop("update", None)
        with memory.phase("update"):
            pass
        if "update" in memory.peak_components:
            tracked.append(batch)
    assert tracked == [1, 65, 129]


def test_the_first_batch_has_no_optimizer_state_and_is_never_tracked() -> None:
    memory, _ = watching(every_time=True)
    for batch, mebibytes in ((0, 16), (1, 4), (2, 8)):
        memory.batch = batch
        with memory.phase("update"):
            block(mebibytes)
    assert memory.peak_components["update"]["other"] == 8 * MEBIBYTE
    assert [timeline.batch for timeline in memory.timelines] == [1, 2]


def test_the_second_part_of_a_pool_is_tracked() -> None:
    memory, _ = watching()
    with memory.phase("sample"):
        block(8)
    assert "sample" not in memory.peak_components
    with memory.phase("sample"):
        block(4)
    assert memory.peak_components["sample"] == {
        "policy weights": 2 * MEBIBYTE,
        "other": 4 * MEBIBYTE,
    }


def test_evaluations_are_tracked_only_where_everything_is() -> None:
    seldom, _ = watching()
    always, _ = watching(every_time=True)
    for memory in (seldom, always):
        memory.batch = 1
        with memory.phase("evaluate"):
            pass
    assert "evaluate" not in seldom.peak_components
    assert "evaluate" in always.peak_components


def test_a_phase_that_fails_is_kept_too() -> None:
    memory, _ = watching(every_time=True)
    with pytest.raises(ZeroDivisionError), memory.phase("update"):
        block(8)
        raise ZeroDivisionError
    assert sum(memory.peak_components["update"].values()) == 10 * MEBIBYTE


def test_marks_continue_from_a_record() -> None:
    memory, _ = watching(every_time=True)
    with memory.phase("update"):
        pass
    resumed = PeakMemory(torch.device("cpu"))
    resumed.restore(memory.record())
    assert resumed.record() == memory.record()
    assert memory.record().keys() == {"peak_bytes", "peak_components"}  # the others are CUDA's
    resumed.restore({"peak_bytes": {"update": 7}})
    assert resumed.record() == {"peak_bytes": {"update": 7}, "peak_components": {}}


@pytest.mark.parametrize("config", [GRPOConfig(), PPOConfig()], ids=["grpo", "ppo"])
def test_the_components_of_an_update_sum_to_the_allocators_peak(
    policy: Policy, rollouts: list[Rollout], config: GRPOConfig | PPOConfig
) -> None:
    algorithm = build(config)
    engine = LocalEngine(
        policy,
        algorithm.plan,
        optimizer=OptimizerConfig(learning_rate=1e-4),
        training=TrainingConfig(),
        temperature=1.0,
        autocast_dtype=None,
        init_seed=0,
    )
    batch = engine.measure(engine.annotate(collate(rollouts, pad_token_id=0)))
    memory = PeakMemory(torch.device("cpu"), every_time=True)
    memory.watch(engine.memory_owners)

    def update() -> None:
        credit = algorithm.assign_credit(batch)
        weights = loss_weights(
            batch.response_mask, credit.keep, Aggregation.TOKEN_MEAN, max_response_tokens=12
        )
        with memory.phase("update"):
            engine.update(batch, credit, weights, algorithm.token_losses)

    update()
    # Gradients are the update's own; the rest of what is owned was there and stays.
    resting = sum(
        tensor.nbytes
        for which, tensors in engine.memory_owners().items()
        if which not in (Component.POLICY_GRADIENTS, Component.CRITIC_GRADIENTS)
        for tensor in tensors
    )
    memory.peak_components.clear()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        update()
    tracked = sum(memory.peak_components["update"].values())
    assert tracked == pytest.approx(resting + allocated_peak(profiled), rel=0.03)


def allocated_peak(profiled: profile) -> int:
    """The most bytes that the allocator had given out since profiling began."""
    events = [e for e in profiled.profiler.kineto_results.events() if e.name() == "[memory]"]
    total, highest = 0, 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        total += event.nbytes()
        highest = max(highest, total)
    return highest


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_a_process_grows_by_what_is_tracked() -> None:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        grown, tracked = pool.submit(train_a_larger_model).result()
    assert grown == pytest.approx(tracked, rel=0.15)


def train_a_larger_model() -> tuple[int, int]:
    """Bytes by which this process has grown at its highest, and those that were tracked."""

    def step(model: LlamaForCausalLM, optimizer: torch.optim.Optimizer, tokens: Tensor) -> None:
        model(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()
        optimizer.step()

    def made(**sizes: int) -> tuple[LlamaForCausalLM, torch.optim.Optimizer, Tensor]:
        model = LlamaForCausalLM(LlamaConfig(num_attention_heads=8, vocab_size=4000, **sizes))
        tokens = torch.randint(0, 4000, (8, 128))
        return model, torch.optim.AdamW(model.parameters(), fused=True), tokens

    torch.set_num_threads(1)
    # What libraries load at their first use is no tensor.
    step(*made(hidden_size=64, num_hidden_layers=1, intermediate_size=64))
    before = resident("VmRSS")
    large = made(hidden_size=512, num_hidden_layers=8, intermediate_size=1408)  # 30 M parameters
    memory = PeakMemory(torch.device("cpu"), every_time=True)
    memory.watch(lambda: {Component.POLICY_WEIGHTS: large[0].parameters()})
    with memory.phase("update"):
        step(*large)
    grown = memory.peak_bytes["update"] - before
    return grown, sum(memory.peak_components["update"].values())


def resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024
