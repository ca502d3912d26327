"""Models with random weights that are made where they are used, and rollouts of random tokens."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig

from bakeoff.config import OptimizerConfig, TrainingConfig
from bakeoff.engine.local import LocalEngine
from bakeoff.interfaces import Plan
from bakeoff.memory.presets import architecture
from bakeoff.memory.rehearsal import Speechless
from bakeoff.models.loading import Policy
from bakeoff.types import Completion, Problem, Prompt, Reward, Rollout
from benchmarks.on_gpu.scale import TINY, Work

NEVER = -1  # a token that no model draws: responses end at their limit


def architecture_of(name: str) -> PretrainedConfig:
    """The config of a preset, or of a tiny model."""
    if name in TINY:
        return AutoConfig.for_model("qwen2", **TINY[name])
    return architecture(name)


def made_policy(name: str, *, device: str) -> Policy:
    """A policy with float32 weights drawn on the device; equal calls draw equal ones."""
    torch.manual_seed(0)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(architecture_of(name), dtype=torch.float32)
    return Policy(
        model=model.to(device).eval(),
        tokenizer=Speechless(),
        eos_token_ids=(NEVER,),
        pad_token_id=0,
    )


def made_engine(policy: Policy, plan: Plan, training: TrainingConfig) -> LocalEngine:
    """An engine that computes in bfloat16."""
    return LocalEngine(
        policy,
        plan,
        optimizer=OptimizerConfig(),
        training=training,
        temperature=1.0,
        autocast_dtype=torch.bfloat16,
        init_seed=0,
    )


def made_prompts(work: Work, *, vocabulary: int) -> list[Prompt]:
    """Prompts of random tokens; all but the first are a token shorter, so that they are padded."""
    noise = np.random.default_rng(0)
    return [
        Prompt(
            problem=Problem(id=f"on_gpu/{index}", question="", answer=""),
            text="",
            token_ids=tuple(
                noise.integers(2, vocabulary, work.prompt_tokens - (index > 0)).tolist()
            ),
        )
        for index in range(work.problems)
    ]


def scored(prompts: list[Prompt], groups: list[list[Completion]]) -> list[Rollout]:
    """Rollouts of which every second is called correct."""
    return [
        Rollout(
            problem=prompt.problem,
            prompt_ids=prompt.token_ids,
            completion=completion,
            reward=Reward(correct=place % 2 == 0, outcome=float(place % 2 == 0)),
            group=number,
        )
        for number, (prompt, group) in enumerate(zip(prompts, groups, strict=True))
        for place, completion in enumerate(group)
    ]


def made_rollouts(work: Work, *, vocabulary: int) -> list[Rollout]:
    """Rollouts that nobody sampled."""
    noise = np.random.default_rng(1)
    groups = [
        [
            Completion(
                text="",
                token_ids=tuple(noise.integers(2, vocabulary, work.response_tokens).tolist()),
                logprobs=(0.0,) * work.response_tokens,
                finish="stop",
                policy_version=0,
            )
            for _ in range(work.group_size)
        ]
        for _ in range(work.problems)
    ]
    return scored(made_prompts(work, vocabulary=vocabulary), groups)


def wait_for(device: str) -> None:
    """Returns when the device has done all that it was asked to do."""
    if device == "cuda":
        torch.cuda.synchronize()


def emptied(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What some work returns; the device's memory is given back before it, and its marks begin."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.init()  # type: ignore[no-untyped-call]  # there are no marks before
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    return work()


def allocated_peak(device: str) -> int | None:
    """Most bytes that the device's allocator has handed out; None where it does not count."""
    return torch.cuda.max_memory_allocated() if device == "cuda" else None
