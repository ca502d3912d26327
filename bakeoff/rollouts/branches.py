"""Rows that go on from the same prompt, and what they share of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class Branches:
    """Which rows go on from which prompt.

    To attend to a prompt once for all its rows, rows are laid side by side: every prompt gets as
    many places as the one that has most rows.
    """

    prompts: Tensor  # [rows] int64, ascending
    places: Tensor | None  # [rows] int64 among all places; None: every place is taken, in order
    count: int  # prompts
    width: int  # places of a prompt

    @classmethod
    def even(cls, count: int, width: int, *, device: torch.device) -> Self:
        """`width` rows of each of `count` prompts."""
        prompts = torch.arange(count, device=device).repeat_interleave(width)
        return cls(prompts=prompts, places=None, count=count, width=width)

    def taken(self, rows: Tensor) -> tuple[Self, Tensor]:
        """The branches at ascending `rows` alone, and the prompts, [kept], that still have any."""
        kept, prompts, counts = torch.unique_consecutive(
            self.prompts[rows], return_inverse=True, return_counts=True
        )
        count, width = len(kept), int(counts.max())
        firsts = counts.cumsum(0) - counts
        among = torch.arange(len(rows), device=rows.device) - firsts[prompts]
        places = None if count * width == len(rows) else prompts * width + among
        return type(self)(prompts=prompts, places=places, count=count, width=width), kept

    def laid(self, states: Tensor) -> Tensor:
        """[prompts, heads, width * K, D] of [rows, heads, K, D]."""
        _, heads, _, size = states.shape
        if self.places is not None:
            side_by_side = states.new_zeros(self.count * self.width, *states.shape[1:])
            side_by_side[self.places] = states
            states = side_by_side
        by_prompt = states.reshape(self.count, self.width, heads, -1, size).transpose(1, 2)
        return by_prompt.reshape(self.count, heads, -1, size)

    def picked(self, laid: Tensor) -> Tensor:
        """[rows, heads, K, D] of what `laid` made of them."""
        _, heads, _, size = laid.shape
        by_prompt = laid.view(self.count, heads, self.width, -1, size).transpose(1, 2)
        states = by_prompt.reshape(self.count * self.width, heads, -1, size)
        return states if self.places is None else states[self.places]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOnce:
    """A layer's keys and values of prompts, and the rows that go on from them."""

    keys: Tensor  # [prompts, heads, P, D]
    values: Tensor
    branches: Branches

    def scores(self, queries: Tensor) -> Tensor:
        """[rows, heads, K, P] products with the keys of [rows, heads, K, D]."""
        return self.branches.picked(self.branches.laid(queries) @ self.keys.transpose(2, 3))

    def gathered(self, weights: Tensor) -> Tensor:
        """[rows, heads, K, D] sums of the values, weighted by [rows, heads, K, P]."""
        return self.branches.picked(self.branches.laid(weights) @ self.values)

    def before(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Whole keys and values of every row, given those of what it has added."""
        rows = self.branches.prompts
        return torch.cat([self.keys[rows], keys], 2), torch.cat([self.values[rows], values], 2)
