"""How the forward passes that a backward pass follows are run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from torch import nn
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from bakeoff.config import TrainingConfig
from bakeoff.models.checkpointing import (
    Forwards,
    activation_checkpointing,
    compiled,
    decoder_layers,
    running,
)


class TrainingPasses:
    """Activation checkpointing and compiled layers, for training passes alone.

    Args:
        training: whether they are asked for.
        models: what is trained.

    Raises:
        ConfigError: they are, and a model has no decoder layers that transformers knows.
    """

    def __init__(self, training: TrainingConfig, models: Iterable[nn.Module | None]) -> None:
        self._checkpointing = training.activation_checkpointing
        self._compiled: dict[nn.Module, Forwards] = {}
        for model in models:
            if model is None:
                continue
            if training.compile_model:
                self._compiled[model] = compiled(model)
            elif training.activation_checkpointing:
                decoder_layers(model)  # refused now, not at the first update

    @contextmanager
    def of(self, model: nn.Module) -> Iterator[None]:
        """Around a forward pass of a trained model."""
        # While operations are watched, torch compiles nothing, and never again what it met then.
        forwards = {} if is_in_torch_dispatch_mode() else self._compiled.get(model, {})
        with running(forwards):
            if not self._checkpointing:
                yield
                return
            # Around the compiled layer, so that it is what runs again in the backward pass.
            with activation_checkpointing(model):
                yield
