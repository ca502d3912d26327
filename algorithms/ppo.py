"""Proximal policy optimization with a learned critic.

Sources: arXiv:1707.06347v2; arXiv:2402.03300v3 eq. 1 and 2; for process supervision
arXiv:2312.08935v3, which states nothing but where the rewards are.

Departures from the classic RLHF recipe: lambda = 1 on both sides by default, because a terminal
reward otherwise fades over long responses, and the two lambdas are decoupled (arXiv:2503.01491).
"""

from collections.abc import Mapping

from torch import Tensor

from algorithms.advantages import generalized_advantages, terminal_rewards, whiten
from algorithms.configs import PPOConfig
from algorithms.losses import Clip, clipped_losses, clipped_squared_error, kl_k1, squared_error
from bakeoff.batch import Credit, Outputs, TokenBatch, TokenLosses, present
from bakeoff.interfaces import CriticHead, CriticPlan, Plan, Source


class PPO:
    """Clipped surrogate on generalized advantages, with the KL penalty inside the reward."""

    def __init__(self, config: PPOConfig) -> None:
        self.config = config
        self._clip = Clip.of(config.clip_epsilon, config.clip_epsilon_high)
        self._process = config.supervision == "process"

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
            process_supervision=self._process,
        )

    @property
    def conventions(self) -> Mapping[str, str]:
        config = self.config
        whitened = ", whitened over the batch" if config.whiten_advantages else ""
        placed = ", a reward at every step's end" if self._process else ""
        return {
            "advantage": (
                f"GAE, {config.critic} critic, gamma {config.gamma:g}, lambda "
                f"{config.gae_lambda_policy:g} (policy) and {config.gae_lambda_critic:g} (critic)"
                + whitened
                + placed
            ),
            "loss": f"clipped surrogate, epsilon {self._clip}",
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
        critic = self._value_loss(batch, credit, present(outputs.values, "values"))
        return clipped_losses(batch, credit, outputs.logprobs, clip=self._clip, critic=critic)

    def _token_rewards(self, batch: TokenBatch) -> Tensor:
        """Eq. 2: the outcome on the last token, minus the KL penalty on every token.

        With process supervision each step's reward is on its last token instead: step-by-step
        PPO (arXiv:2312.08935v3 section 3.5).
        """
        rewards = (
            batch.step_rewards
            if self._process
            else terminal_rewards(batch.rewards, batch.response_mask)
        )
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
