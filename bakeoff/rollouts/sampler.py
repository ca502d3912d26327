"""Sampling with `transformers`: one prefill a prompt, its cache shared by the whole group."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from bakeoff.config import SamplingConfig
from bakeoff.interfaces import NoiseAddress
from bakeoff.logprobs import position_ids
from bakeoff.models.loading import Policy
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
        for chosen in _cuts(prompts, max(1, sampling.sampling_rows // group_size)):
            cut = [prompts[index] for index in chosen]
            completions = self._decode(cut, group_size, sampling, noise)
            for place, index in enumerate(chosen):
                groups[index] = completions[place * group_size : (place + 1) * group_size]
        return groups

    def _decode(
        self,
        prompts: Sequence[Prompt],
        group_size: int,
        sampling: SamplingConfig,
        noise: NoiseAddress,
    ) -> list[Completion]:
        rows, limit = len(prompts) * group_size, sampling.max_response_tokens
        draws = self._draws(prompts, group_size, limit, noise)
        tokens = torch.zeros(rows, limit, dtype=torch.int64, device=self._device)
        logprobs = torch.zeros(rows, limit, device=self._device)
        lengths = torch.full((rows,), limit, device=self._device)
        ended = torch.zeros(rows, dtype=torch.bool, device=self._device)

        hidden, cache, mask, positions = self._prefill(prompts, group_size)
        alive = torch.arange(rows, device=self._device)
        running = torch.ones_like(alive, dtype=torch.bool)
        for position in range(limit):
            draw = draws[alive, position]
            chosen, chosen_logprobs = _choose(self._logits(hidden), draw, sampling)
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
                cache.batch_select_indices(running.nonzero().squeeze(1))
                alive, chosen, positions = alive[running], chosen[running], positions[running]
                mask = None if mask is None else mask[running]
                running = running[running]
            hidden, mask, positions = self._advance(chosen, cache, mask, positions)
        return self._completions(tokens, logprobs, lengths, ended)

    def _prefill(
        self, prompts: Sequence[Prompt], group_size: int
    ) -> tuple[Tensor, DynamicCache, Tensor | None, Tensor]:
        longest = max(len(prompt.token_ids) for prompt in prompts)
        input_ids = torch.full((len(prompts), longest), self._pad_token_id)
        mask = torch.zeros(len(prompts), longest, dtype=torch.int64)
        for row, prompt in enumerate(prompts):
            input_ids[row, longest - len(prompt.token_ids) :] = torch.tensor(prompt.token_ids)
            mask[row, longest - len(prompt.token_ids) :] = 1
        mask = mask.to(self._device)
        padded = not bool(mask.all())
        cache = DynamicCache(config=self._model.config)
        hidden = self._forward(
            input_ids.to(self._device), cache, mask if padded else None, position_ids(mask)
        )
        cache.batch_repeat_interleave(group_size)
        return (
            hidden.repeat_interleave(group_size, dim=0),
            cache,
            mask.repeat_interleave(group_size, dim=0) if padded else None,
            mask.sum(dim=1).repeat_interleave(group_size),
        )

    def _advance(
        self, chosen: Tensor, cache: DynamicCache, mask: Tensor | None, positions: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        hidden = self._forward(chosen[:, None], cache, mask, positions[:, None])
        return hidden, mask, positions + 1

    def _forward(
        self, input_ids: Tensor, cache: DynamicCache, mask: Tensor | None, positions: Tensor
    ) -> Tensor:
        """[rows, H] last hidden states of the last position."""
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
        return hidden[:, -1]

    def _logits(self, hidden: Tensor) -> Tensor:
        """[rows, V] float32."""
        head = self._model.get_output_embeddings()
        # The trainer multiplies in the precision of the hidden states, so this must too.
        logits: Tensor = (hidden @ head.weight.to(hidden.dtype).T).float()
        bias: Tensor | None = getattr(head, "bias", None)
        return logits if bias is None else logits + bias.float()

    def _draws(
        self, prompts: Sequence[Prompt], group_size: int, limit: int, noise: NoiseAddress
    ) -> Tensor:
        """[rows, limit] float64 uniforms, each row a function of its rollout's address alone."""
        draws = [
            uniforms(noise.seed, noise.batch, prompt.problem.id, sample, count=limit)
            for prompt in prompts
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


def _choose(logits: Tensor, draws: Tensor, sampling: SamplingConfig) -> tuple[Tensor, Tensor]:
    """One token a row and its log-probability under the untruncated distribution."""
    if sampling.temperature == 0:
        chosen = logits.argmax(dim=1)
        return chosen, _logprob(logits, chosen)
    logits = logits / sampling.temperature
    weights = _truncate(logits.softmax(dim=1), sampling)
    # float64, or the tail of a large vocabulary would round into its neighbours.
    cumulative = weights.double().cumsum(dim=1)
    threshold = draws[:, None] * cumulative[:, -1:]
    chosen = torch.searchsorted(cumulative, threshold, right=True).squeeze(1)
    chosen = chosen.clamp(max=logits.shape[1] - 1)
    return chosen, _logprob(logits, chosen)


def _truncate(probabilities: Tensor, sampling: SamplingConfig) -> Tensor:
    """Probabilities with the tokens outside top-k and top-p at 0, not renormalised."""
    if sampling.top_k:
        k = min(sampling.top_k, probabilities.shape[1])
        least = probabilities.topk(k, dim=1).values[:, -1:]
        probabilities = probabilities.where(probabilities >= least, 0)
    if sampling.top_p < 1:
        ordered, index = probabilities.sort(dim=1, descending=True)
        mass_before = ordered.cumsum(dim=1) - ordered
        total = ordered.sum(dim=1, keepdim=True)
        kept = ordered.where(mass_before < sampling.top_p * total, 0)
        probabilities = torch.zeros_like(probabilities).scatter(1, index, kept)
    return probabilities


def _logprob(logits: Tensor, chosen: Tensor) -> Tensor:
    picked = logits.gather(1, chosen[:, None]).squeeze(1)
    return picked - logits.logsumexp(dim=1)


def _cuts(prompts: Sequence[Prompt], size: int) -> Iterator[list[int]]:
    """Indices of `size` prompts each, of similar length, so that little is padded."""
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index].token_ids))
    return (order[start : start + size] for start in range(0, len(order), size))
