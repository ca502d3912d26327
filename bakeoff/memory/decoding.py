"""Rows in the middle of decoding, without the passes that lead there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from unittest.mock import patch

import torch

from bakeoff.rollouts.cache import RoomyLayer, room
from bakeoff.rollouts.prefill import Prefilled


@dataclass(slots=True)
class Begun:
    """What was found out about rows that began to decode."""

    prompt_bytes: int = 0  # of keys and values that rows share; 0: each has its own


@contextmanager
def having_written(tokens: int) -> Iterator[Begun]:
    """Rows that begin to decode inside have written `tokens` tokens already."""
    begun = Begun()
    repeated = Prefilled.repeated

    def further(prefilled: Prefilled, times: int, *, branch: bool) -> Prefilled:
        rows = repeated(prefilled, times, branch=branch)
        shared = (
            part
            for layer in rows.cache.layers
            if isinstance(layer, RoomyLayer)
            for part in layer.prompts or ()
        )
        begun.prompt_bytes = sum(part.nbytes for part in shared)
        return _further(rows, tokens) if tokens else rows

    with patch.object(Prefilled, "repeated", further):
        yield begun


def last_growth(
    limit: int, *, prompt_tokens: int, device_type: str, branched: bool
) -> tuple[int, float]:
    """Tokens that a row had written when its cache last got more room, and the share copied.

    That is what it held before, by what it holds since; 0 if the first room is the last.

    Args:
        limit: tokens of a response, at least 2, the last of which is not read.
        prompt_tokens: tokens read before.
        device_type: that the room belongs to.
        branched: rows share their prompts, and have no room before their first token.
    """
    places = room(device_type)
    between = places + 1
    first = 1 if branched else 0
    growths = (limit - 1 - first) // between
    written = first + growths * between
    if not growths:
        return written, 0.0
    held = written if branched else prompt_tokens + written
    return written, (held - 1) / (held + places)


def _further(rows: Prefilled, tokens: int) -> Prefilled:
    for layer in rows.cache.layers:
        count, heads, _, width = layer.keys.shape
        layer.update(
            layer.keys.new_zeros(count, heads, tokens, width),
            layer.values.new_zeros(count, heads, tokens, layer.values.shape[-1]),
        )
    mask = rows.mask
    if mask is not None:
        mask = torch.cat([mask, mask.new_ones(len(mask), tokens)], dim=1)
    return replace(rows, mask=mask, positions=rows.positions + tokens)
