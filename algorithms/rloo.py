"""REINFORCE leave-one-out (RLOO, arXiv:2402.14740): a response is one action."""

from collections.abc import Mapping

from torch import Tensor

from algorithms.advantages import leave_one_out
from algorithms.configs import RLOOConfig
from algorithms.losses import kl_k1, negative_log_likelihood
from bakeoff.batch import Credit, Outputs, TokenBatch, TokenLosses, present
from bakeoff.config import Aggregation
from bakeoff.interfaces import Plan, Source


class RLOO:
    """The reward, KL penalty included, minus the mean of the group's others, on log pi(o|q)."""

    def __init__(self, config: RLOOConfig) -> None:
        self.config = config

    @property
    def plan(self) -> Plan:
        penalised = self.config.kl_coefficient > 0
        return Plan(
            source=Source.CURRENT_POLICY,
            group_size=self.config.group_size,
            reference=penalised,
            uses_ratios=False,
            credit_uses_old_logprobs=penalised,
            aggregation=Aggregation.SEQUENCE_SUM,
        )

    @property
    def conventions(self) -> Mapping[str, str]:
        beta = self.config.kl_coefficient
        return {
            "advantage": "reward minus the mean of the group's others",
            "loss": "-log pi of the whole response",
            "kl": f"k1 of the whole response in the reward, beta {beta:g}" if beta else "none",
        }

    def assign_credit(self, batch: TokenBatch) -> Credit:
        advantages = leave_one_out(self._sequence_rewards(batch), batch.groups)
        return Credit(
            advantages=advantages[:, None] * batch.response_mask,
            keep=batch.response_mask.any(dim=1),
        )

    def token_losses(self, batch: TokenBatch, credit: Credit, outputs: Outputs) -> TokenLosses:
        return TokenLosses(policy=credit.advantages * negative_log_likelihood(outputs.logprobs))

    def _sequence_rewards(self, batch: TokenBatch) -> Tensor:
        if not self.config.kl_coefficient:
            return batch.rewards
        kl = kl_k1(
            present(batch.old_logprobs, "old_logprobs"), present(batch.ref_logprobs, "ref_logprobs")
        )
        return batch.rewards - self.config.kl_coefficient * (kl * batch.response_mask).sum(dim=1)
