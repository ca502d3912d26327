"""REINFORCE++ and its variant with a group baseline (arXiv:2501.03262)."""

from collections.abc import Mapping

from torch import Tensor

from algorithms.advantages import centred, terminal_rewards, to_go, whiten
from algorithms.configs import ReinforcePlusPlusConfig
from algorithms.losses import Clip, add_kl, clipped_losses, kl_k1, kl_k2
from bakeoff.batch import Credit, Outputs, TokenBatch, TokenLosses, present
from bakeoff.interfaces import Plan, Source


class ReinforcePlusPlus:
    """PPO without a critic: rewards to go, with k1 inside, whitened over the whole batch."""

    def __init__(self, config: ReinforcePlusPlusConfig) -> None:
        self.config = config
        self._clip = Clip.of(config.clip_epsilon)

    @property
    def plan(self) -> Plan:
        penalised = self.config.kl_coefficient > 0
        return Plan(
            source=Source.CURRENT_POLICY,
            group_size=self.config.group_size,
            reference=penalised,
            epochs=self.config.epochs,
            minibatches=self.config.minibatches,
            credit_uses_old_logprobs=penalised,
        )

    @property
    def conventions(self) -> Mapping[str, str]:
        beta = self.config.kl_coefficient
        return {
            "advantage": "reward to go, whitened over the batch's tokens",
            "loss": f"clipped surrogate, epsilon {self._clip}",
            "kl": f"k1 in the reward, beta {beta:g}" if beta else "none",
        }

    def assign_credit(self, batch: TokenBatch) -> Credit:
        return Credit(
            advantages=whiten(to_go(self._token_rewards(batch)), batch.response_mask),
            keep=batch.response_mask.any(dim=1),
        )

    def token_losses(self, batch: TokenBatch, credit: Credit, outputs: Outputs) -> TokenLosses:
        return clipped_losses(batch, credit, outputs.logprobs, clip=self._clip)

    def _token_rewards(self, batch: TokenBatch) -> Tensor:
        rewards = terminal_rewards(batch.rewards, batch.response_mask)
        if not self.config.kl_coefficient:
            return rewards
        kl = kl_k1(
            present(batch.old_logprobs, "old_logprobs"), present(batch.ref_logprobs, "ref_logprobs")
        )
        return rewards - self.config.kl_coefficient * kl * batch.response_mask


class ReinforcePlusPlusBaseline:
    """The group's mean off the reward, whitened over the batch; k2 as a loss of its own."""

    def __init__(self, config: ReinforcePlusPlusConfig) -> None:
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
        )

    @property
    def conventions(self) -> Mapping[str, str]:
        beta = self.config.kl_coefficient
        return {
            "advantage": "reward minus the group's mean, whitened over the batch's tokens",
            "loss": f"clipped surrogate, epsilon {self._clip}",
            "kl": f"k2 in the loss, beta {beta:g}" if beta else "none",
        }

    def assign_credit(self, batch: TokenBatch) -> Credit:
        advantages = centred(batch.rewards, batch.groups)[:, None] * batch.response_mask
        return Credit(
            advantages=whiten(advantages, batch.response_mask),
            keep=batch.response_mask.any(dim=1),
        )

    def token_losses(self, batch: TokenBatch, credit: Credit, outputs: Outputs) -> TokenLosses:
        losses = clipped_losses(batch, credit, outputs.logprobs, clip=self._clip)
        beta = self.config.kl_coefficient
        return add_kl(losses, batch, outputs, estimator=kl_k2, coefficient=beta)
