"""Group relative policy optimization (arXiv:2402.03300v3 section 4.1), Algorithm 1 included."""

from collections.abc import Mapping

from torch import Tensor

from algorithms.advantages import group_outcome, penalized, process_outcome
from algorithms.configs import GRPOConfig
from algorithms.losses import KL_ESTIMATORS, Clip, add_kl, clipped_losses, kl_k1
from bakeoff.batch import Credit, Outputs, TokenBatch, TokenLosses, present
from bakeoff.interfaces import IterationPlan, Plan, Source


class GRPO:
    """PPO's surrogate with the group's spread of rewards in place of a critic."""

    def __init__(self, config: GRPOConfig) -> None:
        self.config = config
        self._clip = Clip.of(config.clip_epsilon, config.clip_epsilon_high)
        self._process = config.supervision == "process"
        self._kl = KL_ESTIMATORS[config.kl_estimator]
        beta, in_reward = config.kl_coefficient, config.kl_placement == "reward"
        self._loss_beta, self._reward_beta = (0.0, beta) if in_reward else (beta, 0.0)

    @property
    def plan(self) -> Plan:
        return Plan(
            source=Source.CURRENT_POLICY,
            group_size=self.config.group_size,
            reference=self.config.kl_coefficient > 0,
            epochs=self.config.epochs,
            minibatches=self.config.minibatches,
            credit_uses_old_logprobs=self._reward_beta > 0,
            process_supervision=self._process,
            iteration=self._iteration,
        )

    @property
    def conventions(self) -> Mapping[str, str]:
        return {
            "advantage": (
                "step rewards over the group's mean and population std, summed to go"
                if self._process
                else "outcome reward, group mean and population std"
            ),
            "loss": f"clipped surrogate, epsilon {self._clip}",
            "kl": self._kl_convention,
        }

    def assign_credit(self, batch: TokenBatch) -> Credit:
        return Credit(advantages=self._advantages(batch), keep=batch.response_mask.any(dim=1))

    def token_losses(self, batch: TokenBatch, credit: Credit, outputs: Outputs) -> TokenLosses:
        losses = clipped_losses(batch, credit, outputs.logprobs, clip=self._clip)
        return add_kl(losses, batch, outputs, estimator=self._kl, coefficient=self._loss_beta)

    def _advantages(self, batch: TokenBatch) -> Tensor:
        if self._process:
            return process_outcome(
                batch.step_rewards, batch.step_mask, batch.groups, batch.response_mask
            )
        return group_outcome(self._rewards(batch), batch.groups, batch.response_mask)

    def _rewards(self, batch: TokenBatch) -> Tensor:
        """[N] outcomes, less the KL of the whole response where that is where it enters."""
        if not self._reward_beta:
            return batch.rewards
        token_kl = self._kl(
            present(batch.old_logprobs, "old_logprobs"), present(batch.ref_logprobs, "ref_logprobs")
        )
        return penalized(
            batch.rewards, token_kl, batch.response_mask, coefficient=self._reward_beta
        )

    @property
    def _kl_convention(self) -> str:
        name, beta = self.config.kl_estimator, self.config.kl_coefficient
        if not beta:
            return "none"
        if self._reward_beta:
            return f"{name} of the whole response in the reward, beta {beta:g}"
        idle = " (expected gradient 0 per token)" if self._kl is kl_k1 else ""
        return f"{name} in the loss, beta {beta:g}{idle}"

    @property
    def _iteration(self) -> IterationPlan | None:
        config = self.config
        if config.iteration_batches is None:
            return None
        return IterationPlan(
            batches=config.iteration_batches,
            reset_reference=config.reset_reference and config.kl_coefficient > 0,
            refit_reward_model=config.refit_reward_model,
            replay_share=config.replay_share,
        )
