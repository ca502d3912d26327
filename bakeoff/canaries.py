"""Checks during a run that stop it when its numbers would not mean what they say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from bakeoff.errors import CanaryError
from bakeoff.ledger import Ledger
from bakeoff.types import Rollout

CALLS_BEFORE_JUDGING = 100  # a rate over fewer calls says little
# Mean |log-probability| difference between sampler and trainer, in nats, that rounding explains.
SAMPLER_GAP_CEILING = {None: 0.01, torch.bfloat16: 0.2}


class Canaries:
    """The checks of one run."""

    def __init__(
        self, *, autocast_dtype: torch.dtype | None, verifier_error_ceiling: float
    ) -> None:
        self._gap_ceiling = SAMPLER_GAP_CEILING[autocast_dtype]
        self._error_ceiling = verifier_error_ceiling

    def check_rewards(self, scored: Sequence[Rollout], ledger: Ledger) -> None:
        """Stops when the verifier fails too often, or no rollout of a batch could be scored."""
        calls, errors = ledger.verifier_calls, ledger.verifier_errors
        if calls >= CALLS_BEFORE_JUDGING and errors > self._error_ceiling * calls:
            raise CanaryError(
                f"the verifier failed on {errors} of {calls} responses; above "
                f"{self._error_ceiling:.0%} pass rates mean nothing"
            )
        if not scored:
            raise CanaryError("no rollout of this batch could be scored: every reward is None")

    def check_metrics(self, metrics: Mapping[str, float | int | None]) -> None:
        """Stops when sampler and trainer hold different policies."""
        gap = metrics["sampler_gap_mean"]
        if gap is not None and not gap <= self._gap_ceiling:
            raise CanaryError(
                f"sampler and trainer disagree by {gap:.3g} nats a token, more than rounding "
                f"({self._gap_ceiling:g}): the sampler holds other weights or another temperature"
            )
