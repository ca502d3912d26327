"""What a model has read before it writes: prompts, or a solution at several of its prefixes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache, PretrainedConfig

from bakeoff.rollouts.cache import GrowingCache


@dataclass(frozen=True, slots=True, kw_only=True)
class SolutionPrefixes:
    """A solution that is continued from several of its prefixes."""

    id: str  # the noise of a prefix is that of a prompt named "<id>/<place in lengths>"
    token_ids: tuple[int, ...]  # prompt and response
    lengths: tuple[int, ...]  # tokens of each prefix, the prompt's included


@dataclass(frozen=True, slots=True, kw_only=True)
class Prefilled:
    """Rows that are about to draw their next token."""

    hidden: Tensor  # [rows, H] last hidden states of the last token read
    cache: GrowingCache  # aligned at that token, the padding before the first
    mask: Tensor | None  # [rows, width] int64; None: no row is padded
    positions: Tensor  # [rows] of the next token

    def repeated(self, times: int, *, branch: bool) -> Prefilled:
        """Each row `times` times in a row; the cache of this object is used up.

        Args:
            times: at least 1.
            branch: keep what rows share once, where only single tokens by products find it.
        """
        if branch:
            self.cache.branch(times)
        else:
            self.cache.batch_repeat_interleave(times)
        return Prefilled(
            hidden=self.hidden.repeat_interleave(times, dim=0),
            cache=self.cache,
            mask=None if self.mask is None else self.mask.repeat_interleave(times, dim=0),
            positions=self.positions.repeat_interleave(times),
        )


def left_padded(rows: Sequence[Sequence[int]], *, pad_token_id: int) -> tuple[Tensor, Tensor]:
    """Token ids and mask, both [rows, longest] int64, padded before the first token."""
    longest = max(map(len, rows))
    input_ids = torch.full((len(rows), longest), pad_token_id)
    mask = torch.zeros(len(rows), longest, dtype=torch.int64)
    for row, token_ids in enumerate(rows):
        input_ids[row, longest - len(token_ids) :] = torch.tensor(token_ids)
        mask[row, longest - len(token_ids) :] = 1
    return input_ids, mask


def right_padded(rows: Sequence[Sequence[int]], *, pad_token_id: int) -> Tensor:
    """[rows, longest] int64 token ids, padded after the last, where no causal model looks."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[pad_token_id] * (longest - len(row))] for row in rows])


def take_prefixes(
    hidden: Tensor,
    cache: DynamicCache,
    config: PretrainedConfig,
    *,
    solutions: Tensor,
    lengths: Tensor,
) -> Prefilled:
    """One row a prefix, as if each had been read as a prompt of its own.

    Prefixes move to the end of the row rather than being cut by a mask, so that they lie as
    prompts do: sliding windows count places in the cache.

    Args:
        hidden: [S, L, H] last hidden states of solutions that begin at place 0.
        cache: of the same solutions, all places kept whatever the layer's window is.
        config: of the model, which says how much of a row each layer keeps.
        solutions: [P] row of each prefix's solution.
        lengths: [P] tokens of each prefix, at least 1.
    """
    width = int(lengths.max())
    places = torch.arange(-width, 0, device=lengths.device) + lengths[:, None]
    mask = (places >= 0).long()
    rows, columns = solutions[:, None], places.clamp(min=0)
    taken = GrowingCache(config)
    for index, layer in enumerate(cache.layers):
        keys = layer.keys[rows, :, columns].transpose(1, 2)
        values = layer.values[rows, :, columns].transpose(1, 2)
        taken.update(keys, values, index)
    return Prefilled(
        hidden=hidden[solutions, lengths - 1],
        cache=taken,
        mask=None if bool(mask.all()) else mask,
        positions=lengths,
    )


def prompt_cuts(prompts: Sequence[Sequence[int]], size: int) -> Iterator[list[int]]:
    """Indices of `size` prompts each, of similar length, so that little is padded."""
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    return (order[start : start + size] for start in range(0, len(order), size))


def prefix_cuts(
    solutions: Sequence[SolutionPrefixes], size: int
) -> Iterator[list[tuple[int, int]]]:
    """Solution and place of `size` prefixes each, with about as much of the solution left.

    What is left tells how long completions will be, so that the rows of a cut end together.
    """
    ends = [(row, place) for row, s in enumerate(solutions) for place in range(len(s.lengths))]
    ends.sort(key=lambda end: len(solutions[end[0]].token_ids) - solutions[end[0]].lengths[end[1]])
    return (ends[start : start + size] for start in range(0, len(ends), size))
