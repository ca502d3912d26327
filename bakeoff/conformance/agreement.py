"""Do sampler and trainer hold the same policy before the first update?"""

from collections.abc import Sequence

import torch

from bakeoff.canaries import SAMPLER_GAP_CEILING
from bakeoff.conformance.check import Check
from bakeoff.conformance.probes import (
    GROUP,
    ONE_CUT,
    engine_on_copy,
    longest_row,
    probe_batch,
)
from bakeoff.interfaces import Plan, Source
from bakeoff.types import Rollout
from bakeoff.world import World, autocast_dtype

RATIO_TOLERANCE = {None: 1e-3, torch.bfloat16: 0.2}


def policy_agrees_with_itself(world: World, rollouts: Sequence[Rollout]) -> list[Check]:
    """Two micro-batch cuts give ratio 1, and the trainer scores what was sampled as the sampler."""
    dtype = autocast_dtype(world.config.model)
    batch = probe_batch(world, rollouts)
    plan = Plan(source=Source.CURRENT_POLICY, group_size=GROUP)
    whole, cut = (
        engine_on_copy(world, world.config, plan, micro_batch_tokens=tokens).policy_logprobs(batch)
        for tokens in (ONE_CUT, longest_row(batch))
    )
    off = ((whole - cut).exp()[batch.response_mask] - 1).abs().max().item()
    gap = (whole - batch.sampler_logprobs).abs()[batch.response_mask]
    mean_gap = gap.mean().item()
    return [
        Check(
            name="ratio is 1 at step 0",
            passed=off < RATIO_TOLERANCE[dtype],
            detail=f"largest |ratio - 1| {off:.2g}",
        ),
        Check(
            name="sampler and trainer agree",
            passed=mean_gap < SAMPLER_GAP_CEILING[dtype],
            detail=f"{mean_gap:.2g} nats a token apart, at most {gap.max().item():.2g}",
        ),
    ]
