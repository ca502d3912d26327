"""RAFT++: online RFT with importance ratios and a clip (arXiv:2504.11343v2 section 3)."""

from collections.abc import Mapping

from algorithms.configs import RAFTPlusPlusConfig
from algorithms.losses import Clip, clipped_losses
from algorithms.rft import indicator
from bakeoff.batch import Credit, Outputs, TokenBatch, TokenLosses
from bakeoff.interfaces import Plan, Source


class RAFTPlusPlus:
    """The clipped surrogate on correct responses alone, with an advantage of 1."""

    def __init__(self, config: RAFTPlusPlusConfig) -> None:
        self.config = config
        self._clip = Clip.of(config.clip_epsilon, config.clip_epsilon_high)

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
        return {
            "advantage": "1 if correct, else left out",
            "loss": f"clipped surrogate, epsilon {self._clip}",
            "kl": "none",
        }

    def assign_credit(self, batch: TokenBatch) -> Credit:
        return indicator(batch, batch.correct)

    def token_losses(self, batch: TokenBatch, credit: Credit, outputs: Outputs) -> TokenLosses:
        return clipped_losses(batch, credit, outputs.logprobs, clip=self._clip)
