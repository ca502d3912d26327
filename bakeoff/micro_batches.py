"""How a batch is cut for forward passes: as few cuts as a number of tokens allows, of one size."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from bakeoff.batch import TokenBatch, numbered_prompts

Cuts = list[tuple[int, int]]  # first row and end of each


def micro_batches(
    batch: TokenBatch, *, max_tokens: int, rows: Tensor, shared_prompts: bool, ranks: int = 1
) -> Iterator[Tensor]:
    """Cuts `rows` into as few index tensors as `max_tokens` allows, of similar sizes.

    A single row above `max_tokens` still forms a cut of its own.

    Args:
        shared_prompts: whether the model reads a prompt once for all its responses. Rows of one
            prompt then share a cut; otherwise rows of similar length do, and a cut counts its rows
            at the longest of them, which is the most that packing makes of it.
        ranks: that share the cuts out; the fewest is rounded up to as many for each.
    """
    prompts = batch.attention_mask[:, : batch.prompt_length].sum(dim=1)[rows]
    responses = batch.response_mask.sum(dim=1)[rows]
    if shared_prompts:
        numbers = numbered_prompts(batch)[0][rows]
        order = torch.argsort(numbers, stable=True)
        keys, heads, tails = (t[order].tolist() for t in (numbers, prompts, responses))
        cuts = balanced(lambda size: by_prompt(keys, heads, tails, size=size), max_tokens, ranks)
    else:
        lengths = prompts + responses
        order = torch.argsort(lengths, stable=True)
        ascending = lengths[order].tolist()
        cuts = balanced(lambda size: by_length(ascending, size=size), max_tokens, ranks)
    return (rows[order[start:end]] for start, end in cuts)


def by_prompt(
    prompts: Sequence[int],
    prompt_tokens: Sequence[int],
    response_tokens: Sequence[int],
    *,
    size: int,
) -> Cuts:
    """Stretches of rows whose responses and different prompts are at most `size` tokens."""
    cuts: Cuts = []
    start = taken = 0
    for end, (head, tail) in enumerate(zip(prompt_tokens, response_tokens, strict=True)):
        more = tail if end > start and prompts[end] == prompts[end - 1] else head + tail
        if end > start and taken + more > size:
            cuts.append((start, end))
            start, taken, more = end, 0, head + tail
        taken += more
    return [*cuts, (start, len(prompts))] if prompts else cuts


def by_length(ascending: Sequence[int], *, size: int) -> Cuts:
    """Stretches of rows whose count times last, and longest, length is at most `size`."""
    cuts: Cuts = []
    start = 0
    for end, length in enumerate(ascending):
        if end > start and (end + 1 - start) * length > size:
            cuts.append((start, end))
            start = end
    return [*cuts, (start, len(ascending))] if ascending else cuts


def balanced(cuts: Callable[[int], Cuts], max_tokens: int, ranks: int = 1) -> Cuts:
    """The cuts at the smallest size that needs no more of them than `max_tokens` does.

    Among several `ranks` their number may be rounded up to one that gives all equally many.
    """
    fewest = -(-len(cuts(max_tokens)) // ranks) * ranks
    sizes = range(1, max_tokens + 1)
    return cuts(sizes[bisect_left(sizes, -fewest, key=lambda size: -len(cuts(size)))])
