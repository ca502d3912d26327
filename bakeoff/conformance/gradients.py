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
    world: World, config: CellConfig, algorithm: Algorithm, rollouts: Sequence[Rollout]
) -> list[Check]:
    """The micro-batch check and the mask checks of one arm, which share a gradient."""
    forced = ended_and_cut(world, rollouts)
    batch = probe_batch(world, forced)
    whole = gradient(world, config, algorithm, batch)
    cut = gradient(world, config, algorithm, batch, micro_batch_tokens=longest_row(batch))
    padded = gradient(world, config, algorithm, with_foreign_padding(world, batch))
    return [
        _same(whole, cut, config, name=f"gradient ignores micro-batches ({config.method})"),
        _same(whole, padded, config, name=f"gradient ignores padding ({config.method})"),
        only_sampled_tokens_are_trained_on(world, config, algorithm, forced),
    ]


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
