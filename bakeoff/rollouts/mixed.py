"""Batches between offline and online data: the initial policy writes a share of them."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import replace

import torch
from transformers import PreTrainedModel

from bakeoff.config import SamplingConfig
from bakeoff.interfaces import NoiseAddress, Sampler
from bakeoff.models.loading import Policy
from bakeoff.ranks import Ranks
from bakeoff.rollouts.sampler import TransformersSampler
from bakeoff.rollouts.shared import SharedSampler
from bakeoff.seeds import generator
from bakeoff.types import Completion, Prompt


class MixedSampler:
    """Gives the first problems of a batch to the initial policy and the others to the current one.

    Each problem's group is what its policy's sampler alone would draw at the same noise address.
    A batch's problems come in a shuffled order, so which of them are first is chance already.

    Args:
        policy: the initial policy, copied as it is at this moment: training changes it in place,
            and so does loading a checkpoint.
        current: the sampler of the current policy.
        share: of a batch's problems for the initial policy. What is not a whole number of
            problems is rounded up or down by chance, so that it holds on average over batches.
        autocast_dtype: of the initial policy's forward passes.
        ranks: that share the initial policy's problems, as they do those of `current`.
    """

    def __init__(
        self,
        policy: Policy,
        current: Sampler,
        *,
        share: float,
        autocast_dtype: torch.dtype | None,
        ranks: Ranks | None = None,
    ) -> None:
        self.initial: PreTrainedModel = copy.deepcopy(policy.model)
        self.initial.requires_grad_(False)
        self._initial = SharedSampler(
            TransformersSampler(replace(policy, model=self.initial), autocast_dtype=autocast_dtype),
            ranks or Ranks(),
        )
        self._current = current
        self._share = share

    def publish(self, model: PreTrainedModel, *, version: int) -> None:
        """The current policy is `model` from now on; the initial one stays."""
        self._current.publish(model, version=version)

    def sample(
        self,
        prompts: Sequence[Prompt],
        *,
        group_size: int,
        sampling: SamplingConfig,
        noise: NoiseAddress,
    ) -> list[list[Completion]]:
        chance = generator(noise.seed, "offline share", noise.batch).random()
        offline = math.floor(self._share * len(prompts) + chance)
        return [
            group
            for sampler, part in (
                (self._initial, prompts[:offline]),
                (self._current, prompts[offline:]),
            )
            for group in sampler.sample(part, group_size=group_size, sampling=sampling, noise=noise)
        ]
