"""The training engine on DeepSpeed: ZeRO stages 0 to 3 on one process or many.

Numbers are the local engine's: float32 masters, autocast where asked, the same AdamW, clipping and
micro-batches, and the same files on disk. Only where the numbers lie is DeepSpeed's.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

# DeepSpeed looks for its device when it is imported, and reads where it runs from here.
os.environ.setdefault("LOCAL_RANK", "0")

import deepspeed
import torch
from deepspeed.ops import __compatible_ops__ as compatible_operators
from torch import Tensor, nn
from torch import distributed as dist
from transformers import PreTrainedModel

from bakeoff import checkpoint
from bakeoff.batch import present
from bakeoff.checkpoint import raw_tensors
from bakeoff.checksums import weights_checksum
from bakeoff.config import EngineConfig, OptimizerConfig, TrainingConfig
from bakeoff.engine.deepspeed_trained import DeepSpeedTrained
from bakeoff.engine.roles import trained_parameters
from bakeoff.engine.scoring import CriticPass, PolicyPass
from bakeoff.engine.settings import deepspeed_settings
from bakeoff.engine.shards import (
    own_tensor,
    put_whole,
    shards_checksum,
    whole,
)
from bakeoff.engine.training import Scorer, TrainingEngine, adamw, schedule_of
from bakeoff.interfaces import Plan, Sampler
from bakeoff.memory.components import Component
from bakeoff.memory.owners import weight_tensors
from bakeoff.models.loading import Policy
from bakeoff.models.lora import merged_copy
from bakeoff.ranks import Ranks
from bakeoff.records import read_json, write_json

# It would be compiled when a run starts, for sums between processes that gloo does as well.
compatible_operators["deepspeed_shm_comm"] = False
deepspeed.utils.logger.setLevel("ERROR")
# It calls what PyTorch has renamed, once a message.
warnings.filterwarnings("ignore", category=FutureWarning, module="torch.distributed.c10d_logger")


class DeepSpeedEngine(TrainingEngine):
    """Policy and critic as DeepSpeed engines, frozen copies cut over the ranks at stage 3."""

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
        settings: EngineConfig,
        ranks: Ranks,
    ) -> None:
        _require_group()
        self._settings = settings
        self._cuts_weights = settings.zero_stage == 3
        self._reward_model: nn.Module | None = None
        if self._cuts_weights:
            # The model that was loaded stays whole: it is what the sampler holds.
            self._published = policy.model.requires_grad_(False)
            policy = replace(policy, model=copy.deepcopy(policy.model).requires_grad_(True))
        else:
            self._published = policy.model
        super().__init__(
            policy,
            plan,
            optimizer=optimizer,
            training=training,
            temperature=temperature,
            autocast_dtype=autocast_dtype,
            init_seed=init_seed,
            ranks=ranks,
        )
        self._casts: dict[str, Any] = {
            "autocast_dtype": autocast_dtype,
            # A cast that is kept would be the whole model on every rank.
            "caches_casts": not self._cuts_weights,
        }
        policy_pass = PolicyPass(
            self.model,
            self._shared_head,
            temperature=temperature,
            passes=self._passes,
            **self._casts,
        )
        # A group of its own: in a warm-up of the critic the trunk's optimizer state stands still.
        groups = [trained_parameters(self.model), trained_parameters(self._shared_head)]
        self._trained_policy = self._train(
            policy_pass,
            groups,
            learning_rate=optimizer.learning_rate,
            scheduled=True,
            gradients=Component.POLICY_GRADIENTS,
        )
        self._register_head(policy_pass, self.model)
        self._trained_critic: DeepSpeedTrained | None = None
        if self._critic is not None:
            self._trained_critic = self._train(
                CriticPass(self._critic, passes=self._passes, **self._casts),
                [trained_parameters(self._critic)],
                learning_rate=optimizer.critic_learning_rate or optimizer.learning_rate,
                scheduled=False,
                gradients=Component.CRITIC_GRADIENTS,
            )
        # One copy may be both; every rank must meet them in the same order.
        frozen = dict.fromkeys(m for m in (self._reference, self._start) if m is not None)
        self._scorers = {model: self._freeze(model) for model in frozen}

    @property
    def trained_policy(self) -> DeepSpeedTrained:
        return self._trained_policy

    @property
    def trained_critic(self) -> DeepSpeedTrained | None:
        return self._trained_critic

    def _frozen_scorer(self, model: nn.Module) -> Scorer:
        return self._scorers[model]

    def _train(
        self,
        module: nn.Module,
        groups: list[list[nn.Parameter]],
        *,
        learning_rate: float,
        scheduled: bool,
        gradients: Component,
    ) -> DeepSpeedTrained:
        config = self._optimizer_config
        groups = [group for group in groups if group]
        optimizer = adamw(groups, config, learning_rate=learning_rate)
        schedule = schedule_of(optimizer, config) if scheduled else None
        engine, *_ = deepspeed.initialize(
            model=module,
            optimizer=optimizer,
            config=deepspeed_settings(
                self._settings,
                config,
                ranks=self._ranks.count,
                trained_weights=sum(p.numel() for group in groups for p in group),
            ),
        )
        return DeepSpeedTrained(
            engine,
            optimizer,
            [parameter for group in groups for parameter in group],
            schedule=schedule,
            max_grad_norm=config.max_grad_norm,
            gradients=gradients,
            ranks=self._ranks,
        )

    def _freeze(self, model: nn.Module) -> Scorer:
        score = PolicyPass(
            model,
            temperature=self._temperature,
            **self._casts,
        )
        if self._cuts_weights:
            self._cut(score)
            self._register_head(score, model)
        return score

    def cut_reward_model(self, model: nn.Module) -> bool:
        if not self._cuts_weights:
            return False
        self._cut(model.requires_grad_(False))
        self._register_head(model, model.backbone)
        self._reward_model = model
        return True

    def _cut(self, module: nn.Module) -> None:
        """Cuts frozen weights in place; calling the module gathers them a layer at a time."""
        settings = deepspeed_settings(
            self._settings, self._optimizer_config, ranks=self._ranks.count, trained_weights=0
        )
        settings["zero_optimization"].pop("offload_optimizer", None)
        deepspeed.initialize(model=module, config=settings)

    def _register_head(self, reader: nn.Module, model: Any) -> None:
        """The output head's weights are read without calling it."""
        if self._cuts_weights:
            for parameter in model.get_output_embeddings().parameters():
                deepspeed.zero.register_external_parameter(reader, parameter)

    def refresh_reference(self) -> None:
        if not self._cuts_weights:
            self._roles.refresh_reference()
            return
        live = raw_tensors(self.model, shared=None)
        reference = present(self._reference, "reference")
        for name, tensor in raw_tensors(reference, shared=None).items():
            put_whole(tensor, whole(live[name], self._ranks), self._ranks)

    def frozen_checksums(self) -> dict[str, int]:
        found = dict(self._roles.frozen())
        if self._reward_model is not None:
            found["reward model"] = self._reward_model
        if not self._cuts_weights:
            return {name: weights_checksum(module) for name, module in found.items()}
        own = {name: shards_checksum(m.parameters(), self._ranks) for name, m in found.items()}
        everybody = self._ranks.gather(own)
        return {name: sum(one[name] for one in everybody) % 2**64 for name in own}

    def memory_owners(self) -> Mapping[Component, list[Tensor]]:
        held = dict(self._roles.memory_owners([]))
        held[Component.REWARD_MODEL] = weight_tensors(self._reward_model)
        owners = {
            which: [*tensors, *(own_tensor(t) for t in tensors if hasattr(t, "ds_tensor"))]
            for which, tensors in held.items()
        }
        if self._cuts_weights:
            owners[Component.POLICY_WEIGHTS] += weight_tensors(self._published)
        owners[Component.POLICY_OPTIMIZER] = self._trained_policy.shards.tensors()
        if self._trained_critic is not None:
            owners[Component.CRITIC_OPTIMIZER] = self._trained_critic.shards.tensors()
        return owners

    def publish_policy(self, sampler: Sampler) -> None:
        # Nobody reads gradients between two batches, and the sampler has use for the room.
        self._free_gradients()
        sampler.publish(self._whole_policy(), version=self._version)

    def save(self, directory: Path) -> None:
        """Every rank calls it, the first one writes; the files are the local engine's."""
        for name, module in self._roles.modules().items():
            tensors = raw_tensors(module, shared=self._roles.base)
            found = self._gathered((n, whole(t, self._ranks)) for n, t in tensors.items())
            self._write(checkpoint.save_tensors, directory / f"{name}.safetensors", found)
        for name, trained in self._all_trained().items():
            moments = self._gathered(
                (f"{index}.{key}", value)
                for index, parameter in enumerate(trained.parameters)
                for key, value in trained.shards.moments(parameter).items()
            )
            self._write(checkpoint.save_tensors, directory / f"{name}.safetensors", moments)
            self._write(write_json, directory / f"{name}.json", trained.settings_record())
        state = {"version": self._version, "schedule": self._trained_policy.schedule_state()}
        self._write(write_json, directory / "engine.json", state)

    def load(self, directory: Path) -> None:
        """Continues from what any engine has saved, on whatever ranks."""
        for name, module in self._roles.modules().items():
            tensors = raw_tensors(module, shared=self._roles.base)
            shapes = {n: getattr(t, "ds_shape", t.shape) for n, t in tensors.items()}
            for key, value in checkpoint.load_tensors(
                directory / f"{name}.safetensors", shapes
            ).items():
                put_whole(tensors[key], value, self._ranks)
        state = read_json(directory / "engine.json")
        self._version = state["version"]
        self._trained_policy.load_schedule(state["schedule"])
        for name, trained in self._all_trained().items():
            stored = checkpoint.load_optimizer_state(directory / name)
            for index, parameter in enumerate(trained.parameters):
                value = whole(parameter, self._ranks)
                trained.shards.put(parameter, value, stored["state"].get(index, {}))
            trained.load_settings(stored["param_groups"][0])

    def save_policy(self, directory: Path) -> None:
        plain = self._whole_policy()
        if self._ranks.first:
            if self._roles.base is not None:
                plain = merged_copy(plain)
            plain.save_pretrained(directory)
            self._policy.tokenizer.save_pretrained(directory)

    @torch.no_grad()
    def _whole_policy(self) -> PreTrainedModel:
        """The policy as an ordinary model: itself, or a copy of what the ranks hold."""
        if not self._cuts_weights:
            return self.model
        live = raw_tensors(self.model, shared=None)
        for name, tensor in raw_tensors(self._published, shared=None).items():
            tensor.copy_(whole(live[name], self._ranks))
        return self._published

    def _gathered(self, tensors: Iterable[tuple[str, Tensor]]) -> dict[str, Tensor]:
        """On the first rank all of them, on the CPU; the others only help to gather."""
        found = {}
        for name, tensor in tensors:
            if self._ranks.first:
                found[name] = tensor.cpu()
        return found

    def _write(self, write: Callable[[Path, Any], None], path: Path, value: object) -> None:
        if self._ranks.first:
            write(path, value)

    def _all_trained(self) -> dict[str, DeepSpeedTrained]:
        found = {"policy_optimizer": self._trained_policy}
        if self._trained_critic is not None:
            found["critic_optimizer"] = self._trained_critic
        return found


def _require_group() -> None:
    """DeepSpeed wants a process group, also of one."""
    if not dist.is_initialized():
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
            store=dist.HashStore(),  # type: ignore[attr-defined]
            rank=0,
            world_size=1,
        )
