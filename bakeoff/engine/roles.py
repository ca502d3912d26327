"""The models of a run by their roles: what trains, what is frozen, and what they share."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from transformers import PreTrainedModel

from bakeoff.batch import present
from bakeoff.checkpoint import own_tensors
from bakeoff.checksums import weights_checksum
from bakeoff.config import TrainingConfig
from bakeoff.interfaces import CriticPlan, Plan
from bakeoff.memory.components import Component
from bakeoff.memory.owners import gradient_tensors, optimizer_tensors, weight_tensors
from bakeoff.models.critic import Critic, ValueHead, hidden_size
from bakeoff.models.lora import add_adapter, sharing_copy
from bakeoff.seeds import generator


@dataclass(frozen=True, slots=True, kw_only=True)
class Roles:
    """The policy and the models beside it.

    With LoRA they share the weights that the run starts from, `base`, and differ in adapters; a
    role without adapters is the base itself.
    """

    policy: PreTrainedModel
    base: PreTrainedModel | None  # None: full training, every role has weights of its own
    critic: Critic | None
    value_head: ValueHead | None  # on the policy's trunk
    reference: PreTrainedModel | None
    start: PreTrainedModel | None  # the reference itself, unless that moves

    def modules(self) -> dict[str, nn.Module]:
        """What a checkpoint holds, by name: all but what is only another name."""
        modules = {
            "policy": self.policy,
            "critic": self.critic,
            "value_head": self.value_head,
            "reference": self.reference,
            "start": None if self.start is self.reference else self.start,
        }
        return {
            name: module
            for name, module in modules.items()
            if module is not None and module is not self.base
        }

    def frozen(self) -> dict[str, nn.Module]:
        """What only `refresh_reference` may change, by name."""
        frozen = {n: m for n, m in self.modules().items() if n in ("reference", "start")}
        return frozen if self.base is None else frozen | {"base": self.base}

    def frozen_checksums(self) -> dict[str, int]:
        """A checksum of every frozen model by its name."""
        return {name: weights_checksum(module) for name, module in self.frozen().items()}

    @torch.no_grad()
    def refresh_reference(self) -> None:
        """pi_ref := pi_theta (arXiv:2402.03300v3 Algorithm 1, line 3)."""
        live = own_tensors(self.policy, shared=self.base)
        reference = own_tensors(present(self.reference, "reference"), shared=self.base)
        for name, tensor in reference.items():
            tensor.copy_(live[name])

    def memory_owners(self, optimizers: Iterable[Optimizer]) -> Mapping[Component, list[Tensor]]:
        """The tensors held now, by what they are for; what roles share is the policy's."""
        optimizers = list(optimizers)
        critic, policy = (self.critic, self.value_head), weight_tensors(self.policy)
        seen = {id(tensor) for tensor in policy}

        def own(*modules: nn.Module | None) -> list[Tensor]:
            return [tensor for tensor in weight_tensors(*modules) if id(tensor) not in seen]

        return {
            Component.POLICY_WEIGHTS: policy,
            Component.POLICY_GRADIENTS: gradient_tensors(self.policy),
            Component.POLICY_OPTIMIZER: optimizer_tensors(optimizers, self.policy),
            Component.CRITIC_WEIGHTS: own(*critic),
            Component.CRITIC_GRADIENTS: gradient_tensors(*critic),
            Component.CRITIC_OPTIMIZER: optimizer_tensors(optimizers, *critic),
            Component.REFERENCE: own(*dict.fromkeys((self.reference, self.start))),
        }


def cast_roles(
    policy: PreTrainedModel, plan: Plan, training: TrainingConfig, *, seed: int
) -> Roles:
    """The models that a plan asks for, as they are at the start; `policy` becomes the policy.

    Args:
        policy: the model that the run starts from; with LoRA it gets its adapters here.
        plan: the method's.
        training: whether LoRA trains, and whether the KL to the start is measured.
        seed: of fresh weights.

    Raises:
        ConfigError: LoRA cannot be had.
    """
    base = sharing_copy(policy) if training.lora_rank else None
    moving = plan.iteration is not None and plan.iteration.reset_reference
    reference = _frozen(policy, base) if plan.reference or training.measure_kl else None
    # A reference that never moves is the start: one serves as both.
    start = reference
    if moving:
        start = _frozen(policy, base) if training.measure_kl else None
        if base is not None and reference is not None:
            reference = _adapted(base, training, seed=seed).requires_grad_(False)
    critic, value_head = _critic(policy, base, plan.critic, training, seed=seed)
    if base is not None:
        _add_adapter(policy, training, seed=seed)
    return Roles(
        policy=policy,
        base=base,
        critic=critic,
        value_head=value_head,
        reference=reference,
        start=start,
    )


def trained_parameters(*modules: nn.Module | None) -> list[nn.Parameter]:
    """The parameters of the modules that there are, without frozen ones."""
    present_ones = chain.from_iterable(m.parameters() for m in modules if m is not None)
    return [parameter for parameter in present_ones if parameter.requires_grad]


def _frozen(policy: PreTrainedModel, base: PreTrainedModel | None) -> PreTrainedModel:
    if base is not None:
        return base
    frozen: PreTrainedModel = copy.deepcopy(policy)
    return frozen.requires_grad_(False).eval()


def _critic(
    policy: PreTrainedModel,
    base: PreTrainedModel | None,
    plan: CriticPlan | None,
    training: TrainingConfig,
    *,
    seed: int,
) -> tuple[Critic | None, ValueHead | None]:
    """A separate critic, or a head on the policy's trunk, or neither."""
    if plan is None:
        return None, None
    if plan.shared_trunk:
        head = ValueHead(hidden_size(policy), plan.head_init, seed=seed)
        return None, head.to(policy.device)
    if base is None:
        trunk = copy.deepcopy(policy)
    else:
        # Not the policy's draw: equal adapters would first learn in the same directions.
        own_seed = int(generator(seed, "critic adapter").integers(2**63))
        trunk = _adapted(base, training, seed=own_seed)
    return Critic(trunk, plan.head_init, seed=seed).to(policy.device), None


def _adapted(base: PreTrainedModel, training: TrainingConfig, *, seed: int) -> PreTrainedModel:
    model = sharing_copy(base)
    _add_adapter(model, training, seed=seed)
    return model


def _add_adapter(model: PreTrainedModel, training: TrainingConfig, *, seed: int) -> None:
    rank, alpha = training.lora_rank, training.lora_alpha
    add_adapter(model, rank=rank, alpha=2.0 * rank if alpha is None else alpha, seed=seed)
