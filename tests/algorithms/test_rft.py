from dataclasses import replace

import pytest
import torch

from algorithms.configs import OnlineRFTConfig, RFTConfig
from algorithms.registry import build
from bakeoff.interfaces import Deduplicate


@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_the_gradient_is_that_of_correct_responses_alone(
    batch, method_gradient, paper_gradient, beta
):
    """arXiv:2402.03300v3 eq. 9 and 10 over the accepted, with k3 (eq. 4) where it is asked for."""

    def objective(rows):
        accepted = [row for row in rows if row.correct]
        total = 0.0
        for row in accepted:
            inverse = torch.exp(row.ref - row.logprobs)
            kl = inverse - torch.log(inverse) - 1
            total = total + (row.logprobs - beta * kl).mean() / len(accepted)
        return total

    expected = paper_gradient(objective, batch, batch.old_logprobs)
    config = OnlineRFTConfig(kl_coefficient=beta)
    assert torch.allclose(method_gradient(config, batch, batch.old_logprobs), expected, atol=1e-6)


def test_a_threshold_accepts_by_the_reward_and_not_by_the_verifier(batch):
    batch = replace(batch, rewards=torch.tensor([0.2, 0.5, 0.6, 0.9, 0.5, 0.1]))
    keep = build(OnlineRFTConfig(accept_above=0.5)).assign_credit(batch).keep
    assert keep.tolist() == [False, False, True, True, False, False]
    assert torch.equal(build(OnlineRFTConfig()).assign_credit(batch).keep, batch.correct)


def test_the_pool_is_read_as_the_settings_say():
    plan = build(RFTConfig(epochs=3, deduplicate="equations", pool_problems=5)).plan
    assert plan.pool.epochs == 3
    assert plan.pool.deduplicate is Deduplicate.EQUATIONS
    assert plan.pool.problems == 5
    assert plan.epochs == 1  # a pass over the pool is no second pass over a batch
    assert not plan.uses_ratios


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (None, ""),
        ("text", ", equal texts once"),
        ("equations", ", equal equations once"),
    ],
)
def test_the_equivalence_table_names_what_counts_as_the_same(how, told):
    advantage = build(RFTConfig(deduplicate=how)).conventions["advantage"]
    assert advantage == "1 if correct, else left out (eq. 10)" + told
