"""What learns inside a DeepSpeed engine: its passes, its steps and its optimizer's state."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from bakeoff.batch import TokenBatch, present
from bakeoff.engine.scoring import Ask
from bakeoff.engine.shards import MasterShards, weights_norm
from bakeoff.engine.training import Schedule
from bakeoff.memory.attribution import claim
from bakeoff.memory.components import Component
from bakeoff.ranks import Ranks

_BY_GROUP = ("base_lrs", "_last_lr", "lr_lambdas")


class DeepSpeedTrained:
    """A module with its optimizer, as `bakeoff.engine.training` asks for.

    Args:
        engine: what `deepspeed.initialize` has made of the module.
        optimizer: what it was given.
        parameters: that are trained, in the order of their numbers in a checkpoint.
        schedule: of the learning rate; None where it stays.
        max_grad_norm: to which gradients are clipped.
        gradients: what their memory is called.
        ranks: that train together.
    """

    def __init__(
        self,
        engine: Any,
        optimizer: torch.optim.AdamW,
        parameters: list[nn.Parameter],
        *,
        schedule: Schedule | None,
        max_grad_norm: float,
        gradients: Component,
        ranks: Ranks,
    ) -> None:
        self._engine = engine
        self._gradients = gradients
        self._optimizer = optimizer
        self.parameters = parameters
        self.shards = MasterShards(engine, optimizer, ranks)
        self._schedule = schedule
        self._max_grad_norm = max_grad_norm
        self._ranks = ranks
        self._stage = int(engine.zero_optimization_stage())
        self._trunk = optimizer.param_groups[0]
        self._idle_trunk = False
        optimizer.register_step_pre_hook(self._leave_out_what_is_idle)

    def __call__(self, batch: TokenBatch, ask: Ask, /) -> Any:
        return self._engine(batch, ask)

    def backward(self, loss: Tensor, *, last: bool) -> None:
        self._engine.set_gradient_accumulation_boundary(last)
        # DeepSpeed averages gradients over ranks; the loss weights already sum to 1 over all of
        # them, so undo it.
        self._engine.backward(loss * self._ranks.count, scale_wrt_gas=False)
        claim(self._gradients, self.shards.gradients(self.parameters))

    def step(self, *, idle_trunk: bool) -> float:
        self._idle_trunk = idle_trunk
        norm = 0.0
        if self._stage == 0:
            norm = nn.utils.clip_grad_norm_(self.parameters, self._max_grad_norm).item()
        self._engine.step()
        if self._stage:
            norm = float(self._engine.get_global_grad_norm())
            if getattr(self._engine.optimizer, "overflow", False):
                norm = math.nan  # the step was skipped
        if self._schedule is not None:
            self._schedule.step()
        return norm

    def weights_norm(self) -> float:
        return weights_norm(self.parameters, self._ranks)

    def free_gradients(self) -> None:
        (self._engine.optimizer if self._stage else self._engine).zero_grad()

    def settings_record(self) -> dict[str, Any]:
        """The optimizer's settings as the local engine writes them."""
        settings = {name: value for name, value in self._trunk.items() if name != "params"}
        return {"param_groups": [settings | {"params": list(range(len(self.parameters)))}]}

    def load_settings(self, settings: Mapping[str, Any]) -> None:
        for group in self._optimizer.param_groups:
            group.update({name: v for name, v in settings.items() if name != "params"})

    def schedule_state(self) -> dict[str, Any]:
        state: dict[str, Any] = present(self._schedule, "schedule").state_dict()
        # One learning rate a group here, one for all in a record.
        return state | {name: state[name][:1] for name in _BY_GROUP}

    def load_schedule(self, state: Mapping[str, Any]) -> None:
        groups = len(self._optimizer.param_groups)
        own = dict(state) | {name: list(state[name]) * groups for name in _BY_GROUP}
        present(self._schedule, "schedule").load_state_dict(own)

    def _leave_out_what_is_idle(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        # DeepSpeed makes a gradient of zeros where there was none, and a step on that would count.
        for group in optimizer.param_groups:
            if self._idle_trunk and group is self._trunk:
                for parameter in group["params"]:
                    parameter.grad = None
