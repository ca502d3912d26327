"""What the checks look at: a few real rollouts, and engines on copies of the policy."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from bakeoff.aggregation import loss_weights
from bakeoff.batch import Credit, TokenBatch, collate
from bakeoff.config import CellConfig, SamplingConfig
from bakeoff.engine.local import LocalEngine
from bakeoff.interfaces import Algorithm, NoiseAddress, Plan
from bakeoff.types import Completion, Prompt, Reward, Rollout
from bakeoff.world import World, autocast_dtype

# Small, because every arm of a real model runs these rollouts through whole updates, repeatedly.
PROBLEMS = 3
GROUP = 2
RESPONSE_TOKENS = 32
ONE_CUT = 1 << 30
# Relative to the largest entry: float32 sums in another order, or bf16 matrix products.
GRADIENT_TOLERANCE = {None: 1e-4, torch.bfloat16: 5e-2}


def probe_prompts(world: World) -> list[Prompt]:
    """The first problems of the split that is evaluated on."""
    split = world.config.evaluation.evaluation_split
    return [world.prompts.render(p) for p in world.task.problems(split, count=PROBLEMS)]


def probe_sampling(world: World) -> SamplingConfig:
    """The world's sampling, cut short."""
    sampling = world.config.sampling
    return replace(sampling, max_response_tokens=min(RESPONSE_TOKENS, sampling.max_response_tokens))


def probe_rollouts(world: World) -> list[Rollout]:
    """Real samples with made-up rewards, half of each group right, so every method has signal."""
    prompts = probe_prompts(world)
    groups = world.sampler.sample(
        prompts,
        group_size=GROUP,
        sampling=probe_sampling(world),
        noise=NoiseAddress(seed=0, batch="doctor"),
    )
    return [
        Rollout(
            problem=prompt.problem,
            prompt_ids=prompt.token_ids,
            completion=completion,
            reward=probe_reward(completion, float(sample % 2 == 0)),
            group=index,
        )
        for index, (prompt, group) in enumerate(zip(prompts, groups, strict=True))
        for sample, completion in enumerate(group)
    ]


def ended_and_cut(world: World, rollouts: Sequence[Rollout]) -> list[Rollout]:
    """The rollouts with the ends forced: those of every other group end, the others are cut.

    What the model happens to write may all end, or all be cut.
    """
    return [
        _with_end(rollout, world.policy.eos_token_ids, ended=rollout.group % 2 == 0)
        for rollout in rollouts
    ]


def probe_batch(world: World, rollouts: Sequence[Rollout]) -> TokenBatch:
    """The rollouts as the loop would collate them."""
    return collate(rollouts, pad_token_id=world.policy.pad_token_id)


def probe_reward(completion: Completion, value: float) -> Reward:
    """The value for the whole, and for the last of two made-up steps."""
    last = len(completion.token_ids) - 1
    ends = tuple(sorted({last // 2, last}))
    return Reward(
        correct=value > 0,
        outcome=value,
        step_ends=ends,
        step_values=tuple(value if end == last else 0.5 for end in ends),
    )


def engine_on_copy(
    world: World, config: CellConfig, plan: Plan, *, micro_batch_tokens: int = ONE_CUT
) -> LocalEngine:
    """An engine on a copy of the policy, so that a check leaves the world as it found it."""
    return LocalEngine(
        replace(world.policy, model=copy.deepcopy(world.policy.model)),
        plan,
        # Clipping would hide a gradient of the wrong scale.
        optimizer=replace(config.optimizer, max_grad_norm=1e30),
        training=replace(config.training, micro_batch_tokens=micro_batch_tokens, measure_kl=False),
        temperature=config.sampling.temperature,
        autocast_dtype=autocast_dtype(config.model),
        init_seed=world.seeds.initialisation,
    )


def weights_of_credit(
    config: CellConfig, algorithm: Algorithm, batch: TokenBatch, credit: Credit
) -> Tensor:
    """[N, T] loss weights as the loop makes them."""
    return loss_weights(
        batch.response_mask,
        credit.keep,
        config.training.aggregation or algorithm.plan.aggregation,
        max_response_tokens=config.sampling.max_response_tokens,
    )


def update(
    engine: LocalEngine, config: CellConfig, algorithm: Algorithm, batch: TokenBatch
) -> None:
    """One optimizer step of a method."""
    annotated = engine.annotate(batch)
    credit = algorithm.assign_credit(annotated)
    weights = weights_of_credit(config, algorithm, batch, credit)
    engine.update(annotated, credit, weights, algorithm.token_losses)


def gradient(
    world: World,
    config: CellConfig,
    algorithm: Algorithm,
    batch: TokenBatch,
    *,
    micro_batch_tokens: int = ONE_CUT,
) -> Tensor:
    """The policy's whole gradient after one step, flat."""
    engine = engine_on_copy(world, config, algorithm.plan, micro_batch_tokens=micro_batch_tokens)
    update(engine, config, algorithm, batch)
    gradients = [p.grad.flatten() for p in engine.model.parameters() if p.grad is not None]
    return torch.cat(gradients) if gradients else torch.zeros(1)


def longest_row(batch: TokenBatch) -> int:
    """Tokens of the longest row: as a micro-batch's size it cuts every row off the others."""
    return int(batch.attention_mask.sum(dim=1).max())


def relative_difference(one: Tensor, other: Tensor) -> tuple[float, float]:
    """The largest difference as a share of the largest entry, and that entry."""
    scale = one.abs().max().item()
    return (one - other).abs().max().item() / max(scale, 1e-30), scale


def _with_end(rollout: Rollout, eos_token_ids: Sequence[int], *, ended: bool) -> Rollout:
    own = [token for token in rollout.completion.token_ids if token not in eos_token_ids]
    token_ids = (*(own or rollout.prompt_ids[-1:]), *((eos_token_ids[0],) if ended else ()))
    completion = replace(
        rollout.completion,
        token_ids=token_ids,
        logprobs=(0.0,) * len(token_ids),
        finish="stop" if ended else "length",
    )
    reward = probe_reward(completion, float(rollout.reward.outcome or 0.0))
    return replace(rollout, completion=completion, reward=reward)
