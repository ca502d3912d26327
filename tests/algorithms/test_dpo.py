from dataclasses import replace

import torch

from algorithms.configs import DPOConfig
from algorithms.dpo import pairs
from algorithms.registry import build

BETA = 0.3


def test_the_gradient_is_that_of_eq_7_over_pairs(batch, method_gradient, paper_gradient):
    """arXiv:2305.18290v3 eq. 7: the mean over pairs of log sigmoid(beta (margin))."""
    # One pair of each group: rows 0 over 1, and 5 over 3; rows 2 and 4 are alone.
    chosen_rejected = [(0, 1), (5, 3)]

    def objective(rows):
        total = 0.0
        for chosen, rejected in chosen_rejected:
            margin = (rows[chosen].logprobs - rows[chosen].ref).sum() - (
                rows[rejected].logprobs - rows[rejected].ref
            ).sum()
            total = total + torch.nn.functional.logsigmoid(BETA * margin) / len(chosen_rejected)
        return total

    expected = paper_gradient(objective, batch, batch.old_logprobs)
    found = method_gradient(DPOConfig(kl_coefficient=BETA), batch, batch.old_logprobs)
    assert torch.allclose(found, expected, atol=1e-6)
    assert [bool(row.any()) for row in expected] == [True, True, False, True, False, True]


def test_at_the_reference_the_coefficient_is_half_of_beta(batch, method_gradient):
    """sigmoid(0) = 1/2, over two pairs."""
    batch = replace(batch, ref_logprobs=batch.old_logprobs)
    gradient = method_gradient(DPOConfig(kl_coefficient=BETA), batch, batch.old_logprobs)
    signs = torch.tensor([1.0, -1, 0, -1, 0, 1])[:, None] * batch.response_mask
    assert torch.allclose(-gradient, signs * BETA / 4)


def test_pairs_take_each_rollout_once_in_order():
    correct = torch.tensor([True, True, False, True, False, False, True, True])
    groups = torch.tensor([4, 4, 4, 4, 4, 7, 9, 9])
    chosen, rejected = pairs(correct, groups)
    assert chosen.tolist() == [0, 1]
    assert rejected.tolist() == [2, 4]


def test_a_batch_without_a_pair_has_nothing_to_learn_from(batch):
    for correct in (torch.ones(6), torch.zeros(6)):
        credit = build(DPOConfig()).assign_credit(replace(batch, correct=correct.bool()))
        assert not credit.keep.any()
        assert not credit.advantages.any()


def test_a_pair_that_is_told_apart_already_moves_little(batch):
    far = batch.ref_logprobs - 100.0 * batch.correct[:, None] * batch.response_mask
    near = build(DPOConfig()).assign_credit(replace(batch, ref_logprobs=batch.old_logprobs))
    told = build(DPOConfig()).assign_credit(replace(batch, ref_logprobs=far))
    assert told.advantages.abs().max() < 1e-3 * near.advantages.abs().max()
