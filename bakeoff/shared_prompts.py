"""Batches laid out for a forward pass that reads a prompt once for all its responses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from bakeoff.batch import TokenBatch, numbered_prompts


@dataclass(frozen=True, slots=True, kw_only=True)
class Responses:
    """Responses of similar lengths, as attention reads them. B responses of up to T tokens."""

    prompts: Tensor  # [B] int64 prompt of each
    places: Tensor  # [B, T] int64 place of every token; 0 where there is none
    lengths: Tensor  # [B] int64


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedPrompts:
    """A batch as one row of K tokens: prompts first, each once, then the responses.

    A response is read without its last token, whose state predicts nothing. U prompts of up to P
    tokens.
    """

    input_ids: Tensor  # [1, K] int64
    position_ids: Tensor  # [1, K] int64
    predicting: Tensor  # [R] int64 place whose state predicts each response token
    prompt_places: Tensor  # [U, P] int64; 0 behind a prompt's end
    prompt_lengths: Tensor  # [U] int64
    responses: tuple[Responses, ...]
    # [K] where each place comes from: [U * P], then [B * T] of each of `responses`, end to end.
    origins: Tensor
    _masks: dict[tuple[int, int | None, torch.dtype], Tensor] = field(default_factory=dict)

    def prompt_mask(self, window: int | None, dtype: torch.dtype) -> Tensor | None:
        """[1, 1, P, P], added to scores; None: plainly causal."""
        width = self.prompt_places.shape[1]
        if window is None or window >= width:
            return None
        place = torch.arange(width, device=self.prompt_places.device)
        distance = place[:, None] - place
        return _added((distance >= 0) & (distance < window), dtype)[None, None]

    def response_mask(self, which: int, window: int | None, dtype: torch.dtype) -> Tensor:
        """[B or 1, 1, T, P + T], added to the scores of `responses[which]`; one for all layers."""
        found = self._masks.get((which, window, dtype))
        if found is None:
            found = _added(self._seen(self.responses[which], window), dtype)[:, None]
            self._masks[which, window, dtype] = found
        return found

    def _seen(self, responses: Responses, window: int | None) -> Tensor:
        """[B or 1, T, P + T] which places of prompt and response a token attends to."""
        before = self.prompt_lengths[responses.prompts]
        before = before[:1] if bool((before == before[0]).all()) else before
        prompt_width, width = self.prompt_places.shape[1], responses.places.shape[1]
        prompt_place, place = (torch.arange(n, device=before.device) for n in (prompt_width, width))
        position = before[:, None] + place  # of queries; [B or 1, T]
        read = torch.cat([prompt_place.expand(len(before), prompt_width), position], dim=1)
        there = torch.cat(
            [prompt_place < before[:, None], torch.ones_like(position, dtype=torch.bool)], dim=1
        )
        distance = position[:, :, None] - read[:, None]
        seen = there[:, None] & (distance >= 0)
        return seen if window is None else seen & (distance < window)


def lay_out(batch: TokenBatch) -> SharedPrompts:
    """The prompts and responses of a batch, equal prompts once and nothing padded."""
    device = batch.input_ids.device
    numbers, first_rows = numbered_prompts(batch)
    mask = batch.attention_mask[:, : batch.prompt_length][first_rows]
    prompt_lengths = mask.sum(dim=1)
    prompt_ids = batch.input_ids[:, : batch.prompt_length][first_rows][mask]
    prompt_places = _places(prompt_lengths, start=0)
    read = (batch.response_mask.sum(dim=1) - 1).clamp(min=0)
    starts = len(prompt_ids) + read.cumsum(dim=0) - read
    column = torch.arange(batch.response_mask.shape[1], device=device)
    inside = column < read[:, None]
    response_ids = batch.input_ids[:, batch.prompt_length :][inside]
    position = prompt_lengths[numbers][:, None] + column

    responses = []
    origins = [torch.arange(prompt_places.numel(), device=device)[_real(prompt_lengths)]]
    places = [prompt_places.flatten()[_real(prompt_lengths)]]
    passed = prompt_places.numel()
    for rows in _similar(read):
        lengths = read[rows]
        table = _places(lengths, start=starts[rows])
        responses.append(Responses(prompts=numbers[rows], places=table, lengths=lengths))
        real = _real(lengths)
        origins.append(passed + torch.arange(table.numel(), device=device)[real])
        places.append(table.flatten()[real])
        passed += table.numel()
    responding, nth = batch.response_mask.nonzero(as_tuple=True)
    ends = prompt_lengths.cumsum(dim=0) - 1
    return SharedPrompts(
        input_ids=torch.cat([prompt_ids, response_ids])[None],
        position_ids=torch.cat([_columns(prompt_lengths), position[inside]])[None],
        predicting=torch.where(nth == 0, ends[numbers][responding], starts[responding] + nth - 1),
        prompt_places=prompt_places,
        prompt_lengths=prompt_lengths,
        responses=tuple(responses),
        origins=torch.cat(origins)[torch.cat(places).argsort()],
    )


def _similar(lengths: Tensor) -> Sequence[Tensor]:
    """Rows whose lengths are above 0 and lie between the same powers of two."""
    scale = lengths.clamp(min=1).log2().ceil().long().where(lengths > 0, -1)
    return [
        (scale == each).nonzero().squeeze(1) for each in torch.unique(scale).tolist() if each >= 0
    ]


def _real(lengths: Tensor) -> Tensor:
    """[rows * longest] whether a table of rows that begin together has something there."""
    column = torch.arange(int(lengths.max()), device=lengths.device)
    return (column < lengths[:, None]).flatten()


def _columns(lengths: Tensor) -> Tensor:
    """[sum] 0, 1, ... for each length, end to end."""
    column = torch.arange(int(lengths.max()), device=lengths.device)
    return column.expand(len(lengths), -1).flatten()[_real(lengths)]


def _places(lengths: Tensor, *, start: Tensor | int) -> Tensor:
    """[rows, longest] places of rows that lie end to end, or where `start` says; 0 beyond them."""
    begin = lengths.cumsum(dim=0) - lengths if isinstance(start, int) else start
    column = torch.arange(int(lengths.max()), device=lengths.device)
    return (begin[:, None] + column).where(column < lengths[:, None], 0)


def _added(seen: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill_(~seen, -torch.inf)
