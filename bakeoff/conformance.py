"""Checks before a comparison: would a difference between its arms be the methods' difference?"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bakeoff.aggregation import loss_weights
from bakeoff.batch import TokenBatch, collate
from bakeoff.canaries import SAMPLER_GAP_CEILING
from bakeoff.config import CellConfig, SamplingConfig
from bakeoff.engine.local import LocalEngine
from bakeoff.interfaces import Algorithm, CriticHead, NoiseAddress, Plan, Source
from bakeoff.models.critic import ValueHead
from bakeoff.rollouts.sources import problem_order
from bakeoff.types import Completion, Prompt, Reward, Rollout
from bakeoff.world import World, autocast_dtype

# Small, because every arm of a real model runs these rollouts through whole updates, twice.
PROBLEMS = 3
GROUP = 2
RESPONSE_TOKENS = 32
GOLD_PROBLEMS = 64
# Relative to the largest entry: float32 sums in another order, or bf16 matrix products.
GRADIENT_TOLERANCE = {None: 1e-4, torch.bfloat16: 5e-2}
RATIO_TOLERANCE = {None: 1e-3, torch.bfloat16: 0.2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """How one check went."""

    name: str
    passed: bool
    detail: str


def run_checks(world: World, arms: Sequence[tuple[CellConfig, Algorithm]]) -> list[Check]:
    """Every check, for every arm of a comparison that shares `world`."""
    rollouts = _probe_rollouts(world)
    checks = [gold_answers_are_correct(world), step_zero_ratio_is_one(world, rollouts)]
    checks += seeds_change_what_they_should(world)
    checks += [
        gradient_ignores_micro_batches(world, config, algorithm, rollouts)
        for config, algorithm in arms
    ]
    return checks


def gold_answers_are_correct(world: World) -> Check:
    """Gold responses are graded correct, and each problem's is wrong for a different answer."""
    split = world.config.evaluation.evaluation_split
    size = min(GOLD_PROBLEMS, len(world.task.problems(split, count=None)))
    problems = world.task.problems(split, count=size)
    responses = [world.task.gold_response(problem) for problem in problems]
    verdicts = world.verifier.verify(problems, responses)
    missed = [p.id for p, verdict in zip(problems, verdicts, strict=True) if not verdict.correct]
    swapped = [
        (problem, response)
        for problem, other, response in zip(
            problems, problems[1:] + problems[:1], responses[1:] + responses[:1], strict=True
        )
        if problem.answer != other.answer
    ]
    wrong = world.verifier.verify([p for p, _ in swapped], [response for _, response in swapped])
    accepted = [
        p.id for (p, _), verdict in zip(swapped, wrong, strict=True) if verdict.correct is not False
    ]
    return Check(
        name="gold answers are graded correct",
        passed=not missed and not accepted,
        detail=f"{len(problems) - len(missed)} of {len(problems)} right, "
        f"{len(accepted)} of {len(swapped)} swapped answers accepted"
        + "".join(f"; {problem_id}" for problem_id in (missed + accepted)[:3]),
    )


def step_zero_ratio_is_one(world: World, rollouts: Sequence[Rollout]) -> Check:
    """Before any update, sampler and trainer agree, and so do two micro-batch cuts."""
    dtype = autocast_dtype(world.config.model)
    batch = collate(rollouts, pad_token_id=world.policy.pad_token_id)
    plan = Plan(source=Source.CURRENT_POLICY, group_size=GROUP)
    whole, cut = (
        _engine(world, world.config, plan, tokens).policy_logprobs(batch)
        for tokens in (1 << 30, _longest_row(batch))
    )
    ratio = (whole - cut).exp()[batch.response_mask]
    gap = (whole - batch.sampler_logprobs).abs()[batch.response_mask]
    off = (ratio - 1).abs().max().item()
    mean_gap = gap.mean().item()
    return Check(
        name="ratio is 1 at step 0",
        passed=off < RATIO_TOLERANCE[dtype] and mean_gap < SAMPLER_GAP_CEILING[dtype],
        detail=f"largest |ratio - 1| {off:.2g}; sampler and trainer {mean_gap:.2g} nats a token "
        f"apart, at most {gap.max().item():.2g}",
    )


