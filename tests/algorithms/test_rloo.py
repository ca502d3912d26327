from dataclasses import replace

import pytest
import torch

from algorithms.configs import RLOOConfig
from algorithms.registry import build

REWARDS = torch.tensor([1.0, -0.5, 0.25, 0.0, 2.0, 0.5])


@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_the_gradient_is_that_of_the_paper(batch, method_gradient, paper_gradient, beta):
    """arXiv:2402.14740 section 2: [R_i - mean of the others' R] grad log pi(y_i | x).

    R is the reward minus beta log pi(y | x) / pi_ref(y | x), of the sampling policy.
    """
    batch = replace(batch, rewards=REWARDS)

    def objective(rows):
        penalised = [row.reward - beta * float((row.old - row.ref).sum()) for row in rows]
        total = 0.0
        for index, row in enumerate(rows):
            others = [
                reward
                for other, reward in enumerate(penalised)
                if rows[other].group == row.group and other != index
            ]
            advantage = penalised[index] - sum(others) / len(others)
            total = total + advantage * row.logprobs.sum() / len(rows)
        return total

    expected = paper_gradient(objective, batch, batch.old_logprobs)
    found = method_gradient(RLOOConfig(kl_coefficient=beta), batch, batch.old_logprobs)
    assert torch.allclose(found, expected, atol=1e-6)


def test_advantages_by_hand(batch):
    """Rewards 1, 0, 1: 1 - 1/2, 0 - 1, 1 - 1/2; and 0, 0, 1."""
    advantages = build(RLOOConfig(kl_coefficient=0)).assign_credit(batch).advantages
    expected = torch.tensor([0.5, -1, 0.5, -0.5, -0.5, 1])[:, None] * batch.response_mask
    assert torch.allclose(advantages, expected)


def test_pi_old_is_needed_for_the_penalty_alone():
    assert build(RLOOConfig()).plan.needs_old_logprobs
    assert not build(RLOOConfig(kl_coefficient=0)).plan.needs_old_logprobs
