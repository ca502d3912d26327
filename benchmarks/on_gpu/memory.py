"""What every method takes on the device, phase by phase, with random weights made there."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM

from bakeoff.aggregation import loss_weights
from bakeoff.batch import TokenBatch, collate
from bakeoff.config import SamplingConfig
from bakeoff.engine.local import LocalEngine
from bakeoff.interfaces import Algorithm, NoiseAddress, Source
from bakeoff.memory.tracker import PeakMemory
from bakeoff.rollouts.sampler import TransformersSampler
from bakeoff.types import Rollout
from benchmarks.on_gpu.arms import Arm, arms
from benchmarks.on_gpu.child import Row, attempted, rows_of
from benchmarks.on_gpu.material import (
    architecture_of,
    emptied,
    made_engine,
    made_policy,
    made_prompts,
    made_rollouts,
    scored,
)
from benchmarks.on_gpu.scale import Setting, Work

FILLS = 0.95  # of the card, above which a prediction does not fit: blocks are not handed out whole
WAIT_SECONDS = 30.0  # for a prediction that is still being made
FLOAT32 = 4  # bytes
BEYOND_WEIGHTS = 1.25  # where nothing is predicted: what activations and caches may add


def run(setting: Setting) -> Iterator[Row]:
    """A row an arm of one model."""
    waits_until = time.monotonic() + WAIT_SECONDS
    for arm in arms(setting.scale, setting.options["model"]):
        row = {"model": arm.work.model, "method": arm.name, "lora_rank": arm.lora_rank}
        most = room(setting.device)
        expected = expected_bytes(arm, setting, most=most, waits_until=waits_until)
        if expected > most:
            row["skipped"] = f"{expected / 1e9:.1f} GB expected, {most / 1e9:.1f} GB fit"
            yield {"name": arm.title, "expected_bytes": expected} | row
            continue
        found = attempted(
            arm.title, partial(emptied, partial(measured, arm, device=setting.device))
        )
        yield found | row | {"expected_bytes": expected}


def room(device: str) -> float:
    """Bytes that an arm may take; not asked on a processor."""
    return FILLS * float(torch.cuda.mem_get_info()[1]) if device == "cuda" else math.inf


def expected_bytes(arm: Arm, setting: Setting, *, most: float, waits_until: float) -> float:
    """What an arm is predicted to take, or a plain estimate where no prediction has come.

    Args:
        arm: the method and model.
        setting: says where predictions are.
        most: bytes; one that is far below them is not waited for.
        waits_until: `time.monotonic` seconds.
    """
    estimate = plain_estimate(arm)
    while True:
        for row in rows_of(Path(setting.predictions)):
            if (row["model"], row["name"]) == (arm.work.model, arm.title):
                return float(row.get("peak_bytes", estimate))
        if estimate < most / 2 or time.monotonic() >= waits_until:
            return estimate
        time.sleep(0.2)


def plain_estimate(arm: Arm) -> float:
    """Bytes of weights, gradients and two moments of all that trains, with a margin."""
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(architecture_of(arm.work.model))
    plan = arm.algorithm().plan
    separate_critic = plan.critic is not None and not plan.critic.shared_trunk
    copies = 1 if arm.lora_rank else 4 * (1 + separate_critic) + plan.reference
    return BEYOND_WEIGHTS * FLOAT32 * float(model.num_parameters()) * copies


def measured(arm: Arm, *, device: str) -> Row:
    """Marks of every phase of a batch that is not the first, as a run has them."""
    algorithm, work = arm.algorithm(), arm.work
    memory = PeakMemory(torch.device(device), every_time=True)
    seconds: dict[str, float] = {}

    def phase(name: str) -> Any:
        return _timed(memory, name, seconds)

    with phase("load"):
        policy = made_policy(work.model, device=device)
        engine = made_engine(policy, algorithm.plan, arm.training())
        sampler = TransformersSampler(policy, autocast_dtype=torch.bfloat16)
    memory.watch(engine.memory_owners)
    vocabulary = int(policy.model.config.vocab_size)

    def sampled() -> list[Rollout]:
        prompts = made_prompts(work, vocabulary=vocabulary)
        with phase("sample"):
            groups = sampler.sample(
                prompts,
                group_size=work.group_size,
                sampling=SamplingConfig(max_response_tokens=work.response_tokens),
                noise=NoiseAddress(seed=0, batch=0),
            )
        with phase("score"):
            return scored(prompts, groups)

    # A pool is sampled before there is an optimizer state.
    pool = sampled() if algorithm.plan.source is Source.INITIAL_POLICY else None
    memory.batch = 0
    few = replace(work, problems=1, group_size=2)
    first = collate(made_rollouts(few, vocabulary=vocabulary), pad_token_id=0)
    step(engine, algorithm, engine.annotate(first), work)
    engine.publish_policy(sampler)
    memory.batch = 1
    batch = collate(pool or sampled(), pad_token_id=0)
    with phase("annotate"):
        batch = engine.annotate(batch)
    with phase("update"):
        step(engine, algorithm, batch, work)
        engine.publish_policy(sampler)
    return recorded(memory, device=device) | {"seconds": seconds}


def step(engine: LocalEngine, algorithm: Algorithm, batch: TokenBatch, work: Work) -> None:
    """One update that every rollout enters, whatever it was rewarded with."""
    credit = algorithm.assign_credit(batch)
    credit = replace(credit, keep=torch.ones_like(batch.correct))
    weights = loss_weights(
        batch.response_mask,
        credit.keep,
        algorithm.plan.aggregation,
        max_response_tokens=work.response_tokens,
    )
    engine.update(batch, credit, weights, algorithm.token_losses)


def recorded(memory: PeakMemory, *, device: str) -> Row:
    """Bytes by phase: of components, and on CUDA the allocator's and the device's marks."""
    on_cuda = device == "cuda"
    phases: Mapping[str, Mapping[str, int]] = memory.peak_components
    return {
        "phases": phases,
        "peak_bytes": max(sum(parts.values()) for parts in phases.values()),
        "max_memory_allocated": dict(memory.peak_bytes) if on_cuda else None,
        "max_memory_reserved": dict(memory.peak_reserved_bytes) if on_cuda else None,
        "whole_device_bytes": dict(memory.peak_device_bytes) if on_cuda else None,
        "process_resident_bytes": None if on_cuda else dict(memory.peak_bytes),
    }


class _timed:
    """A phase that is measured and timed."""

    def __init__(self, memory: PeakMemory, name: str, seconds: dict[str, float]) -> None:
        self._phase, self._name, self._seconds = memory.phase(name), name, seconds

    def __enter__(self) -> None:
        self._start = time.perf_counter()
        self._phase.__enter__()

    def __exit__(self, *exception: Any) -> None:
        self._phase.__exit__(*exception)
        self._seconds[self._name] = round(time.perf_counter() - self._start, 3)
