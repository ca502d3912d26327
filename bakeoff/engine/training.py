"""What every training engine does alike: passes over micro-batches, losses, statistics."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from transformers import get_constant_schedule_with_warmup, get_linear_schedule_with_warmup

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
from bakeoff.engine.roles import Roles, cast_roles
from bakeoff.engine.scoring import Ask
from bakeoff.engine.statistics import UpdateStatistics
from bakeoff.interfaces import Plan, TokenLossFunction, UpdateResult
from bakeoff.micro_batches import micro_batches
from bakeoff.models.attention import shares_prompts
from bakeoff.models.loading import Policy
from bakeoff.ranks import Ranks

Schedule = torch.optim.lr_scheduler.LambdaLR
Scorer = Callable[[TokenBatch, Ask], tuple[Tensor | None, Tensor | None, Tensor | None]]


class Trained(Protocol):
    """A model with its optimizer: what gets gradients and takes steps."""

    def backward(self, loss: Tensor, *, last: bool) -> None:
        """Adds the gradients of a micro-batch; `last` is the step's last one."""
        ...

    def step(self, *, idle_trunk: bool) -> float:
        """Clips, steps and returns the gradient's norm from before it was clipped.

        An `idle_trunk` has had no gradient: only the value head on it steps.
        """
        ...

    def weights_norm(self) -> float:
        """Of all that is trained."""
        ...

    def free_gradients(self) -> None:
        """Gives the gradients' memory back."""
        ...


class TrainedPolicy(Trained, Protocol):
    """The policy, with the value head on its trunk where there is one."""

    def __call__(
        self, batch: TokenBatch, ask: Ask, /
    ) -> tuple[Tensor | None, Tensor | None, Tensor | None]: ...


class TrainedCritic(Trained, Protocol):
    """A critic with a trunk of its own."""

    def __call__(self, batch: TokenBatch, ask: Ask, /) -> Tensor: ...


