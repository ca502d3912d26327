"""GRPO done right (Dr. GRPO, arXiv:2503.20783): no division by std, none by the length."""

from collections.abc import Mapping

from algorithms.advantages import centred
from algorithms.configs import DrGRPOConfig
from algorithms.losses import Clip, add_kl, clipped_losses, kl_k3
from bakeoff.batch import Credit, Outputs, TokenBatch, TokenLosses
from bakeoff.config import Aggregation
from bakeoff.interfaces import Plan, Source


class DrGRPO:
    """The clipped surrogate on centred rewards, over a constant length."""

    def __init__(self, config: DrGRPOConfig) -> None:
        self.config = config
        self._clip = Clip.of(config.clip_epsilon)

    @property
    def plan(self) -> Plan:
        return Plan(
            source=Source.CURRENT_POLICY,
            group_size=self.config.group_size,
            reference=self.config.kl_coefficient > 0,
            epochs=self.config.epochs,
            minibatches=self.config.minibatches,
            aggregation=Aggregation.CONSTANT,
        )

    @property
    def conventions(self) -> Mapping[str, str]:
        beta = self.config.kl_coefficient
        return {
            "advantage": "outcome reward minus the group's mean",
            "loss": f"clipped surrogate, epsilon {self._clip}",
            "kl": f"k3 in the loss, beta {beta:g}" if beta else "none",
        }

    def assign_credit(self, batch: TokenBatch) -> Credit:
        advantages = centred(batch.rewards, batch.groups)[:, None] * batch.response_mask
        return Credit(advantages=advantages, keep=batch.response_mask.any(dim=1))

    def token_losses(self, batch: TokenBatch, credit: Credit, outputs: Outputs) -> TokenLosses:
        losses = clipped_losses(batch, credit, outputs.logprobs, clip=self._clip)
        beta = self.config.kl_coefficient
        return add_kl(losses, batch, outputs, estimator=kl_k3, coefficient=beta)
