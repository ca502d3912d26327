"""Clipped importance-sampling policy optimization (CISPO, arXiv:2506.13585 eq. 4 and 5)."""

from collections.abc import Mapping

import torch

from algorithms.advantages import group_outcome
from algorithms.configs import CISPOConfig
from algorithms.losses import negative_log_likelihood
from bakeoff.batch import Credit, Outputs, TokenBatch, TokenLosses, present
from bakeoff.config import Aggregation
from bakeoff.interfaces import Plan, Source


class CISPO:
    """REINFORCE on group advantages, weighed by a ratio that is cut from above.

    Unlike PPO's clip it never takes a token's gradient away; as in the paper there is no cut from
    below.
    """

    def __init__(self, config: CISPOConfig) -> None:
        self.config = config

    @property
    def plan(self) -> Plan:
        return Plan(
            source=Source.CURRENT_POLICY,
            group_size=self.config.group_size,
            epochs=self.config.epochs,
            minibatches=self.config.minibatches,
            aggregation=Aggregation.TOKEN_MEAN,
        )

    @property
    def conventions(self) -> Mapping[str, str]:
        return {
            "advantage": "outcome reward, group mean and population std",
            "loss": f"-log pi, weighed by the ratio up to {self.config.ratio_limit:g}",
            "kl": "none",
        }

    def assign_credit(self, batch: TokenBatch) -> Credit:
        return Credit(
            advantages=group_outcome(batch.rewards, batch.groups, batch.response_mask),
            keep=batch.response_mask.any(dim=1),
        )

    def token_losses(self, batch: TokenBatch, credit: Credit, outputs: Outputs) -> TokenLosses:
        old_logprobs = present(batch.old_logprobs, "old_logprobs")
        ratio = torch.exp(outputs.logprobs.detach() - old_logprobs)
        weight = ratio.clamp(max=self.config.ratio_limit)
        return TokenLosses(
            policy=weight * credit.advantages * negative_log_likelihood(outputs.logprobs),
            metrics={"clip_fraction": (ratio > self.config.ratio_limit).float()},
        )
