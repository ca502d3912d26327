import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from algorithms.advantages import (
    generalized_advantages,
    group_outcome,
    standardize,
    terminal_rewards,
    whiten,
)

rewards = st.lists(st.floats(-10, 10, width=32), min_size=2, max_size=12)


def test_one_correct_of_eight_by_hand():
    # mean 1/8, population std sqrt(7)/8: (1 - 1/8) / (sqrt(7)/8) = sqrt(7).
    values = torch.tensor([1.0] + [0.0] * 7)
    advantages = standardize(values, torch.zeros(8, dtype=torch.int64))
    assert advantages[0].item() == pytest.approx(7**0.5, abs=1e-4)
    assert advantages[1].item() == pytest.approx(-(7**-0.5), abs=1e-4)


@given(st.floats(-1e6, 1e6, width=32), st.integers(1, 9))
def test_equal_rewards_give_exactly_zero_advantage(reward, size):
    advantages = standardize(torch.full((size,), reward), torch.zeros(size, dtype=torch.int64))
    assert torch.equal(advantages, torch.zeros(size))


def test_rounding_noise_in_equal_rewards_is_not_blown_up():
    values = torch.tensor([0.1, 0.1 + 1e-9, 0.1], dtype=torch.float64)
    assert not standardize(values, torch.zeros(3, dtype=torch.int64)).any()


@given(rewards)
def test_advantages_sum_to_zero_and_are_bounded(values):
    advantages = standardize(torch.tensor(values), torch.zeros(len(values), dtype=torch.int64))
    assert abs(advantages.double().sum().item()) < 1e-3
    # |A| <= sqrt(G - 1) with the population std.
    assert advantages.abs().max().item() <= (len(values) - 1) ** 0.5 + 1e-4


def test_groups_do_not_see_each_other():
    values = torch.tensor([1.0, 5.0, 0.0, 7.0])
    groups = torch.tensor([3, 9, 3, 9])
    both = standardize(values, groups)
    alone = standardize(values[groups == 9], groups[groups == 9])
    assert torch.equal(both[groups == 9], alone)


@given(rewards)
def test_mean_baseline_is_rloo_up_to_g_over_g_minus_1(values):
    """r_i - mean of the others = G/(G-1) (r_i - mean): arXiv:2402.14740 against GRPO's centring."""
    size = len(values)
    total = sum(values)
    for reward in values:
        leave_one_out = reward - (total - reward) / (size - 1)
        centred = size / (size - 1) * (reward - total / size)
        assert leave_one_out == pytest.approx(centred, abs=1e-4)


def test_every_token_of_a_rollout_gets_its_advantage():
    mask = torch.tensor([[True, True, False], [True, False, False]])
    advantages = group_outcome(torch.tensor([1.0, 0.0]), torch.tensor([0, 0]), mask)
    assert torch.allclose(advantages, torch.tensor([[1.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]), atol=1e-5)


def double_loop_gae(rewards, values, length, gamma, lam):
    """A_t = sum over l of (gamma lambda)^l delta_{t+l}, summed term by term."""
    deltas = [
        rewards[t] + gamma * (values[t + 1] if t + 1 < length else 0.0) - values[t]
        for t in range(length)
    ]
    return [
        sum((gamma * lam) ** (u - t) * deltas[u] for u in range(t, length)) for t in range(length)
    ]


@pytest.mark.parametrize("gamma", [1.0, 0.9])
@pytest.mark.parametrize("lam", [0.0, 0.5, 0.95, 1.0])
def test_gae_equals_the_double_loop(batch, gamma, lam):
    generator = torch.Generator().manual_seed(3)
    token_rewards = torch.randn(batch.response_mask.shape, generator=generator)
    advantages = generalized_advantages(
        token_rewards, batch.old_values, batch.response_mask, gamma=gamma, gae_lambda=lam
    )
    for row in range(len(token_rewards)):
        length = int(batch.response_mask[row].sum())
        expected = double_loop_gae(
            token_rewards[row].tolist(), batch.old_values[row].tolist(), length, gamma, lam
        )
        assert advantages[row, :length].tolist() == pytest.approx(expected, abs=1e-5)
        assert not advantages[row, length:].any()


def test_gae_at_lambda_one_is_the_return_minus_the_value(batch):
    token_rewards = terminal_rewards(batch.rewards, batch.response_mask)
    advantages = generalized_advantages(
        token_rewards, batch.old_values, batch.response_mask, gamma=1.0, gae_lambda=1.0
    )
    expected = (batch.rewards[:, None] - batch.old_values) * batch.response_mask
    assert torch.allclose(advantages, expected, atol=1e-5)


def test_gae_never_reads_padding(batch):
    token_rewards = terminal_rewards(batch.rewards, batch.response_mask)
    settings = {"gamma": 1.0, "gae_lambda": 0.9}
    clean = generalized_advantages(token_rewards, batch.old_values, batch.response_mask, **settings)
    dirty = generalized_advantages(
        token_rewards + 100.0 * ~batch.response_mask,
        batch.old_values - 77.0 * ~batch.response_mask,
        batch.response_mask,
        **settings,
    )
    assert torch.equal(clean, dirty)


def test_terminal_reward_stands_on_the_last_token_only(batch):
    token_rewards = terminal_rewards(batch.rewards + 1, batch.response_mask)
    assert torch.equal(token_rewards.sum(dim=1), batch.rewards + 1)
    last = batch.response_mask.sum(dim=1) - 1
    assert torch.equal(token_rewards[torch.arange(6), last], batch.rewards + 1)


def test_whitened_values_have_mean_zero_and_std_one(batch):
    whitened = whiten(batch.old_values * 5 + 3, batch.response_mask)
    chosen = whitened[batch.response_mask]
    assert chosen.mean().item() == pytest.approx(0, abs=1e-5)
    assert chosen.std(correction=0).item() == pytest.approx(1, abs=1e-4)
    assert not whitened[~batch.response_mask].any()
