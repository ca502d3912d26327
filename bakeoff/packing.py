"""Sequences laid end to end in rows of one length, so that a forward pass reads few pads."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bakeoff.batch import TokenBatch


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A batch as a causal model reads it. R rows of L places, K response tokens."""

    input_ids: Tensor  # [R, L] int64; what follows a row's last sequence is padding
    position_ids: Tensor  # [R, L] int64, 0 on every sequence's first token
    predicting: Tensor  # [K] int64 place in [R * L] whose state predicts each response token


def pack(batch: TokenBatch) -> Packed:
    """The prompts and responses of a batch, without the padding around them.

    `transformers` keeps the sequences of a row apart by their positions when it is given no mask.
    A row of one sequence takes the plain causal kernel: padding lies behind it, where no causal
    model looks.

    `predicting` follows the order of ``batch.response_mask.nonzero()``.
    """
    mask = batch.attention_mask
    device = mask.device
    lengths = mask.sum(dim=1)
    prompt_lengths = mask[:, : batch.prompt_length].sum(dim=1)
    rows, offsets = best_fit(lengths.tolist())
    width = int(lengths.max())
    count = max(rows) + 1
    row, offset = torch.tensor([rows, offsets], device=device)
    first = row * width + offset
    sequence, column = mask.nonzero(as_tuple=True)
    places = first[sequence] + column - (batch.prompt_length - prompt_lengths)[sequence]
    input_ids = torch.zeros(count * width, dtype=torch.int64, device=device)
    input_ids[places] = batch.input_ids[mask]
    begins = torch.zeros(count * width, dtype=torch.int64, device=device)
    begins[first] = offset
    # Padding goes on counting, or it would be taken for a sequence of its own.
    begins = begins.view(count, width).cummax(dim=1).values
    responding, position = batch.response_mask.nonzero(as_tuple=True)
    return Packed(
        input_ids=input_ids.view(count, width),
        position_ids=torch.arange(width, device=device) - begins,
        predicting=(first + prompt_lengths - 1)[responding] + position,
    )


def best_fit(lengths: Sequence[int]) -> tuple[list[int], list[int]]:
    """Row and first place of every sequence in rows as long as the longest sequence.

    Best fit, longest first: each goes where the least room is left over, so at most 11/9 of the
    fewest possible rows and one more are filled (Johnson 1973, thesis, MIT).
    """
    width = max(lengths)
    rooms: list[tuple[int, int]] = []  # room left and row, sorted
    rows, offsets = [0] * len(lengths), [0] * len(lengths)
    for index in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        found = bisect_left(rooms, (lengths[index], -1))
        room, row = rooms.pop(found) if found < len(rooms) else (width, len(rooms))
        rows[index], offsets[index] = row, width - room
        insort(rooms, (room - lengths[index], row))
    return rows, offsets
