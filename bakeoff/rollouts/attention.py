"""Attention of one new token a row to what its row has read."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from bakeoff.models.attention import attention

UNPLAIN = ("position_bias", "softcap", "cache")  # options that change what is attended to
_single_tokens = ContextVar("single tokens attend", default=False)


@contextmanager
def attention_of_single_tokens() -> Iterator[None]:
    """Models that attend with "sdpa" attend with `attend_from_single_tokens` inside.

    In this thread alone: another may train meanwhile.
    """
    before = _single_tokens.set(True)
    try:
        yield
    finally:
        _single_tokens.reset(before)


def _attend(*states: Any, **options: Any) -> tuple[Tensor, None]:
    return (attend_from_single_tokens if _single_tokens.get() else attention)(*states, **options)


def attend_from_single_tokens(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
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
        options: of the fused kernel.
    """
    rows, heads, tokens, width = query.shape
    if (
        tokens > 1
        or query.device.type != "cpu"
        # The fused kernel keeps its sums in float32, which products in bfloat16 would not.
        or query.dtype != torch.float32
        or dropout
        or (attention_mask is not None and attention_mask.shape[1] != 1)
        or any(options.get(name) is not None for name in UNPLAIN)
    ):
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
    scores = (grouped * (width**-0.5 if scaling is None else scaling)) @ key.transpose(2, 3)
    if attention_mask is None:
        pass
    elif attention_mask.dtype == torch.bool:
        scores = scores.masked_fill_(~attention_mask, -torch.inf)
    else:
        scores += attention_mask
    return (scores.softmax(dim=-1) @ value).reshape(rows, 1, heads, value.shape[-1]), None


# In place of the one that it calls outside of `attention_of_single_tokens`.
AttentionInterface.register("sdpa", _attend)
