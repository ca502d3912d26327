"""Tokens from logits: each row's own uniform number, turned into a token by inversion."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from bakeoff.config import SamplingConfig
from bakeoff.memory.attribution import component
from bakeoff.memory.components import Component

STRETCH = 512  # words that are added up before any of them is looked at


@component(Component.LOGITS)
def draw_tokens(logits: Tensor, draws: Tensor, sampling: SamplingConfig) -> tuple[Tensor, Tensor]:
    """One token a row, and its log-probability in nats under the untruncated distribution.

    Args:
        logits: [R, V] float32, used up.
        draws: [R] float64 uniforms in [0, 1).
        sampling: temperature, where 0 is the most likely token, and truncation.
    """
    if sampling.temperature not in (0.0, 1.0):
        logits /= sampling.temperature
    # In place: over a large vocabulary fresh memory costs more than the arithmetic in it.
    weights = logits.sub_(logits.amax(dim=1, keepdim=True)).exp_()
    if sampling.temperature == 0:
        chosen = weights.argmax(dim=1)
    else:
        chosen = invert(truncate(weights, sampling), draws)
    picked = weights.gather(1, chosen[:, None]).squeeze(1)
    return chosen, (picked / weights.sum(dim=1)).log()


def invert(weights: Tensor, draws: Tensor) -> Tensor:
    """[R] int64: the first word up to which each row holds more than its draw's share.

    Two levels, stretches and then words of one of them, so that the cumulative sums, which must
    be float64 or the tail of a large vocabulary would round into its neighbours, stay short.

    Args:
        weights: [R, V] float32, at least 0, not normalised.
        draws: [R] float64 uniforms in [0, 1).
    """
    vocabulary = weights.shape[1]
    whole = vocabulary // STRETCH * STRETCH
    parts = [weights[:, :whole].view(len(weights), whole // STRETCH, STRETCH).sum(dim=2)]
    if whole < vocabulary:
        parts.append(weights[:, whole:].sum(dim=1, keepdim=True))
    reached = torch.cat(parts, dim=1).double().cumsum(dim=1)
    threshold = draws[:, None] * reached[:, -1:]
    stretch = _first_above(reached, threshold)
    before = pad(reached, (1, 0)).gather(1, stretch)
    words = stretch * STRETCH + torch.arange(min(STRETCH, vocabulary), device=weights.device)
    inside = weights.gather(1, words.clamp(max=vocabulary - 1)).where(words < vocabulary, 0)
    word = _first_above(inside.double().cumsum(dim=1), threshold - before)
    return (stretch * STRETCH + word).squeeze(1)


def truncate(weights: Tensor, sampling: SamplingConfig) -> Tensor:
    """[R, V] weights with the words outside top-k and top-p at 0, not renormalised."""
    if sampling.top_k:
        k = min(sampling.top_k, weights.shape[1])
        least = weights.topk(k, dim=1).values[:, -1:]
        weights = weights.where(weights >= least, 0)
    if sampling.top_p < 1:
        ordered, index = weights.sort(dim=1, descending=True)
        mass_before = ordered.cumsum(dim=1) - ordered
        total = ordered.sum(dim=1, keepdim=True)
        kept = ordered.where(mass_before < sampling.top_p * total, 0)
        weights = torch.zeros_like(weights).scatter(1, index, kept)
    return weights


def _first_above(cumulative: Tensor, threshold: Tensor) -> Tensor:
    """[R, 1] place of the first sum above the threshold."""
    # Rounding may lift a threshold to the whole sum, which only words of no weight would exceed.
    below_all = torch.nextafter(cumulative[:, -1:], torch.zeros_like(threshold))
    return torch.searchsorted(cumulative, torch.minimum(threshold, below_all), right=True)
