from dataclasses import replace

import pytest
import torch

from algorithms.configs import DAPOConfig
from algorithms.registry import build

REWARDS = torch.tensor([1.0, -1.0, 0.25, -1.0, -1.0, 0.5])


def test_the_gradient_is_that_of_eq_8(batch, moved, method_gradient, paper_gradient):
    """arXiv:2503.14476 eq. 8 to 10: one mean over all tokens of all rollouts."""
    batch = replace(batch, rewards=REWARDS)

    def objective(rows):
        total, tokens = 0.0, 0
        for row in rows:
            group = [other.reward for other in rows if other.group == row.group]
            mean = sum(group) / len(group)
            std = (sum((reward - mean) ** 2 for reward in group) / len(group)) ** 0.5
            advantage = (row.reward - mean) / (std + 1e-6)
            for ratio in row.ratio:
                clipped = ratio.clamp(1 - 0.2, 1 + 0.28)
                total = total + torch.minimum(ratio * advantage, clipped * advantage)
                tokens += 1
        return total / tokens

    expected = paper_gradient(objective, batch, moved)
    assert torch.allclose(method_gradient(DAPOConfig(), batch, moved), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("ratio", "row", "alive"),
    [
        (1.25, 0, True),  # above 1.2: PPO's clip would take this gradient
        (1.3, 0, False),
        (0.75, 0, True),
        (1.3, 1, True),
        (0.81, 1, True),
        (0.79, 1, False),
    ],
)
def test_the_upper_clip_is_higher_than_the_lower(batch, method_gradient, ratio, row, alive):
    """Row 0 is better than its group, row 1 worse."""
    logprobs = batch.old_logprobs + torch.tensor(ratio).log()
    gradient = method_gradient(DAPOConfig(), batch, logprobs)
    assert gradient[row][batch.response_mask[row]].bool().all() == alive
    assert gradient[row].any() == alive


def test_dynamic_sampling_is_asked_of_the_source():
    assert build(DAPOConfig()).plan.sampling_rounds == 4
    off = build(DAPOConfig(sampling_rounds=1))
    assert off.plan.sampling_rounds == 1
    assert "draws" in build(DAPOConfig()).conventions["advantage"]
    assert "draws" not in off.conventions["advantage"]
