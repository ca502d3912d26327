"""Rewards to per-token advantages. Pure functions; [N, T] results are float32, 0 off the mask."""

import torch
from torch import Tensor

STANDARDIZE_EPSILON = 1e-6
UNIFORM_SPREAD = 1e-8  # population std below which a group counts as all equal


def standardize(values: Tensor, groups: Tensor) -> Tensor:
    """``(value - mean) / (std + 1e-6)`` within each group.

    arXiv:2402.03300v3 section 4.1.2 leaves the kind of std open; this is the population std
    (ddof 0). A group whose std is below 1e-8 gets exactly 0, so rounding noise in equal rewards
    is never blown up.

    Args:
        values: [K] float.
        groups: [K] int64, any labels; equal labels share mean and std.

    Returns:
        [K] float32.
    """
    index, mean = group_means(values, groups)
    centred = values.double() - mean[index]
    _, variance = group_means(centred**2, groups)
    std = variance.sqrt()[index]
    standardized = centred / (std + STANDARDIZE_EPSILON)
    return standardized.where(std >= UNIFORM_SPREAD, 0).float()


def group_means(values: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """Where each value's group stands, [K] int64, and the mean of each group, float64."""
    _, index = torch.unique(groups, return_inverse=True)
    counts = torch.bincount(index)
    return index, torch.bincount(index, weights=values.double()) / counts


def group_outcome(rewards: Tensor, groups: Tensor, response_mask: Tensor) -> Tensor:
    """Outcome supervision (arXiv:2402.03300v3 section 4.1.2): one advantage for every token.

    Args:
        rewards: [N].
        groups: [N].
        response_mask: [N, T] bool.

    Returns:
        [N, T]; the rollout's standardized reward at every response token.
    """
    return standardize(rewards, groups)[:, None] * response_mask


def penalized(
    rewards: Tensor, token_kl: Tensor, response_mask: Tensor, *, coefficient: float
) -> Tensor:
    """[N] rewards minus ``coefficient`` times the KL estimate, summed over the response.

    Args:
        rewards: [N].
        token_kl: [N, T] nats, read where `response_mask` holds.
        response_mask: [N, T] bool.
        coefficient: beta, in units of reward per nat.
    """
    return rewards - coefficient * token_kl.where(response_mask, 0).sum(dim=1)


def process_outcome(
    step_rewards: Tensor, step_mask: Tensor, groups: Tensor, response_mask: Tensor
) -> Tensor:
    """Process supervision (arXiv:2402.03300v3 section 4.1.3): standardized step rewards to go.

    Every step reward is standardized over all steps of all rollouts of its group; a token's
    advantage is the sum over the steps that end at it or after it. It is a sum, so early tokens
    of responses with many steps have larger advantages.

    Args:
        step_rewards: [N, T], read where `step_mask` holds.
        step_mask: [N, T] bool; True at each step's last token.
        groups: [N].
        response_mask: [N, T] bool.

    Returns:
        [N, T]; 0 after a response's last step and off the mask.
    """
    rows = step_mask.nonzero()[:, 0]
    standardized = torch.zeros_like(step_rewards)
    standardized[step_mask] = standardize(step_rewards[step_mask], groups[rows])
    return to_go(standardized) * response_mask


def centred(rewards: Tensor, groups: Tensor) -> Tensor:
    """[N] rewards minus the mean of their group (Dr. GRPO, arXiv:2503.20783)."""
    index, mean = group_means(rewards, groups)
    return (rewards.double() - mean[index]).float()


def leave_one_out(rewards: Tensor, groups: Tensor) -> Tensor:
    """[N] rewards minus the mean of the *other* rewards of their group (arXiv:2402.14740).

    Equal to ``G / (G - 1)`` times the centred reward; 0 in a group of one.
    """
    index, _ = group_means(rewards, groups)
    size = torch.bincount(index)[index]
    return centred(rewards, groups) * size / (size - 1).clamp(min=1)


def to_go(token_rewards: Tensor) -> Tensor:
    """[N, T] sums of the rewards at each token and after it (gamma = 1)."""
    return token_rewards.flip(1).cumsum(dim=1).flip(1)


def generalized_advantages(
    token_rewards: Tensor,
    values: Tensor,
    response_mask: Tensor,
    *,
    gamma: float,
    gae_lambda: float,
) -> Tensor:
    """Generalized advantage estimation (arXiv:1506.02438v6 eq. 16) over right-padded rows.

    The value after the last response token is 0: a response ends the episode, by EOS or by the
    limit. Padding is never read, so nothing leaks from it.

    Args:
        token_rewards: [N, T].
        values: [N, T], of the state before each token.
        response_mask: [N, T] bool, a prefix of ones in each row.
        gamma: discount.
        gae_lambda: 1 gives the return minus the value, 0 the one-step error.
    """
    mask = response_mask.to(values.dtype)
    advantages = torch.zeros_like(values)
    next_value = torch.zeros_like(values[:, 0])
    running = torch.zeros_like(next_value)
    for t in reversed(range(values.shape[1])):
        delta = token_rewards[:, t] + gamma * next_value - values[:, t]
        running = mask[:, t] * (delta + gamma * gae_lambda * running)
        next_value = mask[:, t] * values[:, t]
        advantages[:, t] = running
    return advantages


def whiten(values: Tensor, mask: Tensor) -> Tensor:
    """Values with mean 0 and population std 1 over the masked entries, 0 elsewhere.

    Equal values give exactly 0, as in `standardize`.
    """
    whitened = torch.zeros_like(values)
    chosen = values[mask]
    whitened[mask] = standardize(chosen, torch.zeros_like(chosen, dtype=torch.int64))
    return whitened


def terminal_rewards(rewards: Tensor, response_mask: Tensor) -> Tensor:
    """[N, T] token rewards: each rollout's reward on its last response token, else 0."""
    last = (response_mask.sum(dim=1, keepdim=True) - 1).clamp(min=0)
    token_rewards = torch.zeros(response_mask.shape, dtype=rewards.dtype, device=rewards.device)
    return token_rewards.scatter(1, last, rewards[:, None]) * response_mask
