"""Group relative policy optimization with outcome supervision (arXiv:2402.03300v3 section 4.1)."""

from collections.abc import Mapping

from algorithms.advantages import group_outcome
from algorithms.configs import GRPOConfig
from algorithms.losses import clip_fraction, clipped_surrogate, kl_k3
from bakeoff.batch import Credit, Outputs, TokenBatch, TokenLosses, present
from bakeoff.interfaces import Plan, Source


class GRPO:
    """PPO's surrogate with the group's spread of rewards in place of a critic."""

    def __init__(self, config: GRPOConfig) -> None:
        self.config = config

    @property
    def plan(self) -> Plan:
        return Plan(
            source=Source.CURRENT_POLICY,
            group_size=self.config.group_size,
            reference=self.config.kl_coefficient > 0,
            epochs=self.config.epochs,
            minibatches=self.config.minibatches,
            reference_refresh_every=self.config.reference_refresh_every,
        )

    @property
    def conventions(self) -> Mapping[str, str]:
        beta = self.config.kl_coefficient
        return {
            "advantage": "outcome reward, group mean and population std",
            "loss": f"clipped surrogate, epsilon {self.config.clip_epsilon:g}",
            "kl": f"k3 in the loss, beta {beta:g}" if beta else "none",
        }

    def assign_credit(self, batch: TokenBatch) -> Credit:
        return Credit(
            advantages=group_outcome(batch.rewards, batch.groups, batch.response_mask),
            keep=batch.response_mask.any(dim=1),
        )

    def token_losses(self, batch: TokenBatch, credit: Credit, outputs: Outputs) -> TokenLosses:
        old_logprobs = present(batch.old_logprobs, "old_logprobs")
        epsilon = self.config.clip_epsilon
        policy = clipped_surrogate(
            outputs.logprobs, old_logprobs, credit.advantages, clip_epsilon=epsilon
        )
        metrics = {
            "clip_fraction": clip_fraction(
                outputs.logprobs, old_logprobs, credit.advantages, clip_epsilon=epsilon
            )
        }
        if self.config.kl_coefficient:
            kl = kl_k3(outputs.logprobs, present(batch.ref_logprobs, "ref_logprobs"))
            policy = policy + self.config.kl_coefficient * kl
            metrics["kl_to_reference"] = kl.detach()
        return TokenLosses(policy=policy, metrics=metrics)
