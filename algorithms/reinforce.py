"""REINFORCE, and Reinforce-Rej which leaves uniform groups out (arXiv:2504.11343v2).

The paper rewards +1 and -1: set ``wrong_reward`` to -1.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from algorithms.advantages import UNIFORM_SPREAD, group_means
from algorithms.configs import ReinforceConfig
from algorithms.losses import Clip, clipped_losses
from bakeoff.batch import Credit, Outputs, TokenBatch, TokenLosses
from bakeoff.interfaces import Plan, Source


class Reinforce:
    """The reward itself as every token's advantage, in the clipped surrogate."""

    def __init__(self, config: ReinforceConfig) -> None:
        self.config = config
        self._clip = Clip.of(config.clip_epsilon)

    @property
    def plan(self) -> Plan:
        return Plan(
            source=Source.CURRENT_POLICY,
            group_size=self.config.group_size,
            epochs=self.config.epochs,
            minibatches=self.config.minibatches,
        )

    @property
    def conventions(self) -> Mapping[str, str]:
        config = self.config
        changes = {
            "minus the group's mean": config.subtract_mean,
            "over the group's std": config.divide_by_std,
            "without all-wrong groups": config.drop_all_wrong,
            "without all-correct groups": config.drop_all_correct,
        }
        return {
            "advantage": ", ".join(["outcome reward", *(c for c, made in changes.items() if made)]),
            "loss": f"clipped surrogate, epsilon {self._clip}",
            "kl": "none",
        }

    def assign_credit(self, batch: TokenBatch) -> Credit:
        index, pass_rate = group_means(batch.correct.float(), batch.groups)
        dropped = torch.zeros_like(batch.correct)
        if self.config.drop_all_wrong:
            dropped |= pass_rate[index] == 0
        if self.config.drop_all_correct:
            dropped |= pass_rate[index] == 1
        keep = batch.response_mask.any(dim=1) & ~dropped
        advantages = self._sequence_advantages(batch)[:, None] * batch.response_mask
        return Credit(advantages=advantages * keep[:, None], keep=keep)

    def token_losses(self, batch: TokenBatch, credit: Credit, outputs: Outputs) -> TokenLosses:
        return clipped_losses(batch, credit, outputs.logprobs, clip=self._clip)

    def _sequence_advantages(self, batch: TokenBatch) -> Tensor:
        index, mean = group_means(batch.rewards, batch.groups)
        rewards = batch.rewards.double()
        spread = (rewards - mean[index]) ** 2
        _, variance = group_means(spread, batch.groups)
        std = variance.sqrt()[index]
        if self.config.subtract_mean:
            rewards = rewards - mean[index]
        if self.config.divide_by_std:
            rewards = rewards / std.where(std >= UNIFORM_SPREAD, 1)
        return rewards.float()
