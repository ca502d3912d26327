"""DAPO (arXiv:2503.14476): clip-higher, a mean over tokens, and dynamic sampling.

Its reward of -1 for a wrong response and its overlong penalty are settings of the reward:
``wrong_reward`` and ``overlong_buffer_tokens``.
"""

from collections.abc import Mapping

from algorithms.advantages import group_outcome
from algorithms.configs import DAPOConfig
from algorithms.losses import Clip, clipped_losses
from bakeoff.batch import Credit, Outputs, TokenBatch, TokenLosses
from bakeoff.config import Aggregation
from bakeoff.interfaces import Plan, Source


class DAPO:
    """The clipped surrogate with a wider upper clip, on groups with a spread alone."""

    def __init__(self, config: DAPOConfig) -> None:
        self.config = config
        self._clip = Clip.of(config.clip_epsilon, config.clip_epsilon_high)

    @property
    def plan(self) -> Plan:
        return Plan(
            source=Source.CURRENT_POLICY,
            group_size=self.config.group_size,
            epochs=self.config.epochs,
            minibatches=self.config.minibatches,
            aggregation=Aggregation.TOKEN_MEAN,
            sampling_rounds=self.config.sampling_rounds,
        )

    @property
    def conventions(self) -> Mapping[str, str]:
        rounds = self.config.sampling_rounds
        return {
            "advantage": "outcome reward, group mean and population std"
            + (f", groups with a spread from up to {rounds} draws" if rounds > 1 else ""),
            "loss": f"clipped surrogate, epsilon {self._clip}",
            "kl": "none",
        }

    def assign_credit(self, batch: TokenBatch) -> Credit:
        return Credit(
            advantages=group_outcome(batch.rewards, batch.groups, batch.response_mask),
            keep=batch.response_mask.any(dim=1),
        )

    def token_losses(self, batch: TokenBatch, credit: Credit, outputs: Outputs) -> TokenLosses:
        return clipped_losses(batch, credit, outputs.logprobs, clip=self._clip)
