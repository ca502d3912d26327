"""Attention of responses that share their prompts, where `transformers` calls for its own."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from bakeoff.shared_prompts import SharedPrompts

_KINDS = {"full_attention", "sliding_attention"}


def shares_prompts(model: PreTrainedModel) -> bool:
    """Whether a forward pass of the model takes ``shared_prompts``.

    Its layers must hand what they are given to PyTorch's attention, and attend to all that came
    before, or to a window of it.
    """
    config = model.config.get_text_config()
    return (
        bool(model._supports_attention_backend)
        and config._attn_implementation == "sdpa"
        and set(getattr(config, "layer_types", None) or _KINDS) <= _KINDS
        and getattr(config, "attention_chunk_size", None) is None
    )


def attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    shared_prompts: SharedPrompts | None = None,
    **options: Any,
) -> tuple[Tensor, None]:
    """[N, L, heads, D] what each token gathers; `transformers`' own unless prompts are shared.

    Args:
        query: [N, heads, L, D]; N is 1 where prompts are shared, and L the tokens of the batch.
        key, value: [N, key heads, L, D].
    """
    if shared_prompts is None:
        found: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **options
        )
        return found
    return _shared(module, query, key, value, shared_prompts, **options), None


@torch.compiler.disable  # type: ignore[untyped-decorator]  # it loops over what differs by batch
def _shared(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    laid: SharedPrompts,
    *,
    sliding_window: int | None = None,
    **options: Any,
) -> Tensor:
    queries, keys, values = (states[0].transpose(0, 1) for states in (query, key, value))
    table = laid.prompt_places
    prompt_keys, prompt_values = _taken(keys, table), _taken(values, table)
    gathered, _ = sdpa_attention_forward(
        module,
        _taken(queries, table),
        prompt_keys,
        prompt_values,
        laid.prompt_mask(sliding_window, query.dtype),
        **options,
    )
    parts = [gathered.flatten(0, 1)]
    for which, responses in enumerate(laid.responses):
        table = responses.places
        gathered, _ = sdpa_attention_forward(
            module,
            _taken(queries, table),
            torch.cat([prompt_keys[responses.prompts], _taken(keys, table)], dim=2),
            torch.cat([prompt_values[responses.prompts], _taken(values, table)], dim=2),
            laid.response_mask(which, sliding_window, query.dtype),
            **options,
        )
        parts.append(gathered.flatten(0, 1))
    return torch.cat(parts).index_select(0, laid.origins)[None]


def _taken(states: Tensor, places: Tensor) -> Tensor:
    """[rows, heads, longest, D] of [K, heads, D]."""
    rows, longest = places.shape
    chosen = states.index_select(0, places.flatten())
    return chosen.view(rows, longest, *states.shape[1:]).transpose(1, 2)


# Under the name that models already have, so that no model's config says anything of it.
AttentionInterface.register("sdpa", attention)
