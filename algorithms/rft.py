"""Rejection-sampling fine-tuning, offline and online (arXiv:2402.03300v3 appendix A.1.2, A.1.3).

The two differ only in who samples; `offline_share` lies between them. The original RFT
(arXiv:2308.01825v2) also keeps one response a list of equations: that is `deduplicate`.
"""

from collections.abc import Mapping

from torch import Tensor

from algorithms.configs import OnlineRFTConfig, RFTConfig
from algorithms.losses import add_kl, kl_k3, negative_log_likelihood
from bakeoff.batch import Credit, Outputs, TokenBatch, TokenLosses
from bakeoff.interfaces import Deduplicate, Plan, PoolPlan, Source


class RFT:
    """Maximise the likelihood of the initial policy's responses that the verifier calls correct."""

    def __init__(self, config: RFTConfig) -> None:
        self.config = config

    @property
    def plan(self) -> Plan:
        how = self.config.deduplicate
        return Plan(
            source=Source.INITIAL_POLICY,
            group_size=self.config.group_size,
            pool=PoolPlan(
                epochs=self.config.epochs,
                deduplicate=how and Deduplicate(how),
                problems=self.config.pool_problems,
            ),
            uses_ratios=False,
        )

    @property
    def conventions(self) -> Mapping[str, str]:
        kept = {None: "", "text": ", equal texts once", "equations": ", equal equations once"}
        return {
            "advantage": "1 if correct, else left out (eq. 10)" + kept[self.config.deduplicate],
            "loss": "-log pi",
            "kl": "none",
        }

    def assign_credit(self, batch: TokenBatch) -> Credit:
        return indicator(batch, batch.correct)

    def token_losses(self, batch: TokenBatch, credit: Credit, outputs: Outputs) -> TokenLosses:
        return TokenLosses(policy=credit.advantages * negative_log_likelihood(outputs.logprobs))


class OnlineRFT:
    """The same on what the current policy writes, or on a mix with what the initial one writes."""

    def __init__(self, config: OnlineRFTConfig) -> None:
        self.config = config

    @property
    def plan(self) -> Plan:
        share = self.config.offline_share
        return Plan(
            source=Source.MIXED_POLICY if share else Source.CURRENT_POLICY,
            group_size=self.config.group_size,
            reference=self.config.kl_coefficient > 0,
            offline_share=share,
            epochs=self.config.epochs,
            uses_ratios=False,
        )

    @property
    def conventions(self) -> Mapping[str, str]:
        beta, limit = self.config.kl_coefficient, self.config.accept_above
        accepted = "correct" if limit is None else f"rewarded above {limit:g}"
        return {
            "advantage": f"1 if {accepted}, else left out (eq. 10)",
            "loss": "-log pi",
            "kl": f"k3 in the loss, beta {beta:g}" if beta else "none",
        }

    def assign_credit(self, batch: TokenBatch) -> Credit:
        limit = self.config.accept_above
        return indicator(batch, batch.correct if limit is None else batch.rewards > limit)

    def token_losses(self, batch: TokenBatch, credit: Credit, outputs: Outputs) -> TokenLosses:
        losses = TokenLosses(policy=credit.advantages * negative_log_likelihood(outputs.logprobs))
        beta = self.config.kl_coefficient
        return add_kl(losses, batch, outputs, estimator=kl_k3, coefficient=beta)


def indicator(batch: TokenBatch, accepted: Tensor) -> Credit:
    """1 on every token of an accepted rollout (arXiv:2402.03300v3 eq. 10); the others are left out.

    They leave the denominator too; otherwise the step size would shrink with the pass rate.

    Args:
        batch: the rollouts.
        accepted: [N] bool.
    """
    return Credit(
        advantages=(batch.response_mask & accepted[:, None]).float(),
        keep=accepted & batch.response_mask.any(dim=1),
    )