def gradient_ignores_micro_batches(
    world: World, config: CellConfig, algorithm: Algorithm, rollouts: Sequence[Rollout]
) -> Check:
    """The same rollouts in one micro-batch and in many give the same gradient."""
    batch = collate(rollouts, pad_token_id=world.policy.pad_token_id)
    gradients = [
        _gradient(world, config, algorithm, batch, tokens)
        for tokens in (1 << 30, _longest_row(batch))
    ]
    scale = gradients[0].abs().max().item()
    off = (gradients[0] - gradients[1]).abs().max().item() / max(scale, 1e-30)
    return Check(
        name=f"gradient ignores micro-batches ({config.method})",
        passed=scale > 0 and off < GRADIENT_TOLERANCE[autocast_dtype(config.model)],
        detail=f"largest difference {off:.2g} of the largest entry {scale:.2g}",
    )


def seeds_change_what_they_should(world: World) -> list[Check]:
    """Each seed stream changes its own outcome, and the same seed repeats it."""
    prompts = _probe_prompts(world)

    def order(seed: int) -> object:
        return problem_order(1000, seed=seed, batch=0, count=100)

    def samples(seed: int) -> object:
        sampling = _probe_sampling(world)
        groups = world.sampler.sample(
            prompts,
            group_size=GROUP,
            sampling=sampling,
            noise=NoiseAddress(seed=seed, batch="doctor"),
        )
        return [completion.token_ids for group in groups for completion in group]

    def weights(seed: int) -> object:
        return ValueHead(64, CriticHead.NORMAL, seed=seed).linear.weight.tolist()

    streams: list[tuple[str, Callable[[int], object]]] = [
        ("data seed changes the order of problems", order),
        ("sampling seed changes the samples", samples),
        ("initialisation seed changes fresh weights", weights),
    ]
    checks = []
    for name, draw in streams:
        first = draw(1)
        repeats, differs = draw(1) == first, draw(2) != first
        checks.append(
            Check(
                name=name,
                passed=repeats and differs,
                detail=f"same seed repeats: {repeats}; another seed differs: {differs}",
            )
        )
    return checks


def _probe_prompts(world: World) -> list[Prompt]:
    split = world.config.evaluation.evaluation_split
    return [world.prompts.render(p) for p in world.task.problems(split, count=PROBLEMS)]


def _probe_sampling(world: World) -> SamplingConfig:
    sampling = world.config.sampling
    return replace(sampling, max_response_tokens=min(RESPONSE_TOKENS, sampling.max_response_tokens))


def _probe_rollouts(world: World) -> list[Rollout]:
    """Real samples with made-up rewards, half of each group right, so every method has signal."""
    prompts = _probe_prompts(world)
    groups = world.sampler.sample(
        prompts,
        group_size=GROUP,
        sampling=_probe_sampling(world),
        noise=NoiseAddress(seed=0, batch="doctor"),
    )
    return [
        Rollout(
            problem=prompt.problem,
            prompt_ids=prompt.token_ids,
            completion=completion,
            reward=_probe_reward(completion, float(sample % 2 == 0)),
            group=index,
        )
        for index, (prompt, group) in enumerate(zip(prompts, groups, strict=True))
        for sample, completion in enumerate(group)
    ]


def _probe_reward(completion: Completion, value: float) -> Reward:
    """The value for the whole, and for the last of two made-up steps."""
    last = len(completion.token_ids) - 1
    ends = tuple(sorted({last // 2, last}))
    return Reward(
        correct=value > 0,
        outcome=value,
        step_ends=ends,
        step_values=tuple(value if end == last else 0.5 for end in ends),
    )


def _gradient(
    world: World, config: CellConfig, algorithm: Algorithm, batch: TokenBatch, tokens: int
) -> Tensor:
    engine = _engine(world, config, algorithm.plan, tokens)
    annotated = engine.annotate(batch)
    credit = algorithm.assign_credit(annotated)
    weights = loss_weights(
        batch.response_mask,
        credit.keep,
        config.training.aggregation or algorithm.plan.aggregation,
        max_response_tokens=config.sampling.max_response_tokens,
    )
    engine.update(annotated, credit, weights, algorithm.token_losses)
    gradients = [p.grad.flatten() for p in engine.model.parameters() if p.grad is not None]
    return torch.cat(gradients) if gradients else torch.zeros(1)


def _engine(world: World, config: CellConfig, plan: Plan, micro_batch_tokens: int) -> LocalEngine:
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


def _longest_row(batch: TokenBatch) -> int:
    return int(batch.attention_mask.sum(dim=1).max())
