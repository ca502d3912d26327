"""Is the gradient one of the sampled tokens alone, however they are cut and padded?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from bakeoff.batch import TokenBatch
from bakeoff.config import CellConfig
from bakeoff.conformance.check import Check
from bakeoff.conformance.probes import (
    GRADIENT_TOLERANCE,
    ONE_CUT,
    ended_and_cut,
    engine_on_copy,
    gradient,
    longest_row,
    probe_batch,
    relative_difference,
    weights_of_credit,
)
from bakeoff.interfaces import Algorithm
from bakeoff.types import Rollout
from bakeoff.world import World, autocast_dtype

EXTRA_PADDING = 5  # columns on either side


def gradient_checks(
    world: World,
    config: CellConfig,
    algorithm: Algorithm,
    rollouts: Sequence[Rollout],
    *,
    together: bool,
) -> list[Check]:
    """The micro-batch check and the mask checks of one arm, which share a gradient.

    Args:
        world: what the arm takes place in.
        config: the arm's.
        algorithm: the arm's.
        rollouts: the probe's.
        together: cut and pad at once: a gradient less, which a large model takes a minute for.
    """
    forced = ended_and_cut(world, rollouts)
    batch = probe_batch(world, forced)
    padded = with_foreign_padding(world, batch)
    whole = gradient(world, config, algorithm, batch)
    variants = {"micro-batches": (batch, longest_row(batch)), "padding": (padded, ONE_CUT)}
    if together:
        variants = {"micro-batches and padding": (padded, longest_row(padded))}
    checks = [
        _same(
            whole,
            gradient(world, config, algorithm, varied, micro_batch_tokens=tokens),
            config,
            name=f"gradient ignores {what} ({config.method})",
        )
        for what, (varied, tokens) in variants.items()
    ]
    return [*checks, only_sampled_tokens_are_trained_on(world, config, algorithm, forced)]


def only_sampled_tokens_are_trained_on(
    world: World, config: CellConfig, algorithm: Algorithm, rollouts: Sequence[Rollout]
) -> Check:
    """A kept row's weights lie on its own tokens: the EOS that ended it, and none that did not."""
    batch = probe_batch(world, rollouts)
    annotated = engine_on_copy(world, config, algorithm.plan).annotate(batch)
    credit = algorithm.assign_credit(annotated)
    weights = weights_of_credit(config, algorithm, batch, credit)
    responses = batch.input_ids[:, batch.prompt_length :]
    wrong = [
        row
        for row, rollout in enumerate(rollouts)
        if responses[row][weights[row] > 0].tolist()
        != (list(rollout.completion.token_ids) if credit.keep[row] else [])
    ]
    ends = ["stop", "length"]
    seen = [
        sum(
            bool(k) and r.completion.finish == end
            for k, r in zip(credit.keep, rollouts, strict=True)
        )
        for end in ends
    ]
    return Check(
        name=f"mask and EOS ({config.method})",
        passed=not wrong and all(seen),
        detail=f"{seen[0]} ended and {seen[1]} cut responses kept; "
        f"{len(wrong)} of {len(rollouts)} trained on other tokens than their own",
    )


def with_foreign_padding(world: World, batch: TokenBatch) -> TokenBatch:
    """The batch with more padding on both sides, and other tokens on all of it."""
    wider = {
        f.name: pad(value, (0, EXTRA_PADDING))
        for f in fields(batch)
        if isinstance(value := getattr(batch, f.name), Tensor)
        and value.shape == batch.response_mask.shape
    }
    attention_mask = pad(batch.attention_mask, (EXTRA_PADDING, EXTRA_PADDING))
    input_ids = pad(batch.input_ids, (EXTRA_PADDING, EXTRA_PADDING))
    vocabulary = world.policy.model.get_input_embeddings().weight.shape[0]
    foreign = torch.arange(input_ids.numel()).reshape(input_ids.shape) % vocabulary
    return replace(
        batch,
        input_ids=input_ids.where(attention_mask, foreign),
        attention_mask=attention_mask,
        **wider,
    )


def _same(one: Tensor, other: Tensor, config: CellConfig, *, name: str) -> Check:
    off, scale = relative_difference(one, other)
    return Check(
        name=name,
        passed=scale > 0 and off < GRADIENT_TOLERANCE[autocast_dtype(config.model)],
        detail=f"largest difference {off:.2g} of the largest entry {scale:.2g}",
    )
