"""What one optimizer step saw, summed over its micro-batches."""

from __future__ import annotations

import torch
from torch import Tensor

from bakeoff.batch import TokenBatch, TokenLosses, present
from bakeoff.interfaces import UpdateResult
from bakeoff.ranks import Ranks


class UpdateStatistics:
    """Sums over the response tokens that have a weight."""

    def __init__(self, *, kept_rollouts: int) -> None:
        self.kept_rollouts = kept_rollouts
        self.grad_norm = 0.0
        self.critic_grad_norm: float | None = None
        self._loss = 0.0
        self._critic_loss: float | None = None
        self._tokens = 0
        self._ratio_max: float | None = None
        self._sampler_gap_max: float | None = None
        self._sums: dict[str, float] = {}

    def add(
        self,
        batch: TokenBatch,
        losses: TokenLosses,
        *,
        logprobs: Tensor,
        entropy: Tensor,
        weights: Tensor,
        policy_loss: Tensor,
        critic_loss: Tensor | None,
    ) -> None:
        """Books one micro-batch; [N, T] tensors of its rows."""
        kept = weights > 0
        now = logprobs.detach()
        ratio = torch.exp(now - present(batch.old_logprobs, "old_logprobs"))
        gap = (now - batch.sampler_logprobs).abs()
        tokens = {"entropy": entropy, "ratio_mean": ratio, "sampler_gap": gap} | dict(
            losses.metrics
        )
        for name, values in tokens.items():
            self._sums[name] = self._sums.get(name, 0.0) + values[kept].double().sum().item()
        self._tokens += int(kept.sum())
        self._ratio_max = _larger(self._ratio_max, ratio[kept].max().item())
        self._sampler_gap_max = _larger(self._sampler_gap_max, gap[kept].max().item())
        self._loss += policy_loss.item()
        if critic_loss is not None:
            self._critic_loss = (self._critic_loss or 0.0) + critic_loss.item()

    def over(self, ranks: Ranks) -> UpdateStatistics:
        """The step as all ranks have seen it, the same for each of them; a meeting of all."""
        total = UpdateStatistics(kept_rollouts=self.kept_rollouts)
        for one in ranks.gather(self):
            total._tokens += one._tokens
            total._loss += one._loss
            if one._critic_loss is not None:
                total._critic_loss = (total._critic_loss or 0.0) + one._critic_loss
            total._ratio_max = _larger(total._ratio_max, one._ratio_max)
            total._sampler_gap_max = _larger(total._sampler_gap_max, one._sampler_gap_max)
            for name, value in one._sums.items():
                total._sums[name] = total._sums.get(name, 0.0) + value
        return total

    def result(self) -> UpdateResult:
        """The means and maxima of the step."""
        return UpdateResult(
            grad_norm=self.grad_norm,
            critic_grad_norm=self.critic_grad_norm,
            loss=self._loss,
            critic_loss=self._critic_loss,
            kept_rollouts=self.kept_rollouts,
            trained_tokens=self._tokens,
            ratio_max=self._ratio_max,
            sampler_gap_max=self._sampler_gap_max,
            token_means={name: total / self._tokens for name, total in self._sums.items()},
        )


def _larger(one: float | None, other: float | None) -> float | None:
    if one is None or other is None:
        return other if one is None else one
    return max(one, other)
