"""Do fast paths compute on this device what plain ones do? Each answer is a number and a bound."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor

from bakeoff.batch import TokenBatch, present
from bakeoff.config import OptimizerConfig, SamplingConfig, TrainingConfig
from bakeoff.conformance.agreement import RATIO_TOLERANCE
from bakeoff.conformance.probes import (
    GRADIENT_TOLERANCE,
    ONE_CUT,
    longest_row,
    relative_difference,
)
from bakeoff.interfaces import NoiseAddress
from bakeoff.logprobs import selected_logprobs
from benchmarks.on_gpu.child import Row, attempted
from benchmarks.on_gpu.gate import gate_rows
from benchmarks.on_gpu.scale import Setting
from benchmarks.workbench import Shape, Workbench, workbench

SHAPE = Shape(problems=6, group_size=4, max_response_tokens=48)
LOGPROB_BOUND = {None: 1e-4, torch.bfloat16: RATIO_TOLERANCE[torch.bfloat16]}  # nats
TILED_BOUND = 1e-4  # nats, float32
SAME_START_BOUND = 1e-5  # nats: the adapters are off, so only kernels could differ
SMALL_TILE = 1 << 10  # logits; a batch is cut into many

Made = Callable[..., Workbench]


def run(setting: Setting) -> Iterator[Row]:
    """A row a comparison: what differs at most, and by how much it may."""
    device = setting.device
    for dtype in (None, torch.bfloat16):
        made: Made = partial(_bench, device=device, dtype=dtype)
        named = {
            "log-probabilities of shared prompts / a row at a time": partial(packed, made, dtype),
            "gradient, a row a micro-batch / one micro-batch": partial(
                same_gradient, made, dtype, cut=True
            ),
            "gradient, activation checkpointing / none": partial(
                same_gradient, made, dtype, activation_checkpointing=True
            ),
        }
        for name, work in named.items():
            yield attempted(f"{name} ({_word(dtype)})", work)
    made = partial(_bench, device=device, dtype=None)
    yield attempted("sampling, all groups at once / one (float32)", partial(cut, made))
    for logits_per_tile in (SMALL_TILE, None):
        size = "default" if logits_per_tile is None else f"{logits_per_tile:,}"
        yield attempted(
            f"log-probabilities in tiles of {size} logits / all at once (float32)",
            partial(tiled, setting, logits_per_tile),
        )
    yield attempted("LoRA, reference / start (float32)", partial(adapters_off, made))
    yield from gate_rows(device)
    if device == "cuda":
        yield attempted(
            "gradient, compiled layers / not (float32)",
            partial(same_gradient, made, None, compile_model=True),
        )


def judged(value: float, bound: float, **more: Any) -> Row:
    """A difference beside what it may be."""
    return {"value": value, "bound": bound, "passed": value <= bound} | more


def cut(made: Made) -> Row:
    """The share of completions that depend on how prompts are cut into batches."""
    bench = made()

    def drawn(rows: int) -> list[tuple[int, ...]]:
        groups = bench.sampler.sample(
            bench.prompts,
            group_size=SHAPE.group_size,
            sampling=SamplingConfig(
                max_response_tokens=SHAPE.max_response_tokens, sampling_rows=rows
            ),
            noise=NoiseAddress(seed=0, batch=0),
        )
        return [one.token_ids for group in groups for one in group]

    together, apart = drawn(SHAPE.problems * SHAPE.group_size), drawn(SHAPE.group_size)
    other = sum(a != b for a, b in zip(together, apart, strict=True))
    return judged(other / len(together), 0.0, completions=len(together))


def packed(made: Made, dtype: torch.dtype | None) -> Row:
    """Nats between our log-probabilities and a plain forward pass of every row by itself."""
    bench = made()
    batch = bench.annotate(bench.sample(0))
    fast = bench.engine.policy_logprobs(batch)
    plain = plain_logprobs(bench, batch, dtype)
    gap = (fast - plain).abs()[batch.response_mask]
    return judged(gap.max().item(), LOGPROB_BOUND[dtype], mean=gap.mean().item())


@torch.no_grad()
def plain_logprobs(bench: Workbench, batch: TokenBatch, dtype: torch.dtype | None) -> Tensor:
    """[N, T] nats of the response tokens, from the whole logits of one row after the other."""
    model = bench.policy.model
    found = torch.zeros(batch.response_mask.shape)
    for row, mask in enumerate(batch.attention_mask):
        token_ids = batch.input_ids[row][mask].to(model.device)
        count = int(batch.response_mask[row].sum())
        with torch.autocast(model.device.type, dtype, enabled=dtype is not None):
            logits = model(input_ids=token_ids[None], use_cache=False).logits[0]
        logprobs = logits.float().log_softmax(dim=-1)[-count - 1 : -1]
        found[row, :count] = logprobs.gather(1, token_ids[-count:, None]).squeeze(1).cpu()
    return found


def same_gradient(
    made: Made, dtype: torch.dtype | None, *, cut: bool = False, **switches: bool
) -> Row:
    """The largest difference between two gradients of one step, by the largest entry."""
    one = made()
    rollouts = one.sample(0)
    batch = one.annotate(rollouts)
    micro_batch_tokens = longest_row(batch) if cut else ONE_CUT
    other = made(micro_batch_tokens=micro_batch_tokens, **switches)
    norms = [bench.update(batch).grad_norm for bench in (one, other)]
    off, largest = relative_difference(_gradient(one), _gradient(other))
    return judged(off, GRADIENT_TOLERANCE[dtype], largest_entry=largest, grad_norms=norms)


def tiled(setting: Setting, logits_per_tile: int | None) -> Row:
    """Differences of values and of gradients from those of a whole log-softmax."""
    tokens, width, words = setting.scale.head
    torch.manual_seed(0)
    with torch.device(setting.device):
        hidden = torch.randn(tokens, width).requires_grad_()
        weight = (torch.randn(words, width) / width**0.5).requires_grad_()
        targets = torch.randint(words, (tokens,))
        into = torch.randn(tokens)
    logprobs, entropy = selected_logprobs(
        hidden, weight, None, targets, temperature=0.7, logits_per_tile=logits_per_tile
    )
    ours = torch.autograd.grad(logprobs, (hidden, weight), into)
    whole = (hidden @ weight.T / 0.7).log_softmax(dim=1)
    expected = whole.gather(1, targets[:, None]).squeeze(1)
    plain = torch.autograd.grad(expected, (hidden, weight), into)
    whole = whole.detach()
    gap = max(
        (logprobs - expected).abs().max().item(),
        (entropy + (whole.exp() * whole).sum(dim=1)).abs().max().item(),
    )
    off = max(relative_difference(a, b)[0] for a, b in zip(ours, plain, strict=True))
    row = judged(gap, TILED_BOUND, gradient_value=off, gradient_bound=GRADIENT_TOLERANCE[None])
    return row | {"passed": row["passed"] and off <= GRADIENT_TOLERANCE[None]}


def adapters_off(made: Made) -> Row:
    """Nats between the reference after some steps of LoRA and the policy before them."""
    if importlib.util.find_spec("peft") is None:
        return {"skipped": "peft is not installed"}
    bench = made(lora_rank=4)
    batch = bench.annotate(bench.sample(0))
    start = bench.engine.policy_logprobs(batch)
    for _ in range(3):
        bench.update(batch)
    after = bench.engine.annotate(batch)
    mask = batch.response_mask
    reference = present(after.ref_logprobs, "ref_logprobs")
    moved = (bench.engine.policy_logprobs(batch) - start).abs()[mask].max().item()
    row = judged((reference - start).abs()[mask].max().item(), SAME_START_BOUND, moved=moved)
    # A policy that did not move would agree with anything.
    return row | {"passed": row["passed"] and moved > 100 * SAME_START_BOUND}


def _bench(
    *, device: str, dtype: torch.dtype | None, micro_batch_tokens: int = ONE_CUT, **switches: Any
) -> Workbench:
    return workbench(
        SHAPE,
        training=TrainingConfig(
            measure_kl=False, micro_batch_tokens=micro_batch_tokens, **switches
        ),
        # Clipping would hide a gradient of the wrong scale.
        optimizer=OptimizerConfig(learning_rate=1e-2, max_grad_norm=1e30),
        compute_dtype=dtype,
        device=device,
    )


def _gradient(bench: Workbench) -> Tensor:
    own = [p.grad for p in bench.engine.model.parameters() if p.grad is not None]
    return torch.cat([gradient.flatten() for gradient in own])


def _word(dtype: torch.dtype | None) -> str:
    return "float32" if dtype is None else "bfloat16"
