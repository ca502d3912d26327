"""Sampling by all ranks together, each the problems of its share."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedModel

from bakeoff.config import SamplingConfig
from bakeoff.interfaces import NoiseAddress, Sampler
from bakeoff.ranks import Ranks
from bakeoff.types import Completion, Prompt


class SharedSampler:
    """The completions of one sampler, drawn by as many as there are ranks.

    Noise is a function of problem, sample and position, so who draws them changes nothing but the
    rounding of the logits.

    Args:
        sampler: this rank's own, with the same weights as everybody's.
        ranks: that call this one together.
    """

    def __init__(self, sampler: Sampler, ranks: Ranks) -> None:
        self._sampler = sampler
        self._ranks = ranks

    def publish(self, model: PreTrainedModel, *, version: int) -> None:
        """Every rank samples from its own `model` from now on."""
        self._sampler.publish(model, version=version)

    def sample(
        self,
        prompts: Sequence[Prompt],
        *,
        group_size: int,
        sampling: SamplingConfig,
        noise: NoiseAddress,
    ) -> list[list[Completion]]:
        """All completions on every rank; a meeting of all ranks."""
        own = self._sampler.sample(
            prompts[self._ranks.rank :: self._ranks.count],
            group_size=group_size,
            sampling=sampling,
            noise=noise,
        )
        groups: list[list[Completion]] = [[] for _ in prompts]
        for rank, drawn in enumerate(self._ranks.gather(own)):
            groups[rank :: self._ranks.count] = drawn
        return groups
