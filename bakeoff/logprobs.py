"""The one path from hidden states to log-probabilities, for every method and model role.

The [K, V] logits of a batch never exist at once: they are made a chunk at a time, reduced, and
made again in the backward pass.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from bakeoff.batch import TokenBatch

LOGITS_PER_CHUNK = 1 << 24  # float32 elements, 64 MiB: large enough to keep the matmul busy


class _SelectedLogprobs(torch.autograd.Function):
    """Log-probabilities of chosen tokens, and entropies, from hidden states and an output head."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        temperature: float,
        chunk_tokens: int,
    ) -> tuple[Tensor, Tensor]:
        logprobs, entropies, normalisers = [], [], []
        for rows in _chunks(len(targets), chunk_tokens):
            logits = _logits(hidden[rows], weight, bias, temperature)
            normaliser = logits.logsumexp(dim=1)
            chosen = logits.gather(1, targets[rows, None]).squeeze(1)
            logprobs.append(chosen - normaliser)
            probabilities = (logits - normaliser[:, None]).exp_()
            entropies.append(normaliser - (probabilities * logits).sum(dim=1))
            normalisers.append(normaliser)
        ctx.save_for_backward(hidden, weight, bias, targets, torch.cat(normalisers))
        ctx.temperature, ctx.chunk_tokens = temperature, chunk_tokens
        entropy = torch.cat(entropies)
        ctx.mark_non_differentiable(entropy)
        return torch.cat(logprobs), entropy

    @staticmethod
    def backward(ctx: Any, grad_logprobs: Tensor, _grad_entropy: Tensor) -> tuple[Any, ...]:
        hidden, weight, bias, targets, normalisers = ctx.saved_tensors
        grad_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[0] else None
        # float32 sums over chunks, so the number of chunks does not show in a bf16 gradient.
        grad_weight = (
            torch.zeros_like(weight, dtype=torch.float32) if ctx.needs_input_grad[1] else None
        )
        grad_bias = (
            torch.zeros_like(bias, dtype=torch.float32)
            if bias is not None and ctx.needs_input_grad[2]
            else None
        )
        for rows in _chunks(len(targets), ctx.chunk_tokens):
            logits = _logits(hidden[rows], weight, bias, ctx.temperature)
            # d logprob / d logits = onehot - softmax, over the temperature.
            scale = (grad_logprobs[rows] / ctx.temperature)[:, None]
            grad_logits = (logits - normalisers[rows, None]).exp_().mul_(-scale)
            grad_logits.scatter_add_(1, targets[rows, None], scale)
            reduced = grad_logits.to(hidden.dtype)
            if grad_hidden is not None:
                grad_hidden[rows] = reduced @ weight.to(hidden.dtype)
            if grad_weight is not None:
                grad_weight += (reduced.T @ hidden[rows]).float()
            if grad_bias is not None:
                grad_bias += grad_logits.sum(dim=0)
        return (
            grad_hidden,
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
    logits_per_chunk: int = LOGITS_PER_CHUNK,
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
        logits_per_chunk: float32 logits that exist at once.
    """
    chunk_tokens = max(1, logits_per_chunk // weight.shape[0])
    result: tuple[Tensor, Tensor] = _SelectedLogprobs.apply(  # type: ignore[no-untyped-call]
        hidden, weight, bias, targets, temperature, chunk_tokens
    )
    return result


def response_hidden(model: PreTrainedModel, batch: TokenBatch) -> Tensor:
    """[N, T, H] last hidden states at the positions that predict each response token."""
    hidden: Tensor = model.base_model(
        input_ids=batch.input_ids,
        attention_mask=batch.attention_mask.long(),
        position_ids=position_ids(batch.attention_mask),
        use_cache=False,
    ).last_hidden_state
    return hidden[:, batch.prompt_length - 1 : -1]


def response_logprobs(
    model: PreTrainedModel, batch: TokenBatch, hidden: Tensor, *, temperature: float
) -> tuple[Tensor, Tensor]:
    """[N, T] log-probabilities and entropies of the response tokens, 0 off the response mask.

    Args:
        model: a causal LM whose output head is linear.
        batch: the tokens.
        hidden: [N, T, H] from `response_hidden` of the same model and batch.
        temperature: the sampling temperature.
    """
    head = model.get_output_embeddings()
    mask = batch.response_mask
    targets = batch.input_ids[:, batch.prompt_length :][mask]
    logprobs, entropy = selected_logprobs(
        hidden[mask], head.weight, getattr(head, "bias", None), targets, temperature=temperature
    )
    blank = torch.zeros(mask.shape, dtype=torch.float32, device=mask.device)
    return blank.masked_scatter(mask, logprobs), blank.masked_scatter(mask, entropy)


def position_ids(attention_mask: Tensor) -> Tensor:
    """[N, L] int64 positions, 0 on the first real token, so that padding changes nothing."""
    return (attention_mask.long().cumsum(dim=1) - 1).clamp(min=0)


def _logits(hidden: Tensor, weight: Tensor, bias: Tensor | None, temperature: float) -> Tensor:
    logits = (hidden @ weight.to(hidden.dtype).T).float()
    if bias is not None:
        logits += bias.float()
    return logits if temperature == 1.0 else logits.div_(temperature)


def _chunks(length: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, length)) for start in range(0, max(length, 1), size))
