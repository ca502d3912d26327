"""Attention of one new token a row to what its row has read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from bakeoff.models.attention import attention, shares_prompts
from bakeoff.rollouts.branches import ReadOnce
from bakeoff.rollouts.cache import GrowingCache, RoomyLayer

# Devices whose fused kernel is slower for a single token a row than two matrix products.
BY_PRODUCTS = {"cpu": True, "cuda": False}
UNPLAIN = ("position_bias", "softcap", "cache")  # options that change what is attended to
_reading: ContextVar[GrowingCache | None] = ContextVar("read by single tokens", default=None)


def attends_by_products(states: Tensor) -> bool:
    """Whether single tokens of such a device and precision attend by matrix products."""
    # The fused kernel keeps its sums in float32, which products in bfloat16 would not.
    return BY_PRODUCTS.get(states.device.type, False) and states.dtype == torch.float32


def can_branch(model: PreTrainedModel, cache: GrowingCache) -> bool:
    """Whether the model's single tokens find what rows of a branched cache share."""
    roomy = [layer for layer in cache.layers if isinstance(layer, RoomyLayer)]
    return (
        shares_prompts(model)
        and bool(roomy)
        # Some models' last layers have none and read another layer's keys.
        and len(cache.layers) == model.config.get_text_config().num_hidden_layers
        and all(layer.is_initialized and attends_by_products(layer.keys) for layer in roomy)
    )


@contextmanager
def attention_of_single_tokens(cache: GrowingCache) -> Iterator[None]:
    """Models that attend with "sdpa" attend with `attend_from_single_tokens` inside.

    In this thread alone: another may train meanwhile.

    Args:
        cache: what the model reads.
    """
    before = _reading.set(cache)
    try:
        yield
    finally:
        _reading.reset(before)


def _attend(module: Any, *states: Any, **options: Any) -> tuple[Tensor, None]:
    cache = _reading.get()
    if cache is None:
        return attention(module, *states, **options)
    if cache.branches is not None:
        options["read_once"] = cache.read_once(module.layer_idx)
    return attend_from_single_tokens(module, *states, **options)


def attend_from_single_tokens(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    read_once: ReadOnce | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """[rows, 1, heads, D] what the tokens attend to, by two matrix products; and no weights.

    The fused kernel of the CPU is made for many tokens. It gets what these products are not for:
    several tokens, other precisions and devices, and options that change more than a mask does.

    Args:
        module: the layer that attends.
        query: [rows, heads, 1, D].
        key: [rows, key heads, places, D], each shared by heads that follow each other.
        value: as the keys.
        attention_mask: [rows, 1, 1, places] bool, or float that is added; None hides nothing.
        dropout: share of the weights, 0 while decoding.
        scaling: of the scores; None is D ** -0.5.
        read_once: what rows share, before the places of `key`.
        options: of the fused kernel.
    """
    rows, heads, tokens, width = query.shape
    if (
        tokens > 1
        or not attends_by_products(query)
        or dropout
        or (attention_mask is not None and attention_mask.shape[1] != 1)
        or any(options.get(name) is not None for name in UNPLAIN)
    ):
        if read_once is not None:
            key, value = read_once.before(key, value)
        attended: tuple[Tensor, None] = sdpa_attention_forward(
            module,
            query,
            key,
            value,
            attention_mask,
            dropout=dropout,
            scaling=scaling,
            **options,
        )
        return attended
    # Heads that share keys stand below each other, so that keys are read once for all of them.
    grouped = query.reshape(rows, key.shape[1], -1, width)
    grouped = grouped * (width**-0.5 if scaling is None else scaling)
    scores = grouped @ key.transpose(2, 3)
    if read_once is not None:
        scores = torch.cat([read_once.scores(grouped), scores], dim=-1)
    if attention_mask is None:
        pass
    elif attention_mask.dtype == torch.bool:
        scores = scores.masked_fill_(~attention_mask, -torch.inf)
    else:
        scores += attention_mask
    weights = scores.softmax(dim=-1)
    found = weights[..., -key.shape[2] :] @ value
    if read_once is not None:
        found += read_once.gathered(weights[..., : -key.shape[2]])
    return found.reshape(rows, 1, heads, value.shape[-1]), None


# In place of the one that it calls outside of `attention_of_single_tokens`.
AttentionInterface.register("sdpa", _attend)
