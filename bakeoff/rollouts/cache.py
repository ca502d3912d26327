"""Keys and values of what has been read, with room for what will be written."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PretrainedConfig
from transformers.cache_utils import DynamicLayer

# Places by device; appending copies the cache once in so many tokens instead of at every one. More
# room is copied more rarely, but lies as a gap behind the places of each head, and memory with
# large gaps in it takes a CPU up to twice as long to read.
ROOM = {"cpu": 8, "cuda": 64}


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """A layer that attends to everything and lays new keys and values behind the old ones."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: Tensor
        self.values: Tensor
        self._rooms: tuple[Tensor, Tensor] | None = None  # [rows, heads, places, D] each

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """All keys and values, [rows, heads, places read, D] each, views of what is stored."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        before = self.get_seq_length()
        after = before + key_states.shape[-2]
        if self._rooms is None or after > self._rooms[0].shape[-2]:
            self._rooms = (
                _roomier(self.keys, key_states, before, after + room(key_states.device.type)),
                _roomier(self.values, value_states, before, after + room(key_states.device.type)),
            )
        keys, values = self._rooms
        keys[:, :, before:after] = key_states
        values[:, :, before:after] = value_states
        self.keys, self.values = keys[:, :, :after], values[:, :, :after]
        return self.keys, self.values

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Each row `repeats` times in a row."""
        if self.is_initialized:
            rows = torch.arange(len(self.keys), device=self.keys.device)
            self.batch_select_indices(rows.repeat_interleave(repeats))

    def batch_select_indices(self, indices: Tensor) -> None:
        """The rows at `indices` alone, in their order."""
        if self.is_initialized:
            # Straight into new rooms: the next token would copy everything once more otherwise.
            key_room, keys = _chosen(self.keys, indices)
            value_room, values = _chosen(self.values, indices)
            self._rooms = (key_room, value_room)
            self.keys, self.values = keys, values


def room(device_type: str) -> int:
    """Places that a cache makes for what is to come."""
    return ROOM.get(device_type, ROOM["cuda"])


def growing_cache(config: PretrainedConfig) -> DynamicCache:
    """An empty cache of a model; layers with a sliding window keep what transformers gives them."""
    cache = DynamicCache(config=config)
    cache.layers = [
        RoomyLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers
    ]
    return cache


def _roomier(held: Tensor, states: Tensor, length: int, places: int) -> Tensor:
    rows, heads, _, width = states.shape
    made = torch.empty(rows, heads, places, width, dtype=states.dtype, device=states.device)
    if length:
        made[:, :, :length] = held
    return made


def _chosen(held: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """A room that begins with the rows of `held`, and the rows in it."""
    _, heads, length, width = held.shape
    places = length + room(held.device.type)
    made = held.new_empty(len(indices), heads, places, width)
    rows = made[:, :, :length]
    torch.index_select(held, 0, indices, out=rows)
    return made, rows
