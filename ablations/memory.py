"""What the models of a trial need at the least, before anything is allocated."""

from __future__ import annotations

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from bakeoff.interfaces import Plan, Source
from bakeoff.models.loading import model_config
from bakeoff.settings import method_config
from benchmarks.methods import build_method, method_defaults
from benchmarks.suite import Cell

MASTER_BYTES = 4  # float32 weights and gradients
ADAM_BYTES = 8  # two float32 moments


def model_bytes(cell: Cell) -> int:
    """Bytes of weights, gradients and optimizer states of policy, critic and frozen copies.

    A lower bound: reward models, activations, logits, caches and the interpreter come on top.
    """
    plan = build_method(method_config(cell.config, method_defaults(cell.method))).plan
    config = model_config(cell.config.model)
    with torch.device("meta"):
        policy = AutoModelForCausalLM.from_config(config)
    parameters: int = policy.num_parameters()
    trunk = parameters - _head_parameters(policy)
    copies = _frozen_copies(plan, measure_kl=cell.config.training.measure_kl)
    return MASTER_BYTES * parameters * copies + _trained(parameters) + _critic(plan, trunk)


def _frozen_copies(plan: Plan, *, measure_kl: bool) -> int:
    """The reference, the start where the reference moves, and who writes offline responses."""
    moving = plan.iteration is not None and plan.iteration.reset_reference
    offline = plan.source is Source.MIXED_POLICY
    return (plan.reference or measure_kl) + (moving and measure_kl) + offline


def _trained(parameters: int) -> int:
    return (2 * MASTER_BYTES + ADAM_BYTES) * parameters


def _critic(plan: Plan, trunk: int) -> int:
    if plan.critic is None or plan.critic.shared_trunk:
        return 0
    return _trained(trunk)


def _head_parameters(policy: PreTrainedModel) -> int:
    """Of an output head that is not the embeddings."""
    inside = {id(parameter) for parameter in policy.base_model.parameters()}
    return sum(p.numel() for p in policy.parameters() if id(p) not in inside)
