"""Decoder layers run another way for a while: their activations computed twice, or compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer

from bakeoff.errors import ConfigError

Forwards = Mapping[nn.Module, Callable[..., Any]]


@contextmanager
def activation_checkpointing(model: nn.Module) -> Iterator[None]:
    """Inside, a decoder layer keeps only its input, and computes the rest again when it is needed.

    `transformers` would do so in training mode alone, which brings dropout, and for as long as it
    is not switched off, which takes the sampler's cache away.
    """
    # No layer draws random numbers in evaluation mode, so there is no state of theirs to keep.
    twice = partial(partial, checkpoint, use_reentrant=False, preserve_rng_state=False)
    with running({layer: twice(layer.forward) for layer in decoder_layers(model)}):
        yield


def compiled(model: nn.Module) -> Forwards:
    """The forward passes of the decoder layers, compiled at their first call, for `running`.

    Layer by layer, because equal layers then share what is compiled. Lengths are dynamic.
    """
    return {layer: torch.compile(layer.forward, dynamic=True) for layer in decoder_layers(model)}


@contextmanager
def running(forwards: Forwards) -> Iterator[None]:
    """Inside, modules have these forward passes; whoever else uses the modules never meets them."""
    before = {layer: vars(layer).get("forward") for layer in forwards}
    for layer, forward in forwards.items():
        layer.forward = forward
    try:
        yield
    finally:
        for layer, own in before.items():
            if own is None:
                del layer.forward
            else:
                layer.forward = own


def decoder_layers(model: nn.Module) -> list[nn.Module]:
    """The layers that `transformers` itself would checkpoint.

    Raises:
        ConfigError: there are none.
    """
    layers: list[nn.Module] = [
        m for m in model.modules() if isinstance(m, GradientCheckpointingLayer)
    ]
    if not layers:
        raise ConfigError(
            f"transformers names no decoder layers of {type(model).__name__}: leave "
            "activation_checkpointing and compile_model off"
        )
    return layers
