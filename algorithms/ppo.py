"""Proximal policy optimization with a learned critic.

Sources: arXiv:1707.06347v2; arXiv:2402.03300v3 eq. 1 and 2.

Departures from the classic RLHF recipe: lambda = 1 on both sides by default, because a terminal
reward otherwise fades over long responses, and the two lambdas are decoupled (arXiv:2503.01491).
"""

from collections.abc import Mapping

from torch import Tensor

from algorithms.advantages import generalized_advantages, terminal_rewards, whiten
from algorithms.configs import PPOConfig
from algorithms.losses import (
    clip_fraction,
    clipped_squared_error,
    clipped_surrogate,
    kl_k1,
    squared_error,
)
from bakeoff.batch import Credit, Outputs, TokenBatch, TokenLosses, present
from bakeoff.interfaces import CriticHead, CriticPlan, Plan, Source


class PPO:
    """Clipped surrogate on generalized advantages, with the KL penalty inside the reward."""

    def __init__(self, config: PPOConfig) -> None:
        self.config = config

    @property
    def plan(self) -> Plan:
        return Plan(
            source=Source.CURRENT_POLICY,
            group_size=self.config.group_size,
            reference=self.config.kl_coefficient > 0,
            critic=CriticPlan(
                shared_trunk=self.config.critic == "shared",
                head_init=CriticHead(self.config.critic_head_init),
                loss_coefficient=self.config.value_loss_coefficient,
                warmup_batches=self.config.critic_warmup_batches,
            ),
            epochs=self.config.epochs,
            minibatches=self.config.minibatches,
            credit_uses_old_logprobs=self.config.kl_coefficient > 0,
        )

    @property
    def conventions(self) -> Mapping[str, str]:
        config = self.config
        whitened = ", whitened over the batch" if config.whiten_advantages else ""
        return {
            "advantage": (
                f"GAE, {config.critic} critic, gamma {config.gamma:g}, lambda "
                f"{config.gae_lambda_policy:g} (policy) and {config.gae_lambda_critic:g} (critic)"
                + whitened
            ),
            "loss": f"clipped surrogate, epsilon {config.clip_epsilon:g}",
            "kl": (
                f"k1 in the reward, beta {config.kl_coefficient:g}"
                if config.kl_coefficient
                else "none"
            ),
        }

    def assign_credit(self, batch: TokenBatch) -> Credit:
        values = present(batch.old_values, "old_values")
        rewards = self._token_rewards(batch)
        advantages = self._gae(rewards, values, batch, self.config.gae_lambda_policy)
        returns = (
            self._gae(rewards, values, batch, self.config.gae_lambda_critic) + values
        ) * batch.response_mask
        if self.config.whiten_advantages:
            advantages = whiten(advantages, batch.response_mask)
        return Credit(advantages=advantages, keep=batch.response_mask.any(dim=1), returns=returns)

    def token_losses(self, batch: TokenBatch, credit: Credit, outputs: Outputs) -> TokenLosses:
        old_logprobs = present(batch.old_logprobs, "old_logprobs")
        epsilon = self.config.clip_epsilon
        return TokenLosses(
            policy=clipped_surrogate(
                outputs.logprobs, old_logprobs, credit.advantages, clip_epsilon=epsilon
            ),
            critic=self._value_loss(batch, credit, present(outputs.values, "values")),
            metrics={
                "clip_fraction": clip_fraction(
                    outputs.logprobs, old_logprobs, credit.advantages, clip_epsilon=epsilon
                )
            },
        )

    def _token_rewards(self, batch: TokenBatch) -> Tensor:
        """Eq. 2: the outcome on the last token, minus the KL penalty on every token."""
        rewards = terminal_rewards(batch.rewards, batch.response_mask)
        if not self.config.kl_coefficient:
            return rewards
        kl = kl_k1(
            present(batch.old_logprobs, "old_logprobs"), present(batch.ref_logprobs, "ref_logprobs")
        )
        return rewards - self.config.kl_coefficient * kl * batch.response_mask

    def _gae(self, rewards: Tensor, values: Tensor, batch: TokenBatch, gae_lambda: float) -> Tensor:
        return generalized_advantages(
            rewards, values, batch.response_mask, gamma=self.config.gamma, gae_lambda=gae_lambda
        )

    def _value_loss(self, batch: TokenBatch, credit: Credit, values: Tensor) -> Tensor:
        returns = present(credit.returns, "returns")
        if self.config.value_clip_epsilon is None:
            return squared_error(values, returns)
        old_values = present(batch.old_values, "old_values")
        return clipped_squared_error(
            values, old_values, returns, clip_epsilon=self.config.value_clip_epsilon
        )