class TrainingEngine(ABC):
    """Updates and measurements on models that a concrete engine holds and steps.

    Every rank is given the same batch and returns the same numbers; micro-batches are shared out.
    """

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
        ranks: Ranks | None = None,
    ) -> None:
        self._policy = policy
        self._plan = plan
        self._optimizer_config = optimizer
        self._training = training
        self._temperature = temperature
        self._autocast_dtype = autocast_dtype
        self._ranks = ranks or Ranks()
        self._device = policy.model.device
        self._version = 0
        self._roles: Roles = cast_roles(policy.model, plan, training, seed=init_seed)
        self.model = self._roles.policy
        self._critic, self._shared_head = self._roles.critic, self._roles.value_head
        self._reference, self._start = self._roles.reference, self._roles.start
        self._passes = TrainingPasses(training, [self.model, self._critic])

    @property
    @abstractmethod
    def trained_policy(self) -> TrainedPolicy:
        """What learns the policy loss."""

    @property
    @abstractmethod
    def trained_critic(self) -> TrainedCritic | None:
        """What learns the value loss, where it has a trunk of its own."""

    @abstractmethod
    def _frozen_scorer(self, model: nn.Module) -> Scorer:
        """The passes of the reference or of the start."""

    @property
    def version(self) -> int:
        """Optimizer steps the policy has taken."""
        return self._version

    def annotate(self, batch: TokenBatch) -> TokenBatch:
        if self._plan.needs_old_logprobs:
            batch = replace(batch, old_logprobs=self.policy_logprobs(batch))
        if self._plan.reference:
            reference = present(self._reference, "reference")
            batch = replace(batch, ref_logprobs=self._frozen_logprobs(reference, batch))
        if self._plan.critic is not None:
            batch = replace(batch, old_values=self._by_rows(batch, self._values))
        return batch

    def measure(self, batch: TokenBatch) -> TokenBatch:
        if self._start is None:
            return batch
        if batch.ref_logprobs is not None and self._start is self._reference:
            return replace(batch, start_logprobs=batch.ref_logprobs)
        return replace(batch, start_logprobs=self._frozen_logprobs(self._start, batch))

    def policy_logprobs(self, batch: TokenBatch) -> Tensor:
        policy = self.trained_policy
        return self._by_rows(
            batch, lambda part: present(policy(part, Ask.LOGPROBS)[0], "log-probabilities")
        )

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
        cuts = self._cuts(batch, rows)
        for turn, (cut, counts) in enumerate(cuts, 1):
            part = to_device(trim(take(batch, cut)), self._device)
            part_weights = weights[cut, : part.response_mask.shape[1]].to(self._device)
            self._accumulate(
                _MicroBatch(
                    batch=part,
                    credit=narrow(take(credit, cut), part),
                    weights=part_weights if counts else torch.zeros_like(part_weights),
                    critic_only=critic_only,
                    last=turn == len(cuts),
                ),
                token_losses,
                statistics if counts else None,
            )
        statistics = statistics.over(self._ranks)
        self._step(critic_only, statistics)
        self._count_step(critic_only)
        return statistics.result()

    def _accumulate(
        self,
        micro: _MicroBatch,
        token_losses: TokenLossFunction,
        statistics: UpdateStatistics | None,
    ) -> None:
        """Adds one micro-batch to the gradients; without `statistics` it counts nowhere."""
        batch, weights = micro.batch, micro.weights
        ask = Ask.WARM_UP if micro.critic_only else Ask.TRAINING
        logprobs, entropy, values = self.trained_policy(batch, ask)
        logprobs = present(logprobs, "log-probabilities")
        if batch.old_logprobs is None:
            # One update per rollout batch: pi_old is pi_theta, and its forward pass is this one.
            batch = replace(batch, old_logprobs=logprobs.detach())
        critic = self.trained_critic
        if critic is not None:
            # Stand-ins, of which no policy loss depends: the critic's pass waits until the
            # policy's activations are gone.
            values = batch.old_values
        losses = token_losses(batch, micro.credit, Outputs(logprobs=logprobs, values=values))
        policy_loss = (losses.policy * weights).sum()
        scalar = torch.zeros((), device=self._device)
        if not micro.critic_only:
            scalar = scalar + policy_loss
        critic_loss = None
        if self._shared_head is not None:
            critic_loss = (present(losses.critic, "critic loss") * weights).sum()
            scalar = scalar + present(self._plan.critic, "critic").loss_coefficient * critic_loss
        self._backward(self.trained_policy, scalar, last=micro.last)
        del scalar, values
        logprobs, policy_loss = logprobs.detach(), policy_loss.detach()
        if critic is not None:
            values = critic(batch, ask)
            losses = token_losses(batch, micro.credit, Outputs(logprobs=logprobs, values=values))
            critic_loss = (present(losses.critic, "critic loss") * weights).sum()
            self._backward(critic, critic_loss, last=micro.last)
        if statistics is not None:
            statistics.add(
                batch,
                losses,
                logprobs=logprobs,
                entropy=present(entropy, "entropy"),
                weights=weights,
                policy_loss=policy_loss,
                critic_loss=None if critic_loss is None else critic_loss.detach(),
            )

    def _backward(self, trained: Trained, loss: Tensor, *, last: bool) -> None:
        require_finite(loss.item(), "the loss", step=self._version)
        if loss.requires_grad:
            trained.backward(loss, last=last)

    def _step(self, critic_only: bool, statistics: UpdateStatistics) -> None:
        if not critic_only or self._shared_head is not None:
            statistics.grad_norm = self._stepped(
                self.trained_policy, "policy", idle_trunk=critic_only
            )
        if self.trained_critic is not None:
            statistics.critic_grad_norm = self._stepped(self.trained_critic, "critic")

    def _stepped(self, trained: Trained, name: str, *, idle_trunk: bool = False) -> float:
        """The gradient's norm before it was clipped."""
        norm = trained.step(idle_trunk=idle_trunk)
        require_finite(norm, f"the gradient norm of the {name}", step=self._version)
        weights = trained.weights_norm()
        require_finite(weights, f"the norm of the {name}'s weights", step=self._version)
        return norm

    def _free_gradients(self) -> None:
        for trained in (self.trained_policy, self.trained_critic):
            if trained is not None:
                trained.free_gradients()

    def _count_step(self, critic_only: bool) -> None:
        if not critic_only:
            self._version += 1

    def _cuts(self, batch: TokenBatch, rows: Tensor) -> list[tuple[Tensor, bool]]:
        """The rank's micro-batches of `rows`, and whether each counts."""
        cuts = micro_batches(
            batch,
            max_tokens=self._training.micro_batch_tokens,
            rows=rows,
            shared_prompts=shares_prompts(self.model),
            ranks=self._ranks.count,
        )
        return self._ranks.deal(list(cuts))

    @torch.no_grad()
    def _by_rows(self, batch: TokenBatch, function: Callable[[TokenBatch], Tensor]) -> Tensor:
        """[N, T, ...] of a per-row function, in micro-batches, on the CPU."""
        result: Tensor | None = None
        for cut, counts in self._cuts(batch, torch.arange(len(batch.groups))):
            part = function(to_device(trim(take(batch, cut)), self._device)).cpu()
            if result is None:
                result = torch.zeros(*batch.response_mask.shape, *part.shape[2:])
            if counts:
                result[cut, : part.shape[1]] = part
        return self._ranks.sum(present(result, "rows"))

    def _frozen_logprobs(self, model: nn.Module, batch: TokenBatch) -> Tensor:
        score = self._frozen_scorer(model)
        return self._by_rows(
            batch, lambda part: present(score(part, Ask.LOGPROBS)[0], "log-probabilities")
        )

    def _values(self, batch: TokenBatch) -> Tensor:
        if self.trained_critic is not None:
            return self.trained_critic(batch, Ask.VALUES)
        return present(self.trained_policy(batch, Ask.VALUES)[2], "values")

    def cut_reward_model(self, model: nn.Module) -> bool:
        return False

    @abstractmethod
    def save(self, directory: Path) -> None:
        """Write every weight, optimizer state and schedule, as safetensors and JSON."""

    @abstractmethod
    def load(self, directory: Path) -> None:
        """Continue bitwise from what `save` wrote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _MicroBatch:
    """What one pass is about."""

    batch: TokenBatch
    credit: Credit
    weights: Tensor  # [N, T]
    critic_only: bool
    last: bool  # of the optimizer step


def adamw(
    groups: Iterable[list[nn.Parameter]],
    config: OptimizerConfig,
    *,
    learning_rate: float,
) -> torch.optim.AdamW:
    """The optimizer of every engine."""
    return torch.optim.AdamW(
        [{"params": group} for group in groups],
        lr=learning_rate,
        betas=(config.adam_beta1, config.adam_beta2),
        eps=config.adam_epsilon,
        weight_decay=config.weight_decay,
        fused=True,
    )


def schedule_of(optimizer: torch.optim.Optimizer, config: OptimizerConfig) -> Schedule:
    """The learning rate of the policy over its steps."""
    schedule: Schedule
    if config.learning_rate_decay_steps is None:
        schedule = get_constant_schedule_with_warmup(optimizer, config.learning_rate_warmup_steps)
    else:
        schedule = get_linear_schedule_with_warmup(
            optimizer, config.learning_rate_warmup_steps, config.learning_rate_decay_steps
        )
    return schedule
