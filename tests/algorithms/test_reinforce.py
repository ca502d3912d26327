from dataclasses import replace

import pytest
import torch

from algorithms.configs import GRPOConfig, ReinforceConfig
from algorithms.registry import build

MIXED = torch.tensor([1.0, -1.0, 1.0, -1.0, -1.0, 1.0])


def correct_of(batch, correct):
    correct = torch.tensor(correct)
    return replace(batch, correct=correct, rewards=correct.float() * 2 - 1)


def test_the_gradient_is_ppos_surrogate_on_the_bare_reward(
    batch, moved, method_gradient, paper_gradient
):
    """arXiv:2504.11343v2 section 3."""
    batch = replace(batch, rewards=MIXED)

    def objective(rows):
        total = 0.0
        for row in rows:
            clipped = row.ratio.clamp(0.8, 1.2)
            surrogate = torch.minimum(row.ratio * row.reward, clipped * row.reward)
            total = total + surrogate.mean() / len(rows)
        return total

    expected = paper_gradient(objective, batch, moved)
    assert torch.allclose(method_gradient(ReinforceConfig(), batch, moved), expected, atol=1e-6)


REJ = ReinforceConfig(drop_all_wrong=True, drop_all_correct=True)


@pytest.mark.parametrize(
    ("config", "first", "kept"),
    [
        (REJ, [True] * 3, [False] * 3 + [True] * 3),
        (REJ, [False] * 3, [False] * 3 + [True] * 3),
        (REJ, [True, False, False], [True] * 6),
        (ReinforceConfig(drop_all_wrong=True), [True] * 3, [True] * 6),
        (ReinforceConfig(drop_all_wrong=True), [False] * 3, [False] * 3 + [True] * 3),
        (ReinforceConfig(drop_all_correct=True), [False] * 3, [True] * 6),
        (ReinforceConfig(drop_all_correct=True), [True] * 3, [False] * 3 + [True] * 3),
        (ReinforceConfig(), [True] * 3, [True] * 6),
    ],
)
def test_uniform_groups_are_left_out_as_asked(batch, config, first, kept):
    batch = correct_of(batch, [*first, True, False, False])
    credit = build(config).assign_credit(batch)
    assert credit.keep.tolist() == kept
    assert not credit.advantages[~credit.keep].any()


def test_dropped_groups_leave_the_denominator(batch, method_gradient):
    """With the first group all wrong, Reinforce-Rej is REINFORCE on the second alone."""
    batch = correct_of(batch, [False, False, False, True, False, True])
    both = method_gradient(REJ, batch, batch.old_logprobs)
    plain = method_gradient(ReinforceConfig(), batch, batch.old_logprobs)
    assert not both[:3].any()
    assert torch.allclose(both[3:], 2 * plain[3:])


def test_normalised_and_without_uniform_groups_it_is_grpos_advantage(batch):
    """The paper's reading of GRPO: only the groups without a spread tell the two apart."""
    config = ReinforceConfig(
        subtract_mean=True, divide_by_std=True, drop_all_wrong=True, drop_all_correct=True
    )
    grpo = GRPOConfig(kl_coefficient=0)
    ours, theirs = (build(one).assign_credit(batch) for one in (config, grpo))
    assert torch.equal(ours.keep, theirs.keep)
    assert torch.allclose(ours.advantages, theirs.advantages, atol=1e-4)
    uniform = correct_of(batch, [True, True, True, True, False, False])
    ours, theirs = (build(one).assign_credit(uniform) for one in (config, grpo))
    assert ours.keep.tolist() == [False] * 3 + [True] * 3
    assert theirs.keep.all()
    assert torch.allclose(ours.advantages, theirs.advantages, atol=1e-4)


def test_a_group_without_a_spread_is_not_divided(batch):
    batch = replace(batch, rewards=torch.tensor([0.5, 0.5, 0.5, 1.0, 0.0, 0.0]))
    advantages = build(ReinforceConfig(divide_by_std=True)).assign_credit(batch).advantages
    assert torch.equal(advantages[:3, 0], torch.tensor([0.5, 0.5, 0.5]))
    assert advantages[3, 0].item() == pytest.approx(1 / (2**0.5 / 3), abs=1e-6)
