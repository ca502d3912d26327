"""Per-token losses, to be minimised. Tensors are [N, T]; nothing here masks or averages."""

import torch
from torch import Tensor


def negative_log_likelihood(logprobs: Tensor) -> Tensor:
    """Minus the log-probability; its gradient coefficient is 1 (arXiv:2402.03300v3 eq. 10)."""
    return -logprobs


def clipped_surrogate(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, *, clip_epsilon: float
) -> Tensor:
    """Minus the summand of PPO's objective (arXiv:2402.03300v3 eq. 1; arXiv:1707.06347v2 eq. 7).

    Args:
        logprobs: under pi_theta; carries gradient.
        old_logprobs: under pi_old.
        advantages: the credit.
        clip_epsilon: the ratio is clipped to [1 - this, 1 + this].
    """
    ratio = torch.exp(logprobs - old_logprobs)
    clipped = ratio.clamp(1 - clip_epsilon, 1 + clip_epsilon)
    return -torch.minimum(ratio * advantages, clipped * advantages)


def clip_fraction(
    logprobs: Tensor, old_logprobs: Tensor, advantages: Tensor, *, clip_epsilon: float
) -> Tensor:
    """1 where the clip has taken the gradient away, else 0."""
    ratio = torch.exp(logprobs.detach() - old_logprobs)
    above = (ratio > 1 + clip_epsilon) & (advantages > 0)
    below = (ratio < 1 - clip_epsilon) & (advantages < 0)
    return (above | below).float()


def kl_k1(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """Per-token estimate of KL(pi_theta || pi_ref) in nats: the log-ratio; can be negative."""
    return logprobs - ref_logprobs


def kl_k3(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """Per-token estimate of KL(pi_theta || pi_ref) in nats (arXiv:2402.03300v3 eq. 4); >= 0.

    Unbiased as a value for tokens sampled from pi_theta. As a loss its gradient is the paper's
    (eq. 20), which is not the gradient of the reverse KL.
    """
    log_ratio = ref_logprobs - logprobs
    return torch.expm1(log_ratio) - log_ratio


def squared_error(values: Tensor, returns: Tensor) -> Tensor:
    """Half the squared error of the critic."""
    return 0.5 * (values - returns) ** 2


def clipped_squared_error(
    values: Tensor, old_values: Tensor, returns: Tensor, *, clip_epsilon: float
) -> Tensor:
    """Half the larger of the squared errors with and without the change in value clipped."""
    clipped = old_values + (values - old_values).clamp(-clip_epsilon, clip_epsilon)
    return torch.maximum(squared_error(values, returns), squared_error(clipped, returns))
