"""Group sequence policy optimization (arXiv:2507.18071): one ratio and one clip a sequence."""

from collections.abc import Mapping

from torch import Tensor

from algorithms.advantages import group_outcome
from algorithms.configs import GSPOConfig
from algorithms.losses import Clip, clipped_losses
from bakeoff.batch import Credit, Outputs, TokenBatch, TokenLosses, present
from bakeoff.interfaces import Plan, Source


class GSPO:
    """The clipped surrogate of the sequence's geometric-mean ratio (eq. 5 to 7)."""

    def __init__(self, config: GSPOConfig) -> None:
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
            "advantage": "outcome reward, group mean and population std",
            "loss": f"clipped surrogate of a sequence's ratio, epsilon {self._clip}",
            "kl": "none",
        }

    def assign_credit(self, batch: TokenBatch) -> Credit:
        return Credit(
            advantages=group_outcome(batch.rewards, batch.groups, batch.response_mask),
            keep=batch.response_mask.any(dim=1),
        )

    def token_losses(self, batch: TokenBatch, credit: Credit, outputs: Outputs) -> TokenLosses:
        old_logprobs = present(batch.old_logprobs, "old_logprobs")
        log_ratio = _sequence_means(outputs.logprobs - old_logprobs, batch.response_mask)
        # Every token of a sequence carries the sequence's loss, so their mean is that loss.
        return clipped_losses(batch, credit, old_logprobs + log_ratio, clip=self._clip)


def _sequence_means(values: Tensor, response_mask: Tensor) -> Tensor:
    """[N, T] each row's mean over its response tokens, at every position."""
    length = response_mask.sum(dim=1, keepdim=True).clamp(min=1)
    means = (values * response_mask).sum(dim=1, keepdim=True) / length
    return means.expand_as(values)
