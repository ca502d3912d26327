"""Whose tensors are whose, as memory is attributed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from torch import Tensor, nn
from torch.optim import Optimizer

from bakeoff.memory.components import Component

# Asked anew whenever tracking begins: gradients and optimizer states come and go.
Owners = Callable[[], Mapping[Component, Iterable[Tensor]]]


def weight_tensors(*modules: nn.Module | None) -> list[Tensor]:
    """Parameters and buffers of the modules that there are."""
    present = [module for module in modules if module is not None]
    return [tensor for module in present for tensor in (*module.parameters(), *module.buffers())]


def gradient_tensors(*modules: nn.Module | None) -> list[Tensor]:
    """The gradients that exist now."""
    return [
        tensor.grad
        for tensor in weight_tensors(*modules)
        if tensor.is_leaf and tensor.grad is not None
    ]


def optimizer_tensors(
    optimizers: Iterable[Optimizer | None], *modules: nn.Module | None
) -> list[Tensor]:
    """What optimizers keep for the parameters of the modules."""
    return [
        value
        for optimizer in optimizers
        if optimizer is not None
        for tensor in weight_tensors(*modules)
        for value in optimizer.state.get(tensor, {}).values()
        if isinstance(value, Tensor)
    ]
