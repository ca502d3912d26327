"""Group relative policy optimization (arXiv:2402.03300v3 section 4.1), Algorithm 1 included."""

from collections.abc import Mapping

from torch import Tensor

from algorithms.advantages import group_outcome, process_outcome
from algorithms.configs import GRPOConfig
from algorithms.losses import Clip, add_kl, clipped_losses, kl_k3
from bakeoff.batch import Credit, Outputs, TokenBatch, TokenLosses
from bakeoff.interfaces import IterationPlan, Plan, Source


class GRPO:
    """PPO's surrogate with the group's spread of rewards in place of a critic."""

    def __init__(self, config: GRPOConfig) -> None:
        self.config = config
        self._clip = Clip.of(config.clip_epsilon, config.clip_epsilon_high)
        self._process = config.supervision == "process"

    @property
    def plan(self) -> Plan:
        return Plan(
            source=Source.CURRENT_POLICY,
            group_size=self.config.group_size,
            reference=self.config.kl_coefficient > 0,
            epochs=self.config.epochs,
            minibatches=self.config.minibatches,
            process_supervision=self._process,
            iteration=self._iteration,
        )

    @property
    def conventions(self) -> Mapping[str, str]:
        beta = self.config.kl_coefficient
        return {
            "advantage": (
                "step rewards over the group's mean and population std, summed to go"
                if self._process
                else "outcome reward, group mean and population std"
            ),
            "loss": f"clipped surrogate, epsilon {self._clip}",
            "kl": f"k3 in the loss, beta {beta:g}" if beta else "none",
        }

    def assign_credit(self, batch: TokenBatch) -> Credit:
        return Credit(advantages=self._advantages(batch), keep=batch.response_mask.any(dim=1))

    def token_losses(self, batch: TokenBatch, credit: Credit, outputs: Outputs) -> TokenLosses:
        losses = clipped_losses(batch, credit, outputs.logprobs, clip=self._clip)
        beta = self.config.kl_coefficient
        return add_kl(losses, batch, outputs, estimator=kl_k3, coefficient=beta)

    def _advantages(self, batch: TokenBatch) -> Tensor:
        if self._process:
            return process_outcome(
                batch.step_rewards, batch.step_mask, batch.groups, batch.response_mask
            )
        return group_outcome(batch.rewards, batch.groups, batch.response_mask)

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
