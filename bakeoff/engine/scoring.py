"""The forward passes of the models in their roles, each as one module that an engine can wrap."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from bakeoff.batch import TokenBatch, present
from bakeoff.engine.passes import TrainingPasses
from bakeoff.logprobs import on_response, response_hidden, response_logprobs
from bakeoff.models.critic import Critic, ValueHead


class Ask(Enum):
    """What a pass is for."""

    LOGPROBS = "logprobs"
    VALUES = "values"
    TRAINING = "training"  # everything, with gradient
    WARM_UP = "warm_up"  # everything, with gradient of the value head alone


class PolicyPass(nn.Module):
    """Log-probabilities, entropies and values of a policy or of a frozen copy of one.

    Args:
        model: the policy.
        value_head: on its trunk, where the method shares it.
        temperature: of the sampling.
        autocast_dtype: of the trunk's pass; None is float32.
        passes: how a pass runs that a backward pass follows; None: of a frozen copy.
        caches_casts: whether a weight is cast once a pass, and kept until it ends.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        value_head: ValueHead | None = None,
        *,
        temperature: float,
        autocast_dtype: torch.dtype | None,
        passes: TrainingPasses | None = None,
        caches_casts: bool = True,
    ) -> None:
        super().__init__()
        self.model = model
        self.value_head = value_head
        self.temperature = temperature
        self._autocast: dict[str, Any] = {
            "dtype": autocast_dtype,
            "enabled": autocast_dtype is not None,
            "cache_enabled": caches_casts,
        }
        self._passes = passes

    def forward(
        self, batch: TokenBatch, ask: Ask
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """[N, T] each, or None where it was not asked for; entropies carry no gradient."""
        learns = torch.is_grad_enabled() and ask is not Ask.WARM_UP
        with (
            torch.set_grad_enabled(learns),
            torch.autocast(batch.input_ids.device.type, **self._autocast),
            _in_training(self._passes, self.model, ask),
        ):
            hidden = response_hidden(self.model, batch)
        logprobs = entropy = values = None
        if ask is not Ask.VALUES:
            with torch.set_grad_enabled(learns):
                logprobs, entropy = response_logprobs(
                    self.model, batch, hidden, temperature=self.temperature
                )
        if self.value_head is not None and ask is not Ask.LOGPROBS:
            values = on_response(self.value_head(hidden), batch.response_mask)
        return logprobs, entropy, values


class CriticPass(nn.Module):
    """Values of a critic with a trunk of its own; arguments as of `PolicyPass`."""

    def __init__(
        self,
        critic: Critic,
        *,
        autocast_dtype: torch.dtype | None,
        passes: TrainingPasses,
        caches_casts: bool = True,
    ) -> None:
        super().__init__()
        self.critic = critic
        self._autocast: dict[str, Any] = {
            "dtype": autocast_dtype,
            "enabled": autocast_dtype is not None,
            "cache_enabled": caches_casts,
        }
        self._passes = passes

    def forward(self, batch: TokenBatch, ask: Ask) -> Tensor:
        """[N, T]."""
        with (
            torch.autocast(batch.input_ids.device.type, **self._autocast),
            _in_training(self._passes, self.critic, ask),
        ):
            values: Tensor = self.critic(batch)
        return values


def _in_training(
    passes: TrainingPasses | None, model: nn.Module, ask: Ask
) -> AbstractContextManager[object]:
    if ask in (Ask.TRAINING, Ask.WARM_UP):
        return present(passes, "training passes").of(model)
    return nullcontext()
