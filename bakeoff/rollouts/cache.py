"""Keys and values of what has been read, with room for what will be written."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, PretrainedConfig
from transformers.cache_utils import CacheLayerMixin, DynamicLayer

from bakeoff.rollouts.branches import Branches, ReadOnce

# Places by device; appending copies the cache once in so many tokens instead of at every one. More
# room is copied more rarely, but lies as a gap behind the places of each head, and memory with
# large gaps in it takes a CPU up to twice as long to read.
ROOM = {"cpu": 8, "cuda": 64}


class RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """A layer that attends to everything and lays new keys and values behind the old ones.

    Once its rows branch, what was read before is kept once a prompt, and `keys` and `values` are
    of what each row has added.
    """

    def __init__(self) -> None:
        super().__init__()
        self.keys: Tensor
        self.values: Tensor
        self.prompts: tuple[Tensor, Tensor] | None = None  # [prompts, heads, places, D] each
        self._rooms: tuple[Tensor, Tensor] | None = None  # [rows, heads, places, D] each

    def get_seq_length(self) -> int:
        """Places of a row, those of its prompt among them."""
        own: int = super().get_seq_length()
        return own if self.prompts is None else own + self.prompts[0].shape[-2]

    def branch(self, times: int) -> None:
        """Each row goes on as `times` rows that share what it has read."""
        self.prompts = (self.keys.contiguous(), self.values.contiguous())  # without the room
        rows, heads, _, _ = self.keys.shape
        self.keys, self.values = (
            states.new_empty(rows * times, heads, 0, states.shape[-1]) for states in self.prompts
        )
        self._rooms = None

    def keep_prompts(self, prompts: Tensor) -> None:
        """The prompts at these indices alone, in their order."""
        if self.prompts is not None and len(prompts) < len(self.prompts[0]):
            keys, values = self.prompts
            self.prompts = (keys[prompts], values[prompts])

    def update(
        self, key_states: Tensor, value_states: Tensor, *_args: Any, **_kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """All keys and values, [rows, heads, places read, D] each, views of what is stored.

        Those of prompts that rows share are left out.
        """
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        before = super().get_seq_length()
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
        if super().get_seq_length():
            # Straight into new rooms: the next token would copy everything once more otherwise.
            key_room, keys = _chosen(self.keys, indices)
            value_room, values = _chosen(self.values, indices)
            self._rooms = (key_room, value_room)
            self.keys, self.values = keys, values


def room(device_type: str) -> int:
    """Places that a cache makes for what is to come."""
    return ROOM.get(device_type, ROOM["cuda"])


class GrowingCache(DynamicCache):  # type: ignore[misc]
    """A model's cache; layers with a sliding window are what transformers makes of them."""

    def __init__(self, config: PretrainedConfig) -> None:
        super().__init__(config=config)
        self.layers: list[CacheLayerMixin] = [
            RoomyLayer() if type(layer) is DynamicLayer else layer for layer in self.layers
        ]
        self.branches: Branches | None = None

    def branch(self, times: int) -> None:
        """As `batch_repeat_interleave`, but layers without a window keep what was read once.

        Only `attend_from_single_tokens` finds it there.
        """
        roomy = [layer for layer in self.layers if isinstance(layer, RoomyLayer)]
        rows = len(roomy[0].keys)
        self.branches = Branches.even(rows, times, device=roomy[0].keys.device)
        for layer in self.layers:
            if isinstance(layer, RoomyLayer):
                layer.branch(times)
            else:
                layer.batch_repeat_interleave(times)

    def read_once(self, layer: int) -> ReadOnce | None:
        """What the layer's rows share, once they branch."""
        found = self.layers[layer]
        if self.branches is None or not isinstance(found, RoomyLayer) or found.prompts is None:
            return None
        keys, values = found.prompts
        return ReadOnce(keys=keys, values=values, branches=self.branches)

    def batch_select_indices(self, indices: Tensor) -> None:
        """The rows at `indices` alone, which ascend if rows share prompts."""
        if self.branches is not None:
            self.branches, kept = self.branches.taken(indices)
            for layer in self.layers:
                if isinstance(layer, RoomyLayer):
                    layer.keep_prompts(kept)
        super().batch_select_indices(indices)


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
