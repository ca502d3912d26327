"""Direct preference optimization on a pool from the initial policy (arXiv:2305.18290).

DeepSeekMath's Table 10 lists it with the rule as its judge; its eq. 14 drops the sum over the
response's tokens inside the sigmoid, so this follows the original, eq. 7 of arXiv:2305.18290v3.

The loss of a pair couples two rows, but its gradient does not: each row's tokens get
``+-beta sigmoid(-margin)`` times the gradient of their log-probability. So the margin is credit,
computed under pi_old, which is pi_theta because a batch is updated on once.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from algorithms.configs import DPOConfig
from algorithms.losses import kl_k1, negative_log_likelihood
from bakeoff.batch import Credit, Outputs, TokenBatch, TokenLosses, present
from bakeoff.config import Aggregation
from bakeoff.interfaces import Plan, PoolPlan, Source


class DPO:
    """Correct over wrong responses to the same problem, as far as pi_theta does not tell yet."""

    def __init__(self, config: DPOConfig) -> None:
        self.config = config

    @property
    def plan(self) -> Plan:
        return Plan(
            source=Source.INITIAL_POLICY,
            group_size=self.config.group_size,
            reference=True,
            pool=PoolPlan(epochs=self.config.epochs, problems=self.config.pool_problems),
            uses_ratios=False,
            credit_uses_old_logprobs=True,
            aggregation=Aggregation.SEQUENCE_SUM,
        )

    @property
    def conventions(self) -> Mapping[str, str]:
        return {
            "advantage": "+-beta sigmoid(-margin) of correct and wrong in pairs, others left out",
            "loss": "-log pi of the whole response",
            "kl": f"inside the margin, beta {self.config.kl_coefficient:g}",
        }

    def assign_credit(self, batch: TokenBatch) -> Credit:
        beta = self.config.kl_coefficient
        log_ratio = kl_k1(
            present(batch.old_logprobs, "old_logprobs"), present(batch.ref_logprobs, "ref_logprobs")
        )
        implicit = beta * (log_ratio * batch.response_mask).sum(dim=1)
        chosen, rejected = pairs(batch.correct, batch.groups)
        # The mean over pairs is half the mean over their rows.
        coefficient = 2 * beta * torch.sigmoid(implicit[rejected] - implicit[chosen])
        advantages = torch.zeros_like(implicit)
        advantages[chosen] = coefficient
        advantages[rejected] = -coefficient
        keep = torch.zeros_like(batch.correct)
        keep[torch.cat([chosen, rejected])] = True
        return Credit(advantages=advantages[:, None] * batch.response_mask, keep=keep)

    def token_losses(self, batch: TokenBatch, credit: Credit, outputs: Outputs) -> TokenLosses:
        return TokenLosses(policy=credit.advantages * negative_log_likelihood(outputs.logprobs))


def pairs(correct: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
    """Rows of the n-th correct and n-th wrong rollout of every group, both [K] int64.

    As many pairs as the rarer kind has rollouts; each rollout is in one pair at most.
    """
    chosen: list[Tensor] = []
    rejected: list[Tensor] = []
    for group in torch.unique(groups):
        right = (correct & (groups == group)).nonzero()[:, 0]
        wrong = (~correct & (groups == group)).nonzero()[:, 0]
        count = min(len(right), len(wrong))
        chosen.append(right[:count])
        rejected.append(wrong[:count])
    return torch.cat(chosen), torch.cat(rejected)
