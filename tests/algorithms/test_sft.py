import torch

from algorithms.configs import SFTConfig
from algorithms.registry import build
from bakeoff.interfaces import Source


def test_the_gradient_is_the_mean_log_likelihood(batch, method_gradient, paper_gradient):
    """arXiv:2402.03300v3 eq. 6: the mean over demonstrations of their token means."""

    def objective(rows):
        return sum(row.logprobs.mean() / len(rows) for row in rows)

    expected = paper_gradient(objective, batch, batch.old_logprobs)
    assert torch.allclose(
        method_gradient(SFTConfig(), batch, batch.old_logprobs), expected, atol=1e-6
    )


def test_gold_changes_the_source_alone():
    plan = build(SFTConfig(updates=12)).plan
    gold = build(SFTConfig(gold=True, updates=12)).plan
    assert plan.source is Source.DEMONSTRATIONS
    assert gold.source is Source.GOLD
    assert plan.updates == gold.updates == 12
