"""Per-token losses, to be minimised. Tensors are [N, T]; nothing here masks or averages."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from bakeoff.batch import Credit, Outputs, TokenBatch, TokenLosses, present


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """The range that ratios are cut to: [1 - low, 1 + high]."""

    low: float
    high: float

    @classmethod
    def of(cls, epsilon: float | None, high: float | None = None) -> Clip:
        """Symmetric unless `high` is given (clip-higher, arXiv:2503.14476 eq. 10); None: none."""
        if epsilon is None:
            return cls(low=math.inf, high=math.inf)
        return cls(low=epsilon, high=epsilon if high is None else high)

    def __str__(self) -> str:
        if math.isinf(self.low) and math.isinf(self.high):
            return "none"
        return f"{self.low:g}" if self.low == self.high else f"{self.low:g}/{self.high:g}"


def negative_log_likelihood(logprobs: Tensor) -> Tensor:
    """Minus the log-probability; its gradient coefficient is 1 (arXiv:2402.03300v3 eq. 10)."""
    return -logprobs


def clipped_surrogate(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, *, clip: Clip
) -> Tensor:
    """Minus the summand of PPO's objective (arXiv:2402.03300v3 eq. 1; arXiv:1707.06347v2 eq. 7).

    Args:
        logprobs: under pi_theta; carries gradient.
        old_logprobs: under pi_old.
        advantages: the credit.
        clip: of the ratio.
    """
    ratio = torch.exp(logprobs - old_logprobs)
    clipped = ratio.clamp(1 - clip.low, 1 + clip.high)
    return -torch.minimum(ratio * advantages, clipped * advantages)


def clip_fraction(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, *, clip: Clip
) -> Tensor:
    """1 where the clip has taken the gradient away, else 0."""
    ratio = torch.exp(logprobs.detach() - old_logprobs)
    above = (ratio > 1 + clip.high) & (advantages > 0)
    below = (ratio < 1 - clip.low) & (advantages < 0)
    return (above | below).float()


def clipped_losses(
    batch: TokenBatch,
    credit: Credit,
    logprobs: Tensor,
    *,
    clip: Clip,
    critic: Tensor | None = None,
) -> TokenLosses:
    """The clipped surrogate of a batch, with its clip fraction as a metric."""
    old_logprobs = present(batch.old_logprobs, "old_logprobs")
    return TokenLosses(
        policy=clipped_surrogate(logprobs, old_logprobs, credit.advantages, clip=clip),
        critic=critic,
        metrics={
            "clip_fraction": clip_fraction(logprobs, old_logprobs, credit.advantages, clip=clip)
        },
    )


def add_kl(
    losses: TokenLosses,
    batch: TokenBatch,
    outputs: Outputs,
    *,
    estimator: Callable[[Tensor, Tensor], Tensor],
    coefficient: float,
) -> TokenLosses:
    """The losses with ``coefficient`` times a KL estimate on every token (eq. 3); 0 adds none."""
    if not coefficient:
        return losses
    kl = estimator(outputs.logprobs, present(batch.ref_logprobs, "ref_logprobs"))
    return replace(
        losses,
        policy=losses.policy + coefficient * kl,
        metrics={**losses.metrics, "kl_to_reference": kl.detach()},
    )


def kl_k1(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """Per-token estimate of KL(pi_theta || pi_ref) in nats: the log-ratio; can be negative.

    As a loss its gradient is that of the log-probability whatever pi_ref is: on-policy 0 in
    expectation, but where a mean over the response weighs tokens by a length they decide; it is
    then the gradient of E[1/|o|].
    """
    return logprobs - ref_logprobs


def kl_k2(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """Half the squared log-ratio, in nats; >= 0, biased as a value.

    As an on-policy loss its gradient is that of the reverse KL of each token, given its prefix.
    """
    return 0.5 * (logprobs - ref_logprobs) ** 2


def kl_k3(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """Per-token estimate of KL(pi_theta || pi_ref) in nats (arXiv:2402.03300v3 eq. 4); >= 0.

    Unbiased as a value for tokens sampled from pi_theta. As a loss its gradient is the paper's
    (eq. 20), which is not the gradient of the reverse KL.
    """
    log_ratio = ref_logprobs - logprobs
    return torch.expm1(log_ratio) - log_ratio


KL_ESTIMATORS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "k1": kl_k1,
    "k2": kl_k2,
    "k3": kl_k3,
}


def squared_error(values: Tensor, returns: Tensor) -> Tensor:
    """Half the squared error of the critic."""
    return 0.5 * (values - returns) ** 2


def clipped_squared_error(
    values: Tensor, old_values: Tensor, returns: Tensor, *, clip_epsilon: float
) -> Tensor:
    """Half the larger of the squared errors with and without the change in value clipped."""
    clipped = old_values + (values - old_values).clamp(-clip_epsilon, clip_epsilon)
    return torch.maximum(squared_error(values, returns), squared_error(clipped, returns))
