"""Rejection-sampling fine-tuning, offline and online (arXiv:2402.03300v3 appendix A.1.2, A.1.3).

The two differ only in who samples, so they are one class with two plans. Unlike the original RFT
(arXiv:2308.01825v2), equal equation lists are not merged; `deduplicate` merges equal texts.
"""

from collections.abc import Mapping

from algorithms.configs import OnlineRFTConfig, RFTConfig
from algorithms.losses import negative_log_likelihood
from bakeoff.batch import Credit, Outputs, TokenBatch, TokenLosses
from bakeoff.interfaces import Plan, PoolPlan, Source


class RFT:
    """Maximise the likelihood of the responses that the verifier calls correct."""

    def __init__(self, config: RFTConfig | OnlineRFTConfig) -> None:
        self.config = config

    @property
    def plan(self) -> Plan:
        match self.config:
            case RFTConfig() as config:
                return Plan(
                    source=Source.INITIAL_POLICY,
                    group_size=config.group_size,
                    pool=PoolPlan(
                        epochs=config.epochs,
                        deduplicate=config.deduplicate,
                        problems=config.pool_problems,
                    ),
                    uses_ratios=False,
                )
            case OnlineRFTConfig() as config:
                return Plan(
                    source=Source.CURRENT_POLICY,
                    group_size=config.group_size,
                    epochs=config.epochs,
                    uses_ratios=False,
                )

    @property
    def conventions(self) -> Mapping[str, str]:
        return {
            "advantage": "1 if correct, else left out (eq. 10)",
            "loss": "-log pi",
            "kl": "none",
        }

    def assign_credit(self, batch: TokenBatch) -> Credit:
        # Rejected rollouts leave the denominator too; otherwise the step size would shrink with
        # the pass rate.
        return Credit(
            advantages=(batch.response_mask & batch.correct[:, None]).float(), keep=batch.correct
        )

    def token_losses(self, batch: TokenBatch, credit: Credit, outputs: Outputs) -> TokenLosses:
        return TokenLosses(policy=credit.advantages * negative_log_likelihood(outputs.logprobs))
