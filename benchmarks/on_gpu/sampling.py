"""Tokens a second of our sampler and of those that come with `transformers`."""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
from transformers import GenerationConfig, PreTrainedModel

from bakeoff.config import SamplingConfig
from bakeoff.interfaces import NoiseAddress
from bakeoff.models.loading import Policy
from bakeoff.rollouts.prefill import left_padded
from bakeoff.rollouts.sampler import TransformersSampler
from bakeoff.types import Prompt
from benchmarks.on_gpu.child import Row, attempted
from benchmarks.on_gpu.material import (
    allocated_peak,
    emptied,
    made_policy,
    made_prompts,
    wait_for,
)
from benchmarks.on_gpu.scale import Setting, Work

REPEATS = 3  # at most; the first run of each warms up


def run(setting: Setting) -> Iterator[Row]:
    """A row a sampler, on the same weights and prompts; all responses have the same length."""
    work, device = setting.scale.sampling, setting.device
    policy = made_policy(work.model, device=device)
    prompts = made_prompts(work, vocabulary=int(policy.model.config.vocab_size))

    def row(name: str, draw: Callable[[int], int]) -> Row:
        return attempted(name, partial(emptied, partial(timed, draw, setting)))

    yield row("ours, bfloat16 passes of float32 weights", partial(ours, policy, prompts, work))
    yield row(
        "generate, bfloat16 passes of float32 weights",
        partial(generated, policy.model, prompts, work, autocast=True),
    )
    rounded = copy.deepcopy(policy.model).to(torch.bfloat16)
    yield row("generate, bfloat16 weights", partial(generated, rounded, prompts, work))
    if not hasattr(rounded, "generate_batch"):
        yield {"name": "continuous batching", "skipped": "this transformers has none"}
    elif device != "cuda":
        yield {"name": "continuous batching", "skipped": "it is made for a GPU"}
    else:
        yield row(
            "continuous batching, bfloat16 weights", partial(continuous, rounded, prompts, work)
        )


def timed(draw: Callable[[int], int], setting: Setting) -> Row:
    """Seconds of runs of `draw`, which takes a run's number and says how many tokens it drew."""
    seconds, tokens = [], []
    for number in range(1 + min(REPEATS, setting.scale.repeats)):
        wait_for(setting.device)
        start = time.perf_counter()
        tokens.append(draw(number))
        wait_for(setting.device)
        seconds.append(time.perf_counter() - start)
    work = setting.scale.sampling
    rates = [count / one for count, one in zip(tokens[1:], seconds[1:], strict=True)]
    return {
        "model": work.model,
        "rows": work.rows,
        "group_size": work.group_size,
        "prompt_tokens": work.prompt_tokens,
        "sampled_tokens": tokens[-1],
        "expected_tokens": work.rows * work.response_tokens,
        "first_seconds": seconds[0],
        "seconds": seconds[1:],
        "tokens_per_second": statistics.median(rates),
        "max_memory_allocated": allocated_peak(setting.device),
    }


def ours(policy: Policy, prompts: list[Prompt], work: Work, number: int) -> int:
    """Draws a batch with our sampler."""
    sampler = TransformersSampler(policy, autocast_dtype=torch.bfloat16)
    groups = sampler.sample(
        prompts,
        group_size=work.group_size,
        sampling=SamplingConfig(max_response_tokens=work.response_tokens, sampling_rows=work.rows),
        noise=NoiseAddress(seed=0, batch=number),
    )
    return sum(len(one.token_ids) for group in groups for one in group)


@torch.no_grad()
def generated(
    model: PreTrainedModel,
    prompts: list[Prompt],
    work: Work,
    number: int,
    *,
    autocast: bool = False,
) -> int:
    """Draws a batch with `generate`."""
    torch.manual_seed(number)
    token_ids, mask = left_padded([prompt.token_ids for prompt in prompts], pad_token_id=0)
    with torch.autocast(model.device.type, torch.bfloat16, enabled=autocast):
        drawn = model.generate(
            token_ids.to(model.device),
            attention_mask=mask.to(model.device),
            generation_config=_config(work, num_return_sequences=work.group_size),
        )
    return int(drawn[:, token_ids.shape[1] :].numel())


@torch.no_grad()
def continuous(model: PreTrainedModel, prompts: list[Prompt], work: Work, number: int) -> int:
    """Draws a batch with continuous batching; every rollout is a request of its own."""
    torch.manual_seed(number)
    requests = [list(prompt.token_ids) for prompt in prompts for _ in range(work.group_size)]
    drawn = model.generate_batch(inputs=requests, generation_config=_config(work))
    return sum(len(one.generated_tokens) for one in drawn.values())


def _config(work: Work, **more: int) -> GenerationConfig:
    return GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=work.response_tokens,
        eos_token_id=None,
        pad_token_id=0,
        **more,
    )
