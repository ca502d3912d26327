"""The metrics of every rollout batch, from what the loop has anyway."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import fmean

import torch

from bakeoff.batch import Credit, TokenBatch
from bakeoff.interfaces import Plan, Source, UpdateResult
from bakeoff.types import Rollout

# A group whose rewards spread less than this carries no group-relative signal.
UNIFORM_SPREAD = 1e-8
Metrics = dict[str, float | int | None]


def batch_metrics(
    plan: Plan,
    rollouts: Sequence[Rollout],
    batch: TokenBatch,
    credit: Credit,
    updates: Sequence[UpdateResult],
) -> Metrics:
    """One row of metrics.jsonl; None where a number has no meaning for the method or the batch.

    Token metrics (entropy, KL to the reference, ratio, gap) are those of the first optimizer step
    of the batch, where the policy is still the one that sampled; the clip fraction is the mean over
    all steps. The loop adds the KL to the start.
    """
    first = updates[0]
    on_policy = plan.source is Source.CURRENT_POLICY
    means = first.token_means
    return {
        **_reward_metrics(rollouts, batch),
        "loss": first.loss,
        "critic_loss": first.critic_loss,
        "grad_norm": fmean(update.grad_norm for update in updates),
        "critic_grad_norm": first.critic_grad_norm,
        "kept_rollouts": first.kept_rollouts,
        "trained_tokens": sum(update.trained_tokens for update in updates),
        "entropy": means.get("entropy"),
        "kl_to_reference": means.get("kl_to_reference"),
        "clip_fraction": _mean(
            u.token_means["clip_fraction"] for u in updates if "clip_fraction" in u.token_means
        ),
        "ratio_mean": updates[-1].token_means.get("ratio_mean") if plan.uses_ratios else None,
        "ratio_max": _largest(u.ratio_max for u in updates) if plan.uses_ratios else None,
        "sampler_gap_mean": means.get("sampler_gap") if on_policy else None,
        "sampler_gap_max": first.sampler_gap_max if on_policy else None,
        "explained_variance": explained_variance(batch, credit),
        "advantage_std": credit.advantages[batch.response_mask].std(correction=0).item(),
    }


def achieved_kl(batch: TokenBatch, logprobs: torch.Tensor) -> float | None:
    """Mean over response tokens of k3 against the start, in nats; None when not measured.

    k3 is that of http://joschu.net/blog/kl-approx.html. The responses must be drawn from the policy
    of the [N, T] `logprobs`: the estimate is of KL(pi_theta || pi_start).
    """
    if batch.start_logprobs is None:
        return None
    log_ratio = (batch.start_logprobs - logprobs)[batch.response_mask]
    return float((log_ratio.expm1() - log_ratio).mean())


def explained_variance(batch: TokenBatch, credit: Credit) -> float | None:
    """1 - Var(returns - values) / Var(returns) over response tokens; None without a critic."""
    if batch.old_values is None or credit.returns is None:
        return None
    returns = credit.returns[batch.response_mask]
    variance = returns.var(correction=0)
    if variance < UNIFORM_SPREAD:
        return None
    errors = returns - batch.old_values[batch.response_mask]
    return float(1 - errors.var(correction=0) / variance)


def _reward_metrics(rollouts: Sequence[Rollout], batch: TokenBatch) -> Metrics:
    lengths = batch.response_mask.sum(dim=1).float()
    judged = [r.reward.correct for r in rollouts if r.reward.correct is not None]
    return {
        "reward": batch.rewards.mean().item(),
        "pass_rate": _mean(float(correct) for correct in judged),
        "unscorable": len(rollouts) - len(batch.rewards),
        "response_tokens": lengths.mean().item(),
        "response_tokens_correct": _masked_mean(lengths, batch.correct),
        "response_tokens_wrong": _masked_mean(lengths, ~batch.correct),
        "truncated_share": batch.truncated.float().mean().item(),
        "zero_variance_share": _zero_variance_share(batch),
        "unique_share": _unique_share(rollouts),
    }


def _zero_variance_share(batch: TokenBatch) -> float | None:
    """Share of the groups of two or more whose rewards are all equal."""
    spreads = []
    for group in torch.unique(batch.groups):
        rewards = batch.rewards[batch.groups == group]
        if len(rewards) > 1:
            spreads.append(float(rewards.std(correction=0) < UNIFORM_SPREAD))
    return _mean(spreads)


def _unique_share(rollouts: Sequence[Rollout]) -> float:
    """Distinct responses within their groups over all responses."""
    distinct = {(rollout.group, rollout.completion.token_ids) for rollout in rollouts}
    return len(distinct) / len(rollouts)


def _masked_mean(values: torch.Tensor, mask: torch.Tensor) -> float | None:
    return values[mask].mean().item() if bool(mask.any()) else None


def _mean(values: Iterable[float]) -> float | None:
    listed = list(values)
    return fmean(listed) if listed else None


def _largest(values: Iterable[float | None]) -> float | None:
    listed = [value for value in values if value is not None]
    return max(listed) if listed else None
