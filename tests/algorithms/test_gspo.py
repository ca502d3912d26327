from dataclasses import replace

import pytest
import torch

from algorithms.configs import GRPOConfig, GSPOConfig
from algorithms.registry import build
from bakeoff.batch import Outputs

REWARDS = torch.tensor([1.0, -0.5, 0.25, 0.0, 2.0, 0.5])


def advantage_of(row, rows):
    group = [other.reward for other in rows if other.group == row.group]
    mean = sum(group) / len(group)
    std = (sum((reward - mean) ** 2 for reward in group) / len(group)) ** 0.5
    return (row.reward - mean) / (std + 1e-6)


def test_the_gradient_is_that_of_eq_5(batch, moved, method_gradient, paper_gradient):
    """arXiv:2507.18071 eq. 5 to 7: the sequence's likelihood ratio to the power of 1 / |o|."""
    batch = replace(batch, rewards=REWARDS)

    def objective(rows):
        total = 0.0
        for row in rows:
            advantage = advantage_of(row, rows)
            ratio = (row.logprobs.sum().exp() / row.old.sum().exp()) ** (1 / len(row.old))
            clipped = ratio.clamp(1 - 0.1, 1 + 0.15)
            total = total + torch.minimum(ratio * advantage, clipped * advantage) / len(rows)
        return total

    expected = paper_gradient(objective, batch, moved)
    config = GSPOConfig(clip_epsilon=0.1, clip_epsilon_high=0.15)
    assert torch.allclose(method_gradient(config, batch, moved), expected, atol=1e-6)
    # The clip takes whole sequences, and not all of them.
    alive = [bool(row.any()) for row in expected]
    assert any(alive) and not all(alive)
    for row, mask, lives in zip(expected, batch.response_mask, alive, strict=True):
        assert row[mask].bool().all() == lives


def test_the_gradient_coefficient_is_ratio_times_advantage_over_the_length(
    batch, moved, method_gradient
):
    """Eq. 10: s_i A_i / |o_i| times the sum of the tokens' gradients, nothing clipped."""
    batch = replace(batch, rewards=REWARDS)
    found = method_gradient(GSPOConfig(clip_epsilon=None, clip_epsilon_high=None), batch, moved)
    advantages = build(GSPOConfig()).assign_credit(batch).advantages[:, 0]
    for row, length in enumerate(batch.response_mask.sum(dim=1).tolist()):
        change = (moved - batch.old_logprobs)[row, :length]
        coefficient = change.mean().exp() * advantages[row] / length / len(found)
        assert torch.allclose(-found[row, :length], coefficient.expand(length), atol=1e-6)
        assert not found[row, length:].any()


def test_on_policy_it_is_grpo_without_kl(batch, method_gradient):
    batch = replace(batch, rewards=REWARDS)
    ours = method_gradient(GSPOConfig(), batch, batch.old_logprobs)
    theirs = method_gradient(GRPOConfig(kl_coefficient=0), batch, batch.old_logprobs)
    assert theirs.any()
    assert torch.allclose(ours, theirs, atol=1e-7)


@pytest.mark.parametrize(("change", "share"), [(2e-4, 0.0), (6e-4, 1.0)])
def test_the_clip_fraction_counts_the_tokens_of_clipped_sequences(batch, change, share):
    algorithm = build(GSPOConfig())
    credit = algorithm.assign_credit(batch)
    # Row 0 is better than its group: it is clipped from above.
    logprobs = batch.old_logprobs + change
    clipped = algorithm.token_losses(batch, credit, Outputs(logprobs=logprobs)).metrics[
        "clip_fraction"
    ]
    assert clipped[0][batch.response_mask[0]].mean().item() == share
    assert not clipped[1].any()
