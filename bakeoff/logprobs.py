"""The one path from hidden states to log-probabilities, for every method and model role.

The [K, V] logits of a batch never exist at once: they are made a tile at a time, reduced, and made
again in the backward pass.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from bakeoff.batch import TokenBatch
from bakeoff.memory.attribution import component
from bakeoff.memory.components import Component
from bakeoff.models.attention import shares_prompts
from bakeoff.packing import pack
from bakeoff.shared_prompts import lay_out

# float32 logits that exist at once. On the CPU they stay in the cache of a core; a GPU wants matrix
# products that are large enough to fill it.
LOGITS_PER_TILE = {"cpu": 1 << 19, "cuda": 1 << 24}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Head:
    """An output head read in tiles: stretches of the vocabulary by stretches of the tokens."""

    hidden: Tensor  # [K, H]
    weight: Tensor  # [V, H]
    bias: Tensor | None  # [V]
    targets: Tensor  # [K] int64
    temperature: float
    logits_per_tile: int

    def tiles(self) -> Iterator[tuple[slice, slice, Tensor, Tensor]]:
        """Words, rows, the words' weights and the [rows, words] float32 logits, words outermost."""
        tokens, vocabulary = len(self.targets), len(self.weight)
        # Wide rather than square: each stretch of words is cast once and passed by all tokens.
        width = min(vocabulary, 4 * math.isqrt(self.logits_per_tile))
        for words in _stretches(vocabulary, width):
            weight = self.weight[words].to(self.hidden.dtype)
            bias = None if self.bias is None else self.bias[words].float()
            for rows in _stretches(tokens, max(1, self.logits_per_tile // width)):
                logits = (self.hidden[rows] @ weight.T).float()
                if bias is not None:
                    logits += bias
                if self.temperature != 1.0:
                    logits /= self.temperature
                yield words, rows, weight, logits

    def places(self, words: slice, rows: slice) -> tuple[Tensor, Tensor]:
        """[rows, 1] column of each target in a tile, any where it has none, and whether it has."""
        column = self.targets[rows, None] - words.start
        return column.clamp(0, words.stop - words.start - 1), (
            (column >= 0) & (column < words.stop - words.start)
        )


class _SelectedLogprobs(torch.autograd.Function):
    """Log-probabilities of chosen tokens, and entropies, from hidden states and an output head."""

    @staticmethod
    @component(Component.LOGITS)
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        temperature: float,
        logits_per_tile: int,
    ) -> tuple[Tensor, Tensor]:
        head = _Head(
            hidden=hidden,
            weight=weight,
            bias=bias,
            targets=targets,
            temperature=temperature,
            logits_per_tile=logits_per_tile,
        )
        blank = torch.zeros(len(targets), dtype=torch.float32, device=hidden.device)
        # Online softmax (arXiv:1805.02867 algorithm 3): sums are kept relative to the largest
        # logit so far. `weighted` is the sum of exp(logit) x logit, which the entropy takes.
        largest, total, weighted, chosen = blank - torch.inf, blank.clone(), blank.clone(), blank
        for words, rows, _, logits in head.tiles():
            column, here = head.places(words, rows)
            chosen[rows] += logits.gather(1, column).where(here, 0).squeeze(1)
            highest = torch.maximum(largest[rows], logits.amax(dim=1))
            shrink = (largest[rows] - highest).exp_()
            powers = (logits - highest[:, None]).exp_()
            total[rows] = total[rows] * shrink + powers.sum(dim=1)
            weighted[rows] = weighted[rows] * shrink + _row_dots(powers, logits)
            largest[rows] = highest
        normalisers = largest + total.log()
        entropy = normalisers - weighted / total
        ctx.save_for_backward(hidden, weight, bias, targets, normalisers)
        ctx.temperature, ctx.logits_per_tile = temperature, logits_per_tile
        ctx.mark_non_differentiable(entropy)
        return chosen - normalisers, entropy

    @staticmethod
    @component(Component.LOGITS)
    def backward(ctx: Any, grad_logprobs: Tensor, _grad_entropy: Tensor) -> tuple[Any, ...]:
        hidden, weight, bias, targets, normalisers = ctx.saved_tensors
        head = _Head(
            hidden=hidden,
            weight=weight,
            bias=bias,
            targets=targets,
            temperature=ctx.temperature,
            logits_per_tile=ctx.logits_per_tile,
        )
        # float32 sums over tiles, so the number of tiles does not show in a bf16 gradient.
        sums = [
            torch.zeros_like(value, dtype=torch.float32) if needed else None
            for value, needed in zip((hidden, weight, bias), ctx.needs_input_grad, strict=False)
            if value is not None
        ]
        grad_hidden, grad_weight, grad_bias = (*sums, None)[:3]
        # d logprob / d logits = onehot - softmax, over the temperature.
        scale = (grad_logprobs / ctx.temperature)[:, None]
        for words, rows, tile_weight, logits in head.tiles():
            column, here = head.places(words, rows)
            grad_logits = logits.sub_(normalisers[rows, None]).exp_().mul_(-scale[rows])
            grad_logits.scatter_add_(1, column, scale[rows].where(here, 0))
            if grad_bias is not None:
                grad_bias[words] += grad_logits.sum(dim=0)
            reduced = grad_logits.to(hidden.dtype)
            if grad_hidden is not None:
                grad_hidden[rows] += reduced @ tile_weight
            if grad_weight is not None:
                grad_weight[words] += reduced.T @ hidden[rows]
        return (
            None if grad_hidden is None else grad_hidden.to(hidden.dtype),
            None if grad_weight is None else grad_weight.to(weight.dtype),
            None if grad_bias is None else grad_bias.to(bias.dtype),
            None,
            None,
            None,
        )


def selected_logprobs(
    hidden: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    targets: Tensor,
    *,
    temperature: float,
    logits_per_tile: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Log-probability of each target and entropy of its distribution, in nats, both [K] float32.

    Equal to ``log_softmax(hidden @ weight.T / temperature)`` gathered at the targets; the
    log-softmax is float32 whatever the input. The entropy carries no gradient.

    Args:
        hidden: [K, H], states that predict the targets; carries gradient.
        weight: [V, H] of the output head; carries gradient.
        bias: [V] or None.
        targets: [K] int64.
        temperature: divides the logits; the one the tokens were sampled at.
        logits_per_tile: float32 logits that exist at once; None: what suits the device.
    """
    result: tuple[Tensor, Tensor] = _SelectedLogprobs.apply(  # type: ignore[no-untyped-call]
        hidden,
        weight,
        bias,
        targets,
        temperature,
        logits_per_tile or LOGITS_PER_TILE.get(hidden.device.type, LOGITS_PER_TILE["cuda"]),
    )
    return result


def response_hidden(model: PreTrainedModel, batch: TokenBatch) -> Tensor:
    """[K, H] last hidden states that predict each response token, in the order of the mask.

    K is the number of response tokens: ``batch.response_mask.sum()``.
    """
    if shares_prompts(model):
        return _hidden_of_shared_prompts(model, batch)
    packed = pack(batch)
    hidden: Tensor = model.base_model(
        input_ids=packed.input_ids, position_ids=packed.position_ids, use_cache=False
    ).last_hidden_state
    return hidden.flatten(0, 1)[packed.predicting]


def _hidden_of_shared_prompts(model: PreTrainedModel, batch: TokenBatch) -> Tensor:
    laid = lay_out(batch)
    # A mask with four axes is handed on as it is, to attention that has masks of its own here.
    handed_on = torch.empty(1, 1, 1, 1, device=laid.input_ids.device)
    hidden: Tensor = model.base_model(
        input_ids=laid.input_ids,
        attention_mask=handed_on,
        position_ids=laid.position_ids,
        use_cache=False,
        shared_prompts=laid,
    ).last_hidden_state
    return hidden[0].index_select(0, laid.predicting)


def response_logprobs(
    model: PreTrainedModel, batch: TokenBatch, hidden: Tensor, *, temperature: float
) -> tuple[Tensor, Tensor]:
    """[N, T] log-probabilities and entropies of the response tokens, 0 off the response mask.

    Args:
        model: a causal LM whose output head is linear.
        batch: the tokens.
        hidden: [K, H] from `response_hidden` of the same model and batch.
        temperature: the sampling temperature.
    """
    head = model.get_output_embeddings()
    mask = batch.response_mask
    targets = batch.input_ids[:, batch.prompt_length :][mask]
    logprobs, entropy = selected_logprobs(
        hidden, head.weight, getattr(head, "bias", None), targets, temperature=temperature
    )
    return on_response(logprobs, mask), on_response(entropy, mask)


def on_response(values: Tensor, response_mask: Tensor) -> Tensor:
    """[N, T] float32 of one value a response token, [K] in the order of the mask; 0 elsewhere."""
    blank = torch.zeros(response_mask.shape, dtype=torch.float32, device=response_mask.device)
    return blank.masked_scatter(response_mask, values)


def position_ids(attention_mask: Tensor) -> Tensor:
    """[N, L] int64 positions, 0 on the first real token, so that padding changes nothing."""
    return (attention_mask.long().cumsum(dim=1) - 1).clamp(min=0)


def _row_dots(one: Tensor, other: Tensor) -> Tensor:
    """[R] sums of products of the rows of two [R, C], which would else exist once more."""
    return torch.bmm(one[:, None], other[:, :, None]).flatten()


def _stretches(length: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, length)) for start in range(0, length, size))
