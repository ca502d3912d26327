"""The training engine of one process and one device."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bakeoff import checkpoint
from bakeoff.config import OptimizerConfig, TrainingConfig
from bakeoff.engine.roles import trained_parameters
from bakeoff.engine.scoring import Ask, CriticPass, PolicyPass
from bakeoff.engine.training import Schedule, Scorer, TrainingEngine, adamw, schedule_of
from bakeoff.interfaces import Plan, Sampler
from bakeoff.memory.components import Component
from bakeoff.models.loading import Policy
from bakeoff.models.lora import merged_copy
from bakeoff.records import read_json, write_json


class LocalEngine(TrainingEngine):
    """Policy, critic and frozen copies in this process, trained with AdamW."""

    def __init__(
        self,
        policy: Policy,
        plan: Plan,
        *,
        optimizer: OptimizerConfig,
        training: TrainingConfig,
        temperature: float,
        autocast_dtype: torch.dtype | None,
        init_seed: int,
    ) -> None:
        super().__init__(
            policy,
            plan,
            optimizer=optimizer,
            training=training,
            temperature=temperature,
            autocast_dtype=autocast_dtype,
            init_seed=init_seed,
        )
        parameters = trained_parameters(self.model, self._shared_head)
        self._optimizer = adamw([parameters], optimizer, learning_rate=optimizer.learning_rate)
        self._schedule = schedule_of(self._optimizer, optimizer)
        self._trained_policy = _LocalTrained(
            PolicyPass(
                self.model,
                self._shared_head,
                temperature=temperature,
                autocast_dtype=autocast_dtype,
                passes=self._passes,
            ),
            self._optimizer,
            schedule=self._schedule,
            max_grad_norm=optimizer.max_grad_norm,
        )
        self._trained_critic: _LocalTrained | None = None
        if self._critic is not None:
            self._trained_critic = _LocalTrained(
                CriticPass(self._critic, autocast_dtype=autocast_dtype, passes=self._passes),
                adamw(
                    [trained_parameters(self._critic)],
                    optimizer,
                    learning_rate=optimizer.critic_learning_rate or optimizer.learning_rate,
                ),
                schedule=None,
                max_grad_norm=optimizer.max_grad_norm,
            )

    @property
    def trained_policy(self) -> _LocalTrained:
        return self._trained_policy

    @property
    def trained_critic(self) -> _LocalTrained | None:
        return self._trained_critic

    def _frozen_scorer(self, model: nn.Module) -> Scorer:
        return PolicyPass(
            model,
            temperature=self._temperature,
            autocast_dtype=self._autocast_dtype,
        )

    def refresh_reference(self) -> None:
        self._roles.refresh_reference()

    def frozen_checksums(self) -> dict[str, int]:
        return self._roles.frozen_checksums()

    def memory_owners(self) -> Mapping[Component, list[Tensor]]:
        return self._roles.memory_owners(self._optimizers().values())

    def publish_policy(self, sampler: Sampler) -> None:
        # Nobody reads gradients between two batches, and the sampler has use for the room.
        self._free_gradients()
        sampler.publish(self.model, version=self._version)

    def save(self, directory: Path) -> None:
        shared = self._roles.base
        for name, module in self._roles.modules().items():
            checkpoint.save_module(directory / f"{name}.safetensors", module, shared=shared)
        for name, optimizer in self._optimizers().items():
            checkpoint.save_optimizer(directory / name, optimizer)
        write_json(
            directory / "engine.json",
            {"version": self._version, "schedule": self._schedule.state_dict()},
        )

    def load(self, directory: Path) -> None:
        shared = self._roles.base
        for name, module in self._roles.modules().items():
            checkpoint.load_module(directory / f"{name}.safetensors", module, shared=shared)
        state = read_json(directory / "engine.json")
        self._version = state["version"]
        self._schedule.load_state_dict(state["schedule"])
        for name, optimizer in self._optimizers().items():
            checkpoint.load_optimizer(directory / name, optimizer)

    def save_policy(self, directory: Path) -> None:
        plain = self.model if self._roles.base is None else merged_copy(self.model)
        plain.save_pretrained(directory)
        self._policy.tokenizer.save_pretrained(directory)

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        optimizers: dict[str, torch.optim.Optimizer] = {"policy_optimizer": self._optimizer}
        if self._trained_critic is not None:
            optimizers["critic_optimizer"] = self._trained_critic.optimizer
        return optimizers


class _LocalTrained:
    """A module and its optimizer."""

    def __init__(
        self,
        score: Callable[..., Any],
        optimizer: torch.optim.AdamW,
        *,
        schedule: Schedule | None,
        max_grad_norm: float,
    ) -> None:
        self.score = score
        self.optimizer = optimizer
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._schedule = schedule
        self._max_grad_norm = max_grad_norm

    def __call__(self, batch: Any, ask: Ask, /) -> Any:
        return self.score(batch, ask)

    def backward(self, loss: Tensor, *, last: bool) -> None:
        loss.backward()  # type: ignore[no-untyped-call]

    def step(self, *, idle_trunk: bool) -> float:
        # What had no gradient has None, which neither the norm nor the optimizer looks at.
        norm = nn.utils.clip_grad_norm_(self._parameters, self._max_grad_norm).item()
        self.optimizer.step()
        if self._schedule is not None:
            self._schedule.step()
        return norm

    def weights_norm(self) -> float:
        return nn.utils.get_total_norm(self._parameters).item()

    def free_gradients(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
