"""The training engine of one process and one device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import get_constant_schedule_with_warmup, get_linear_schedule_with_warmup

from bakeoff import checkpoint
from bakeoff.batch import (
    Credit,
    Outputs,
    TokenBatch,
    narrow,
    present,
    take,
    to_device,
    trim,
)
from bakeoff.canaries import require_finite
from bakeoff.config import OptimizerConfig, TrainingConfig
from bakeoff.engine.passes import TrainingPasses
from bakeoff.engine.roles import cast_roles, trained_parameters
from bakeoff.engine.statistics import UpdateStatistics
from bakeoff.interfaces import Plan, Sampler, TokenLossFunction, UpdateResult
from bakeoff.logprobs import on_response, response_hidden, response_logprobs
from bakeoff.memory.components import Component
from bakeoff.micro_batches import micro_batches
from bakeoff.models.attention import shares_prompts
from bakeoff.models.loading import Policy
from bakeoff.models.lora import merged_copy
from bakeoff.records import read_json, write_json


class LocalEngine:
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
        self._policy = policy
        self._plan = plan
        self._optimizer_config = optimizer
        self._training = training
        self._temperature = temperature
        self._autocast_dtype = autocast_dtype
        self._device = policy.model.device
        self._version = 0
        self._roles = cast_roles(policy.model, plan, training, seed=init_seed)
        self.model = self._roles.policy
        self._critic, self._shared_head = self._roles.critic, self._roles.value_head
        self._reference, self._start = self._roles.reference, self._roles.start
        self._passes = TrainingPasses(training, [self.model, self._critic])
        self._policy_parameters = trained_parameters(self.model, self._shared_head)
        self._critic_parameters = trained_parameters(self._critic)
        self._optimizer = self._adamw(self._policy_parameters, optimizer.learning_rate)
        self._schedule = self._schedule_of(self._optimizer)
        self._critic_optimizer: torch.optim.AdamW | None = None
        if self._critic is not None:
            self._critic_optimizer = self._adamw(
                self._critic_parameters,
                optimizer.critic_learning_rate or optimizer.learning_rate,
            )

    @property
    def version(self) -> int:
        """Optimizer steps the policy has taken."""
        return self._version

    def annotate(self, batch: TokenBatch) -> TokenBatch:
        if self._plan.needs_old_logprobs:
            old = self._by_rows(batch, lambda part: self._logprobs(self.model, part)[0])
            batch = replace(batch, old_logprobs=old)
        if self._plan.reference:
            reference = present(self._reference, "reference")
            ref = self._by_rows(batch, lambda part: self._logprobs(reference, part)[0])
            batch = replace(batch, ref_logprobs=ref)
        if self._plan.critic is not None:
            batch = replace(batch, old_values=self._by_rows(batch, self._values))
        return batch

    def measure(self, batch: TokenBatch) -> TokenBatch:
        if self._start is None:
            return batch
        if batch.ref_logprobs is not None and self._start is self._reference:
            return replace(batch, start_logprobs=batch.ref_logprobs)
        start = self._start
        start_logprobs = self._by_rows(batch, lambda part: self._logprobs(start, part)[0])
        return replace(batch, start_logprobs=start_logprobs)

    def policy_logprobs(self, batch: TokenBatch) -> Tensor:
        return self._by_rows(batch, lambda part: self._logprobs(self.model, part)[0])

    def update(
        self,
        batch: TokenBatch,
        credit: Credit,
        weights: Tensor,
        token_losses: TokenLossFunction,
        *,
        critic_only: bool = False,
    ) -> UpdateResult:
        rows = weights.any(dim=1).nonzero().squeeze(1)
        statistics = UpdateStatistics(kept_rollouts=len(rows))
        if len(rows) == 0:
            # Nothing to learn from: Adam's momentum alone must not move the policy.
            self._count_step(critic_only)
            return statistics.result()
        self._free_gradients()
        for cut in self._cuts(batch, rows):
            part = to_device(trim(take(batch, cut)), self._device)
            part_credit = narrow(take(credit, cut), part)
            part_weights = weights[cut, : part.response_mask.shape[1]].to(self._device)
            self._accumulate(part, part_credit, part_weights, token_losses, critic_only, statistics)
        self._step(critic_only, statistics)
        self._count_step(critic_only)
        return statistics.result()

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

    def _accumulate(
        self,
        batch: TokenBatch,
        credit: Credit,
        weights: Tensor,
        token_losses: TokenLossFunction,
        critic_only: bool,
        statistics: UpdateStatistics,
    ) -> None:
        """Adds one micro-batch to the gradients."""
        with torch.set_grad_enabled(not critic_only), self._autocast(), self._passes.of(self.model):
            hidden = response_hidden(self.model, batch)
        with torch.set_grad_enabled(not critic_only):
            logprobs, entropy = response_logprobs(
                self.model, batch, hidden, temperature=self._temperature
            )
        if batch.old_logprobs is None:
            # One update per rollout batch: pi_old is pi_theta, and its forward pass is this one.
            batch = replace(batch, old_logprobs=logprobs.detach())
        values = None
        if self._shared_head is not None:
            values = on_response(self._shared_head(hidden), batch.response_mask)
        elif self._critic is not None:
            # Stand-ins, of which no policy loss depends: the critic's pass waits until the
            # policy's activations are gone.
            values = batch.old_values
        losses = token_losses(batch, credit, Outputs(logprobs=logprobs, values=values))
        policy_loss = (losses.policy * weights).sum()
        scalar = torch.zeros((), device=self._device)
        if not critic_only:
            scalar = scalar + policy_loss
        critic_loss = None
        if self._shared_head is not None:
            critic_loss = (present(losses.critic, "critic loss") * weights).sum()
            scalar = scalar + present(self._plan.critic, "critic").loss_coefficient * critic_loss
        self._backward(scalar)
        del hidden, scalar
        logprobs, policy_loss = logprobs.detach(), policy_loss.detach()
        if self._critic is not None:
            with self._autocast(), self._passes.of(self._critic):
                values = self._critic(batch)
            losses = token_losses(batch, credit, Outputs(logprobs=logprobs, values=values))
            critic_loss = (present(losses.critic, "critic loss") * weights).sum()
            self._backward(critic_loss)
        statistics.add(
            batch,
            losses,
            logprobs=logprobs,
            entropy=entropy,
            weights=weights,
            policy_loss=policy_loss,
            critic_loss=None if critic_loss is None else critic_loss.detach(),
        )

    def _backward(self, loss: Tensor) -> None:
        require_finite(loss.item(), "the loss", step=self._version)
        if loss.requires_grad:
            loss.backward()  # type: ignore[no-untyped-call]

    def _cuts(self, batch: TokenBatch, rows: Tensor) -> Iterator[Tensor]:
        return micro_batches(
            batch,
            max_tokens=self._training.micro_batch_tokens,
            rows=rows,
            shared_prompts=shares_prompts(self.model),
        )

    def _step(self, critic_only: bool, statistics: UpdateStatistics) -> None:
        if not critic_only or self._shared_head is not None:
            statistics.grad_norm = self._clipped_norm(self._policy_parameters, "policy")
            self._optimizer.step()
            self._schedule.step()
            self._require_finite_weights(self._policy_parameters, "policy")
        if self._critic is not None and self._critic_optimizer is not None:
            statistics.critic_grad_norm = self._clipped_norm(self._critic_parameters, "critic")
            self._critic_optimizer.step()
            self._require_finite_weights(self._critic_parameters, "critic")

    def _free_gradients(self) -> None:
        for optimizer in self._optimizers().values():
            optimizer.zero_grad(set_to_none=True)

    def _count_step(self, critic_only: bool) -> None:
        if not critic_only:
            self._version += 1

    def _clipped_norm(self, parameters: list[nn.Parameter], name: str) -> float:
        """The gradient's norm before it is clipped."""
        limit = self._optimizer_config.max_grad_norm
        norm = nn.utils.clip_grad_norm_(parameters, limit).item()
        require_finite(norm, f"the gradient norm of the {name}", step=self._version)
        return norm

    def _require_finite_weights(self, parameters: list[nn.Parameter], name: str) -> None:
        norm = nn.utils.get_total_norm(parameters).item()
        require_finite(norm, f"the norm of the {name}'s weights", step=self._version)

    @torch.no_grad()
    def _by_rows(self, batch: TokenBatch, function: Callable[[TokenBatch], Tensor]) -> Tensor:
        """[N, T, ...] of a per-row function, in micro-batches, on the CPU."""
        result: Tensor | None = None
        rows = torch.arange(len(batch.groups))
        for cut in self._cuts(batch, rows):
            part = function(to_device(trim(take(batch, cut)), self._device)).cpu()
            if result is None:
                result = torch.zeros(*batch.response_mask.shape, *part.shape[2:])
            result[cut, : part.shape[1]] = part
        return present(result, "rows")

    def _logprobs(self, model: nn.Module, batch: TokenBatch) -> tuple[Tensor, Tensor]:
        with self._autocast():
            hidden = response_hidden(model, batch)
        return response_logprobs(model, batch, hidden, temperature=self._temperature)

    def _values(self, batch: TokenBatch) -> Tensor:
        with self._autocast():
            if self._critic is not None:
                values: Tensor = self._critic(batch)
                return values
            head = present(self._shared_head, "value head")
            return on_response(head(response_hidden(self.model, batch)), batch.response_mask)

    def _adamw(self, parameters: list[nn.Parameter], learning_rate: float) -> torch.optim.AdamW:
        config = self._optimizer_config
        return torch.optim.AdamW(
            parameters,
            lr=learning_rate,
            betas=(config.adam_beta1, config.adam_beta2),
            eps=config.adam_epsilon,
            weight_decay=config.weight_decay,
            fused=True,
        )

    def _schedule_of(self, optimizer: torch.optim.AdamW) -> torch.optim.lr_scheduler.LambdaLR:
        config = self._optimizer_config
        schedule: torch.optim.lr_scheduler.LambdaLR
        if config.learning_rate_decay_steps is None:
            schedule = get_constant_schedule_with_warmup(
                optimizer, config.learning_rate_warmup_steps
            )
        else:
            schedule = get_linear_schedule_with_warmup(
                optimizer, config.learning_rate_warmup_steps, config.learning_rate_decay_steps
            )
        return schedule

    def _autocast(self) -> AbstractContextManager[object]:
        return torch.autocast(
            self._device.type, self._autocast_dtype, enabled=self._autocast_dtype is not None
        )

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        optimizers: dict[str, torch.optim.Optimizer] = {"policy_optimizer": self._optimizer}
        if self._critic_optimizer is not None:
            optimizers["critic_optimizer"] = self._critic_optimizer
        return optimizers
