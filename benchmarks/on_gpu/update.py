"""How fast a policy learns from rollouts that lie ready, and what share of the card that is."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import torch

from algorithms.configs import GRPOConfig
from bakeoff.aggregation import loss_weights
from bakeoff.batch import collate
from bakeoff.config import TrainingConfig
from bakeoff.models.flops import flops_model
from benchmarks.methods import build_method
from benchmarks.on_gpu.child import Row, attempted
from benchmarks.on_gpu.material import (
    allocated_peak,
    emptied,
    made_engine,
    made_policy,
    made_rollouts,
    wait_for,
)
from benchmarks.on_gpu.peaks import bfloat16_peak
from benchmarks.on_gpu.scale import Setting

PLAIN: Mapping[str, Mapping[str, Any]] = {
    "plain": {},
    "activation checkpointing": {"activation_checkpointing": True},
}
COMPILED: Mapping[str, Mapping[str, Any]] = {
    "compiled": {"compile_model": True},
    "compiled, activation checkpointing": {
        "compile_model": True,
        "activation_checkpointing": True,
    },
}
WARM_UPS = 2


def run(setting: Setting) -> Iterator[Row]:
    """A row a variant."""
    compiled = bool(setting.options.get("compiled"))
    for name, switches in (COMPILED if compiled else PLAIN).items():
        yield attempted(name, partial(emptied, partial(timed, setting, switches)))


def timed(setting: Setting, switches: Mapping[str, Any]) -> Row:
    """Seconds of GRPO's optimizer step without a reference, and what is done in them.

    Model FLOPs are those of a forward and a backward pass: what activation checkpointing computes
    twice counts once.
    """
    work, device = setting.scale.update, setting.device
    algorithm = build_method(GRPOConfig(group_size=work.group_size, kl_coefficient=0.0))
    policy = made_policy(work.model, device=device)
    training = TrainingConfig(
        micro_batch_tokens=work.micro_batch_tokens, measure_kl=False, **switches
    )
    engine = made_engine(policy, algorithm.plan, training)
    rollouts = made_rollouts(work, vocabulary=int(policy.model.config.vocab_size))
    batch = engine.annotate(collate(rollouts, pad_token_id=0))
    credit = algorithm.assign_credit(batch)
    weights = loss_weights(
        batch.response_mask,
        credit.keep,
        algorithm.plan.aggregation,
        max_response_tokens=work.response_tokens,
    )
    seconds, results = [], []
    for _ in range(WARM_UPS + setting.scale.repeats):
        wait_for(device)
        start = time.perf_counter()
        results.append(engine.update(batch, credit, weights, algorithm.token_losses))
        wait_for(device)
        seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds[WARM_UPS:])
    flops = flops_model(policy.model).training(
        algorithm.plan, batch, results[-1:], critic_only=False
    )
    tokens = int(batch.attention_mask.sum())
    peak = bfloat16_peak(torch.cuda.get_device_name()) if device == "cuda" else None
    return {
        "model": work.model,
        "parameters": int(policy.model.num_parameters()),
        "rows": work.rows,
        "tokens": tokens,
        "trained_tokens": results[-1].trained_tokens,
        "micro_batch_tokens": work.micro_batch_tokens,
        "first_seconds": seconds[:WARM_UPS],
        "seconds": seconds[WARM_UPS:],
        "median_seconds": median,
        "tokens_per_second": tokens / median,
        "model_flops": flops,
        "model_flops_per_second": flops / median,
        "utilisation": None if peak is None else flops / median / peak,
        "max_memory_allocated": allocated_peak(device),
        "loss": results[0].loss,
        "grad_norm": results[0].grad_norm,
    }
