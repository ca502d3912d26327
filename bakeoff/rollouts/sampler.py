"""Sampling with `transformers`: a prompt or a solution is read once, whatever continues it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin

from bakeoff.config import SamplingConfig
from bakeoff.interfaces import NoiseAddress
from bakeoff.logprobs import position_ids
from bakeoff.memory.attribution import claim, component
from bakeoff.memory.components import Component
from bakeoff.models.loading import Policy
from bakeoff.rollouts.attention import attention_of_single_tokens, can_branch
from bakeoff.rollouts.cache import GrowingCache
from bakeoff.rollouts.drawing import draw_tokens
from bakeoff.rollouts.prefill import (
    Prefilled,
    SolutionPrefixes,
    left_padded,
    prefix_cuts,
    prompt_cuts,
    right_padded,
    take_prefixes,
)
from bakeoff.seeds import uniforms
from bakeoff.types import Completion, Prompt

COMPACT_SHARE = 1 / 8  # of the rows finished before the batch is rebuilt without them


class TransformersSampler:
    """Draws completions with the weights of a live `transformers` model.

    Noise is one uniform number per (seed, batch, problem, sample, position), turned into a token
    by inverting the cumulative distribution, so completions do not depend on how prompts are cut
    into batches, up to rounding of the logits.
    """

    def __init__(self, policy: Policy, *, autocast_dtype: torch.dtype | None) -> None:
        self._model: PreTrainedModel = policy.model
        self._tokenizer = policy.tokenizer
        self._pad_token_id = policy.pad_token_id
        self._autocast_dtype = autocast_dtype
        device = policy.model.device
        self._device = device
        self._eos_token_ids = torch.tensor(policy.eos_token_ids, device=device)
        self._version = 0

    def publish(self, model: PreTrainedModel, *, version: int) -> None:
        """Samples from `model` from now on; `version` marks its completions."""
        self._model = model
        self._version = version

    @torch.no_grad()
    def sample(
        self,
        prompts: Sequence[Prompt],
        *,
        group_size: int,
        sampling: SamplingConfig,
        noise: NoiseAddress,
    ) -> list[list[Completion]]:
        groups: list[list[Completion]] = [[] for _ in prompts]
        token_ids = [prompt.token_ids for prompt in prompts]
        for chosen in prompt_cuts(token_ids, max(1, sampling.sampling_rows // group_size)):
            names = [prompts[index].problem.id for index in chosen]
            rows = self._prefill([token_ids[index] for index in chosen])
            drawn = self._draw_groups(rows, names, group_size, sampling, noise)
            for index, group in zip(chosen, drawn, strict=True):
                groups[index] = group
        return groups

    @torch.no_grad()
    def continue_prefixes(
        self,
        solutions: Sequence[SolutionPrefixes],
        *,
        group_size: int,
        sampling: SamplingConfig,
        noise: NoiseAddress,
    ) -> list[list[list[Completion]]]:
        """`group_size` completions of every prefix of every solution, in order.

        They are those of `sample` for prompts made of the prefixes, up to the rounding of the
        logits, but each solution is read once.
        """
        groups: dict[tuple[int, int], list[Completion]] = {}
        at_once = max(1, sampling.sampling_rows // group_size)
        for chosen in prompt_cuts([solution.token_ids for solution in solutions], at_once):
            cut = [solutions[index] for index in chosen]
            hidden, cache = self._read([s.token_ids[: max(s.lengths, default=1)] for s in cut])
            for ends in prefix_cuts(cut, at_once):
                lengths = [cut[row].lengths[place] for row, place in ends]
                prefilled = take_prefixes(
                    hidden,
                    cache,
                    self._model.config,
                    solutions=torch.tensor([row for row, _ in ends], device=self._device),
                    lengths=torch.tensor(lengths, device=self._device),
                )
                names = [f"{cut[row].id}/{place}" for row, place in ends]
                drawn = self._draw_groups(prefilled, names, group_size, sampling, noise)
                for (row, place), group in zip(ends, drawn, strict=True):
                    groups[chosen[row], place] = group
        return [
            [groups[index, place] for place in range(len(solution.lengths))]
            for index, solution in enumerate(solutions)
        ]

    def _draw_groups(
        self,
        prefilled: Prefilled,
        names: Sequence[str],
        group_size: int,
        sampling: SamplingConfig,
        noise: NoiseAddress,
    ) -> list[list[Completion]]:
        draws = self._draws(names, group_size, sampling.max_response_tokens, noise)
        with component(Component.KV_CACHE):
            branch = group_size > 1 and can_branch(self._model, prefilled.cache)
            rows = prefilled.repeated(group_size, branch=branch)
        flat = self._decode(rows, draws, sampling)
        return [flat[start : start + group_size] for start in range(0, len(flat), group_size)]

    def _decode(
        self, prefilled: Prefilled, draws: Tensor, sampling: SamplingConfig
    ) -> list[Completion]:
        """One completion a row; draws: [rows, max_response_tokens]."""
        rows, limit = draws.shape
        tokens = torch.zeros(rows, limit, dtype=torch.int64, device=self._device)
        logprobs = torch.zeros(rows, limit, device=self._device)
        lengths = torch.full((rows,), limit, device=self._device)
        ended = torch.zeros(rows, dtype=torch.bool, device=self._device)

        hidden, cache = prefilled.hidden, prefilled.cache
        mask, positions = prefilled.mask, prefilled.positions
        alive = torch.arange(rows, device=self._device)
        running = torch.ones_like(alive, dtype=torch.bool)
        for position in range(limit):
            draw = draws[alive, position]
            chosen, chosen_logprobs = draw_tokens(self._logits(hidden), draw, sampling)
            tokens[alive, position] = chosen
            logprobs[alive, position] = chosen_logprobs
            stops = running & torch.isin(chosen, self._eos_token_ids)
            lengths[alive[stops]] = position + 1
            ended[alive[stops]] = True
            running &= ~stops
            left = int(running.sum())
            if left == 0 or position + 1 == limit:
                break
            if left <= len(alive) * (1 - COMPACT_SHARE):
                with component(Component.KV_CACHE):
                    cache.batch_select_indices(running.nonzero().squeeze(1))
                alive, chosen, positions = alive[running], chosen[running], positions[running]
                mask = None if mask is None else mask[running]
                running = running[running]
            hidden, mask, positions = self._advance(chosen, cache, mask, positions)
        return self._completions(tokens, logprobs, lengths, ended)

    def _prefill(self, prompts: Sequence[Sequence[int]]) -> Prefilled:
        input_ids, mask = left_padded(prompts, pad_token_id=self._pad_token_id)
        mask = mask.to(self._device)
        padded = None if bool(mask.all()) else mask
        cache = GrowingCache(self._model.config)
        hidden = self._forward(input_ids.to(self._device), cache, padded, position_ids(mask))
        return Prefilled(hidden=hidden[:, -1], cache=cache, mask=padded, positions=mask.sum(dim=1))

    def _read(self, solutions: Sequence[Sequence[int]]) -> tuple[Tensor, DynamicCache]:
        """[S, L, H] last hidden states and the cache of solutions that begin at place 0."""
        input_ids = right_padded(solutions, pad_token_id=self._pad_token_id).to(self._device)
        positions = torch.arange(input_ids.shape[1], device=self._device).expand_as(input_ids)
        # Without the model's config it drops nothing, where a sliding window would drop the
        # beginning that short prefixes need.
        cache = DynamicCache()
        return self._forward(input_ids, cache, None, positions), cache

    def _advance(
        self, chosen: Tensor, cache: GrowingCache, mask: Tensor | None, positions: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        with attention_of_single_tokens(cache):
            hidden = self._forward(chosen[:, None], cache, mask, positions[:, None])
        return hidden[:, -1], mask, positions + 1

    def _forward(
        self, input_ids: Tensor, cache: DynamicCache, mask: Tensor | None, positions: Tensor
    ) -> Tensor:
        """[rows, T, H] last hidden states."""
        with torch.autocast(
            self._device.type, self._autocast_dtype, enabled=self._autocast_dtype is not None
        ):
            hidden: Tensor = self._model.base_model(
                input_ids=input_ids,
                attention_mask=mask,
                position_ids=positions,
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state
        claim(Component.KV_CACHE, (part for layer in cache.layers for part in _held(layer)))
        return hidden

    @component(Component.LOGITS)
    def _logits(self, hidden: Tensor) -> Tensor:
        """[rows, V] float32."""
        head = self._model.get_output_embeddings()
        # The trainer multiplies in the precision of the hidden states, so this must too.
        logits: Tensor = (hidden @ head.weight.to(hidden.dtype).T).float()
        bias: Tensor | None = getattr(head, "bias", None)
        return logits if bias is None else logits + bias.float()

    def _draws(
        self, names: Sequence[str], group_size: int, limit: int, noise: NoiseAddress
    ) -> Tensor:
        """[rows, limit] float64 uniforms, each row a function of its rollout's address alone."""
        draws = [
            uniforms(noise.seed, noise.batch, name, sample, count=limit)
            for name in names
            for sample in range(group_size)
        ]
        return torch.from_numpy(np.stack(draws)).to(self._device)

    def _completions(
        self, tokens: Tensor, logprobs: Tensor, lengths: Tensor, ended: Tensor
    ) -> list[Completion]:
        completions = []
        for row_tokens, row_logprobs, length, stopped in zip(
            tokens.tolist(), logprobs.tolist(), lengths.tolist(), ended.tolist(), strict=True
        ):
            text_length = length - 1 if stopped else length
            completions.append(
                Completion(
                    text=self._tokenizer.decode(row_tokens[:text_length], skip_special_tokens=True),
                    token_ids=tuple(row_tokens[:length]),
                    logprobs=tuple(row_logprobs[:length]),
                    finish="stop" if stopped else "length",
                    policy_version=self._version,
                )
            )
        return completions


def _held(layer: CacheLayerMixin) -> Iterator[Tensor]:
    held = (layer.keys, layer.values, *(getattr(layer, "prompts", None) or ()))
    return (part for part in held if part is not None)
