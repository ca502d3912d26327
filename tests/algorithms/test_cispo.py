from dataclasses import replace

import pytest
import torch

from algorithms.configs import CISPOConfig
from algorithms.registry import build
from bakeoff.batch import Outputs

REWARDS = torch.tensor([1.0, -0.5, 0.25, 0.0, 2.0, 0.5])


@pytest.mark.parametrize("limit", [1.5, 5.0])
def test_the_gradient_is_that_of_eq_4(batch, moved, method_gradient, paper_gradient, limit):
    """arXiv:2506.13585 eq. 4 and 5 without a lower limit: sg(min(r, limit)) A log pi."""
    batch = replace(batch, rewards=REWARDS)

    def objective(rows):
        total, tokens = 0.0, 0
        for row in rows:
            group = [other.reward for other in rows if other.group == row.group]
            mean = sum(group) / len(group)
            std = (sum((reward - mean) ** 2 for reward in group) / len(group)) ** 0.5
            advantage = (row.reward - mean) / (std + 1e-6)
            for ratio, logprob in zip(row.ratio.detach(), row.logprobs, strict=True):
                total = total + min(float(ratio), limit) * advantage * logprob
                tokens += 1
        return total / tokens

    expected = paper_gradient(objective, batch, moved)
    found = method_gradient(CISPOConfig(ratio_limit=limit), batch, moved)
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("ratio", [1e-3, 0.5, 1.0, 1.5, 40.0])
def test_no_ratio_takes_a_gradient_away(batch, method_gradient, ratio):
    logprobs = batch.old_logprobs + torch.tensor(ratio).log()
    config = CISPOConfig(ratio_limit=1.5)
    gradient = method_gradient(config, batch, logprobs)
    advantages = build(config).assign_credit(batch).advantages
    expected = -min(ratio, 1.5) * advantages / batch.response_mask.sum()
    assert torch.allclose(gradient, expected, rtol=1e-4)
    assert gradient[batch.response_mask].bool().all()


def test_the_clip_fraction_counts_the_ratios_above_the_limit(batch, moved):
    algorithm = build(CISPOConfig(ratio_limit=1.5))
    losses = algorithm.token_losses(batch, algorithm.assign_credit(batch), Outputs(logprobs=moved))
    above = (moved - batch.old_logprobs).exp() > 1.5
    assert above.any()
    assert torch.equal(losses.metrics["clip_fraction"].bool(), above)
