from dataclasses import replace

import torch

from algorithms.configs import ReinforcePlusPlusConfig
from algorithms.registry import build
from bakeoff.batch import Outputs

REWARDS = torch.tensor([1.0, -0.5, 0.25, 0.0, 2.0, 0.5])
PLAIN = ReinforcePlusPlusConfig(group_size=3, kl_coefficient=0.3)
BASELINE = replace(PLAIN, group_baseline=True)


def whitened(lists):
    """The lists with the mean of all their numbers taken off, over the std of all."""
    flat = [value for one in lists for value in one]
    mean = sum(flat) / len(flat)
    std = (sum((value - mean) ** 2 for value in flat) / len(flat)) ** 0.5
    return [[(value - mean) / (std + 1e-6) for value in one] for one in lists]


def surrogate(row, advantages):
    advantages = torch.tensor(advantages).double()
    clipped = row.ratio.clamp(0.8, 1.2)
    return torch.minimum(row.ratio * advantages, clipped * advantages)


def test_the_gradient_is_that_of_the_paper(batch, moved, method_gradient, paper_gradient):
    """arXiv:2501.03262: A_t = r - beta sum_{i >= t} KL(i), over the batch's mean and std."""
    batch = replace(batch, rewards=REWARDS)

    def objective(rows):
        advantages = whitened(
            [
                [
                    row.reward - 0.3 * float((row.old - row.ref)[token:].sum())
                    for token in range(len(row.old))
                ]
                for row in rows
            ]
        )
        return sum(
            surrogate(row, own).mean() / len(rows)
            for row, own in zip(rows, advantages, strict=True)
        )

    expected = paper_gradient(objective, batch, moved)
    assert torch.allclose(method_gradient(PLAIN, batch, moved), expected, atol=1e-6)


def test_the_baseline_variant_is_that_of_the_paper(batch, moved, method_gradient, paper_gradient):
    """The group's mean off, whitened over the batch; half the squared log-ratio in the loss."""
    batch = replace(batch, rewards=REWARDS)

    def objective(rows):
        centred = []
        for row in rows:
            group = [other.reward for other in rows if other.group == row.group]
            centred.append([row.reward - sum(group) / len(group)] * len(row.old))
        total = 0.0
        for row, own in zip(rows, whitened(centred), strict=True):
            k2 = 0.5 * (row.logprobs - row.ref) ** 2
            total = total + (surrogate(row, own) - 0.3 * k2).mean() / len(rows)
        return total

    expected = paper_gradient(objective, batch, moved)
    assert torch.allclose(method_gradient(BASELINE, batch, moved), expected, atol=1e-6)


def test_advantages_are_white_over_all_tokens_of_the_batch(batch):
    for config in (PLAIN, BASELINE):
        chosen = build(config).assign_credit(batch).advantages[batch.response_mask]
        assert abs(chosen.mean().item()) < 1e-6
        assert abs(chosen.std(correction=0).item() - 1) < 1e-4


def test_the_penalty_enters_once(batch):
    """In the reward of the plain method, in the loss of the variant with a baseline."""
    shifted = replace(batch, ref_logprobs=batch.ref_logprobs - batch.response_mask.float())

    def changes(config):
        method = build(config)
        credits = [method.assign_credit(one) for one in (batch, shifted)]
        losses = [
            method.token_losses(one, credits[0], Outputs(logprobs=one.old_logprobs)).policy
            for one in (batch, shifted)
        ]
        return (
            not torch.equal(credits[0].advantages, credits[1].advantages),
            not torch.equal(losses[0], losses[1]),
        )

    assert changes(PLAIN) == (True, False)
    assert changes(BASELINE) == (False, True)
    assert build(PLAIN).plan.credit_uses_old_logprobs
    assert not build(BASELINE).plan.credit_uses_old_logprobs
