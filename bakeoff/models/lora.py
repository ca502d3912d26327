"""Low-rank adapters (LoRA, arXiv:2106.09685v2 eq. 3) on weights that several models share."""

from __future__ import annotations

import copy
import importlib.util
from itertools import chain

import torch
from torch import nn
from transformers import PreTrainedModel

from bakeoff.errors import ConfigError


def add_adapter(model: PreTrainedModel, *, rank: int, alpha: float, seed: int) -> None:
    """Freezes a model's weights and puts float32 adapters on its linear layers but the head.

    Nothing that the model computes changes: A is drawn from `seed`, B is 0.

    Raises:
        ConfigError: peft is not installed, or the model has no such layers.
    """
    if importlib.util.find_spec("peft") is None:
        raise ConfigError("lora_rank takes the peft package: pip install 'bakeoff[lora]'")
    from peft import LoraConfig

    model.requires_grad_(False)
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  # annotated as whole, used as alpha / rank
        target_modules="all-linear",
    )
    # fork_rng, so that the run's own streams do not depend on how many weights there are.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            model.add_adapter(config)
        except ValueError as error:
            name, reason = type(model).__name__, str(error).splitlines()[0]
            raise ConfigError(f"lora_rank: {name} takes no adapters ({reason}); set 0") from error
    model.eval()


def sharing_copy(model: PreTrainedModel) -> PreTrainedModel:
    """The same model in modules of its own, whose tensors are not copied.

    What is put on the copy, such as adapters, leaves the model as it is: roles with adapters of
    their own need no switching, which a backward pass would have to repeat.
    """
    tensors = chain(model.parameters(), model.buffers())
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


@torch.no_grad()
def merged_copy(model: PreTrainedModel) -> PreTrainedModel:
    """An ordinary model with its adapters added to the weights, W + alpha / rank * B A.

    Weights without adapters are shared, the others lie on the CPU.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    merged = sharing_copy(model)
    names = [name for name, m in merged.named_modules() if isinstance(m, BaseTunerLayer)]
    for name in names:
        layer = merged.get_submodule(name)
        plain = layer.get_base_layer()
        weight = plain.weight
        for adapter in layer.active_adapters:
            weight = weight + layer.get_delta_weight(adapter)
        plain.weight = nn.Parameter(weight.cpu())
        merged.set_submodule(name, plain)
    merged.delete_adapter(list(merged.peft_config))
    return merged
