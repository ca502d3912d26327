import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from algorithms.advantages import (
    centred,
    generalized_advantages,
    group_outcome,
    leave_one_out,
    penalized,
    process_outcome,
    standardize,
    terminal_rewards,
    to_go,
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


def test_a_penalty_is_summed_over_the_response_and_nothing_beside_it():
    token_kl = torch.tensor([[0.5, -0.25, 1.0], [2.0, 7.0, float("nan")]])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    found = penalized(torch.tensor([1.0, 0.0]), token_kl, mask, coefficient=0.1)
    assert torch.allclose(found, torch.tensor([0.875, -0.2]))


@given(rewards)
def test_leaving_one_out_is_centring_up_to_g_over_g_minus_1(values):
    """r_i - mean of the others = G/(G-1) (r_i - mean): RLOO against Dr. GRPO."""
    size = len(values)
    total = sum(values)
    groups = torch.zeros(size, dtype=torch.int64)
    expected = [reward - (total - reward) / (size - 1) for reward in values]
    assert leave_one_out(torch.tensor(values), groups).tolist() == pytest.approx(expected, abs=1e-4)
    scaled = size / (size - 1) * centred(torch.tensor(values), groups)
    assert scaled.tolist() == pytest.approx(expected, abs=1e-4)


def test_baselines_are_of_the_own_group_by_hand():
    values = torch.tensor([4.0, 7.0, 0.0, 2.0, 9.0])
    groups = torch.tensor([2, 5, 2, 2, 5])
    assert centred(values, groups).tolist() == [2.0, -1.0, -2.0, 0.0, 1.0]
    assert leave_one_out(values, groups).tolist() == [3.0, -2.0, -3.0, 0.0, 2.0]


def test_a_group_of_one_has_nothing_left_out_of_it():
    assert leave_one_out(torch.tensor([3.0]), torch.tensor([0])).tolist() == [0.0]


@given(st.floats(-1e6, 1e6, width=32), st.integers(1, 9))
def test_equal_rewards_have_no_baselined_advantage(reward, size):
    equal, groups = torch.full((size,), reward), torch.zeros(size, dtype=torch.int64)
    assert not centred(equal, groups).any()
    assert not leave_one_out(equal, groups).any()


def test_process_supervision_by_hand():
    """Section 4.1.3 with steps of 2 + 2 tokens and of 2 tokens; the last token is in no step.

    Step rewards 1, 0 and 1: mean 2/3, population std sqrt(2)/3, so 1/sqrt(2), -sqrt(2), 1/sqrt(2).
    """
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]]).bool()
    step_mask = torch.tensor([[0, 1, 0, 1], [0, 1, 0, 0]]).bool()
    step_rewards = torch.tensor([[0.0, 1, 0, 0], [0.0, 1, 0, 0]])
    advantages = process_outcome(step_rewards, step_mask, torch.tensor([3, 3]), mask)
    root = 2**0.5
    expected = [[1 / root - root] * 2 + [-root] * 2, [1 / root] * 2 + [0, 0]]
    assert torch.allclose(advantages, torch.tensor(expected), atol=1e-5)


def test_process_groups_do_not_see_each_other(batch):
    """Each group alone, and a token that sums the standardized rewards at it and after it."""
    advantages = process_outcome(
        batch.step_rewards, batch.step_mask, batch.groups, batch.response_mask
    )
    for group in (0, 1):
        rows = batch.groups == group
        chosen = batch.step_rewards[rows][batch.step_mask[rows]].double()
        mean, std = chosen.mean(), chosen.std(correction=0)
        for row in rows.nonzero()[:, 0].tolist():
            for token in range(batch.response_mask.shape[1]):
                expected = sum(
                    float((batch.step_rewards[row, end] - mean) / (std + 1e-6))
                    for end in range(token, batch.response_mask.shape[1])
                    if batch.step_mask[row, end]
                )
                assert advantages[row, token].item() == pytest.approx(expected, abs=1e-5)


def test_responses_without_steps_have_no_process_advantage(batch):
    none = torch.zeros_like(batch.step_mask)
    advantages = process_outcome(batch.step_rewards, none, batch.groups, batch.response_mask)
    assert torch.equal(advantages, torch.zeros(6, 7))


def test_equal_step_rewards_give_exactly_zero_advantage(batch):
    rewards = 0.1 * batch.step_mask
    assert not process_outcome(rewards, batch.step_mask, batch.groups, batch.response_mask).any()


def test_rewards_to_go_by_hand():
    assert to_go(torch.tensor([[1.0, 2.0, 4.0]])).tolist() == [[7.0, 6.0, 4.0]]


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


def test_gae_of_no_critic_is_the_undiscounted_return(batch):
    generator = torch.Generator().manual_seed(5)
    token_rewards = torch.randn(batch.response_mask.shape, generator=generator)
    token_rewards *= batch.response_mask
    advantages = generalized_advantages(
        token_rewards,
        torch.zeros_like(batch.old_values),
        batch.response_mask,
        gamma=1.0,
        gae_lambda=1.0,
    )
    assert torch.allclose(advantages, to_go(token_rewards) * batch.response_mask, atol=1e-5)


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


@pytest.mark.parametrize("value", [0.0, 1.0, 0.1, -0.7, 1e6])
def test_whitening_equal_values_gives_exactly_zero(batch, value):
    equal = torch.full_like(batch.old_values, value)
    assert torch.equal(whiten(equal, batch.response_mask), torch.zeros(6, 7))


def test_whitening_never_reads_off_the_mask(batch):
    dirty = batch.old_values + 100.0 * ~batch.response_mask
    assert torch.equal(
        whiten(dirty, batch.response_mask), whiten(batch.old_values, batch.response_mask)
    )


def test_whitening_nothing_is_no_nan(batch):
    nothing = torch.zeros_like(batch.response_mask)
    assert not whiten(batch.old_values, nothing).any()
