"""Where the bytes of a run lie when several processes share them, in closed form.

ZeRO (arXiv:1910.02054v3 section 3, figure 1): stage 1 splits the optimizer's states over the
processes, stage 2 the gradients too, stage 3 the parameters too, frozen copies among them. What
lies where is as in `bakeoff.engine.deepspeed`: weights, gradients and both moments are float32,
from stage 1 on the optimizer has a float32 master too, and at stage 3 the sampler holds the policy
whole. Buffers for communication are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from bakeoff.errors import ConfigError
from bakeoff.memory.components import Component
from bakeoff.memory.moments import COMPONENTS, Moments

_OPTIMIZER = (Component.POLICY_OPTIMIZER, Component.CRITIC_OPTIMIZER)
_GRADIENTS = (Component.POLICY_GRADIENTS, Component.CRITIC_GRADIENTS)
_WEIGHTS = (Component.POLICY_WEIGHTS, Component.CRITIC_WEIGHTS, Component.REFERENCE)
# An optimizer's bytes from stage 1 on, in those of its two moments: a master is half as much.
_WITH_MASTERS = 1.5


class Offload(Enum):
    """What lies in the host's memory instead of the device's."""

    NONE = "none"
    OPTIMIZER = "optimizer"
    PARAMETERS = "parameters"
    BOTH = "both"

    @property
    def optimizer(self) -> bool:
        """Whether the optimizer's states do."""
        return self in (Offload.OPTIMIZER, Offload.BOTH)

    @property
    def parameters(self) -> bool:
        """Whether the weights do."""
        return self in (Offload.PARAMETERS, Offload.BOTH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """How many processes share a run, and what."""

    zero_stage: int = 0
    processes: int = 1
    offload: Offload = Offload.NONE

    def __post_init__(self) -> None:
        if not 0 <= self.zero_stage <= 3:
            raise ConfigError(f"zero_stage must be 0, 1, 2 or 3, got {self.zero_stage}")
        if self.processes < 1:
            raise ConfigError(f"processes must be at least 1, got {self.processes}")
        if self.offload.optimizer and self.zero_stage < 1:
            raise ConfigError(
                f"offload {self.offload.value} takes zero_stage 1 or more, got {self.zero_stage}"
            )
        if self.offload.parameters and self.zero_stage < 3:
            raise ConfigError(
                f"offload {self.offload.value} takes zero_stage 3, got {self.zero_stage}"
            )

    def share(self, which: Component) -> float:
        """Of a component, what one process holds, on its device or in the host's memory.

        In units of what the local engine holds; the sampler's policy is not in it.
        """
        if which in _OPTIMIZER and self.zero_stage >= 1:
            return _WITH_MASTERS / self.processes
        split = (which in _GRADIENTS and self.zero_stage >= 2) or (
            which in _WEIGHTS and self.zero_stage >= 3
        )
        return 1 / self.processes if split else 1.0

    def on_host(self, which: Component) -> bool:
        """Whether a component lies in the host's memory."""
        return (which in _OPTIMIZER and self.offload.optimizer) or (
            which in _WEIGHTS and self.offload.parameters
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """The highest moment of a phase, for one process."""

    device: dict[Component, int]
    host: dict[Component, int]

    @property
    def device_bytes(self) -> int:
        """Of all components on the device."""
        return sum(self.device.values())

    @property
    def host_bytes(self) -> int:
        """Of all components in the host's memory."""
        return sum(self.host.values())


def place(moments: Moments, placement: Placement, *, largest_layer_bytes: int) -> Placed:
    """The bytes of a phase on the device and in the host's memory, for one of the processes.

    A pass through a model whose weights lie elsewhere needs them a layer at a time: the largest
    layer, whole, is added to the policy's weights, or all that lies elsewhere if that is less; and
    at stage 3 the sampler's policy is.
    """
    device = np.array([_device_share(placement, which) for which in COMPONENTS])
    host = np.array([_host_share(placement, which) for which in COMPONENTS])
    here = moments.scaled(device)
    weights = [COMPONENTS.index(which) for which in _WEIGHTS]
    away = (moments.live - here.live)[:, weights].sum(axis=1)
    policy = COMPONENTS.index(Component.POLICY_WEIGHTS)
    here.live[:, policy] += away.clip(max=largest_layer_bytes)
    if placement.zero_stage == 3:
        here.live[:, policy] += moments.live[:, policy]
    return Placed(
        device=_by_component(here.highest()), host=_by_component(moments.scaled(host).highest())
    )


def _device_share(placement: Placement, which: Component) -> float:
    return 0.0 if placement.on_host(which) else placement.share(which)


def _host_share(placement: Placement, which: Component) -> float:
    return placement.share(which) if placement.on_host(which) else 0.0


def _by_component(bytes_of: NDArray[np.int64]) -> dict[Component, int]:
    return {which: int(n) for which, n in zip(COMPONENTS, bytes_of, strict=True) if n}
