from dataclasses import replace

import pytest
import torch

from algorithms.configs import DrGRPOConfig, RLOOConfig
from algorithms.registry import build

REWARDS = torch.tensor([1.0, -0.5, 0.25, 0.0, 2.0, 0.5])
LIMIT = 10


@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_the_gradient_is_that_of_the_paper(batch, moved, method_gradient, paper_gradient, beta):
    """arXiv:2503.20783, with its constant in place of the length and of the std."""
    batch = replace(batch, rewards=REWARDS)

    def objective(rows):
        total = 0.0
        for row in rows:
            group = [other.reward for other in rows if other.group == row.group]
            advantage = row.reward - sum(group) / len(group)
            clipped = row.ratio.clamp(0.8, 1.2)
            surrogate = torch.minimum(row.ratio * advantage, clipped * advantage)
            inverse = torch.exp(row.ref - row.logprobs)
            kl = inverse - torch.log(inverse) - 1
            total = total + (surrogate - beta * kl).sum() / LIMIT / len(rows)
        return total

    expected = paper_gradient(objective, batch, moved)
    found = method_gradient(DrGRPOConfig(kl_coefficient=beta), batch, moved)
    assert torch.allclose(found, expected, atol=1e-6)


def test_on_policy_it_is_rloo_up_to_the_constant_and_g_minus_1_over_g(batch, method_gradient):
    batch = replace(batch, rewards=REWARDS)
    centred = method_gradient(DrGRPOConfig(), batch, batch.old_logprobs)
    left_out = method_gradient(RLOOConfig(kl_coefficient=0), batch, batch.old_logprobs)
    assert centred.any()
    assert torch.allclose(centred * LIMIT, left_out * 2 / 3, atol=1e-6)


def test_neither_length_nor_spread_scales_a_token(batch):
    """Rewards 3, 0, 0: advantages 2, -1, -1 on every token, whatever the length."""
    batch = replace(batch, rewards=torch.tensor([3.0, 0, 0, 300.0, 0, 0]))
    advantages = build(DrGRPOConfig()).assign_credit(batch).advantages
    expected = torch.tensor([2.0, -1, -1, 200.0, -100, -100])[:, None] * batch.response_mask
    assert torch.equal(advantages, expected)
