"""Supervised fine-tuning (arXiv:2402.03300v3 appendix A.1.1): it makes the common start."""

from collections.abc import Mapping

from algorithms.configs import SFTConfig
from algorithms.losses import negative_log_likelihood
from bakeoff.batch import Credit, Outputs, TokenBatch, TokenLosses
from bakeoff.interfaces import Plan, Source


class SFT:
    """Maximise the likelihood of demonstrations."""

    def __init__(self, config: SFTConfig) -> None:
        self.config = config

    @property
    def plan(self) -> Plan:
        return Plan(
            source=Source.GOLD if self.config.gold else Source.DEMONSTRATIONS,
            group_size=self.config.group_size,
            uses_ratios=False,
            updates=self.config.updates,
        )

    @property
    def conventions(self) -> Mapping[str, str]:
        return {"advantage": "1", "loss": "-log pi", "kl": "none"}

    def assign_credit(self, batch: TokenBatch) -> Credit:
        return Credit(advantages=batch.response_mask.float(), keep=batch.response_mask.any(dim=1))

    def token_losses(self, batch: TokenBatch, credit: Credit, outputs: Outputs) -> TokenLosses:
        return TokenLosses(policy=credit.advantages * negative_log_likelihood(outputs.logprobs))
