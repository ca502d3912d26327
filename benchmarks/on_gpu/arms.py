"""Methods whose memory is measured and predicted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bakeoff.config import TrainingConfig
from bakeoff.interfaces import Algorithm
from benchmarks.methods import build_method, method_defaults
from benchmarks.on_gpu.scale import Scale, Work
from benchmarks.predicted import ARMS

LORA_RANK = 16
WITH_ADAPTERS = ("ppo", "grpo")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A method on a model."""

    name: str
    work: Work
    lora_rank: int

    def algorithm(self) -> Algorithm:
        """The method; all take as many responses a problem, or their work would differ."""
        preset, own = ARMS[self.name]
        start = method_defaults(preset)
        return build_method(replace(start, group_size=self.work.group_size, **own))

    def training(self) -> TrainingConfig:
        """How it trains; the copy that measures the distance to the start is no method's."""
        return TrainingConfig(
            problems_per_step=self.work.problems,
            micro_batch_tokens=self.work.micro_batch_tokens,
            activation_checkpointing=True,
            measure_kl=False,
            lora_rank=self.lora_rank,
        )

    @property
    def title(self) -> str:
        """What tells it from the other arms of a model."""
        return f"{self.name}, LoRA {self.lora_rank}" if self.lora_rank else self.name


def arms(scale: Scale, model: str) -> Sequence[Arm]:
    """The arms that a model is measured with."""
    (work,) = (work for work in scale.memory if work.model == model)
    found = [Arm(name=name, work=work, lora_rank=0) for name in ARMS]
    if model in scale.adapters_at:
        found += [Arm(name=name, work=work, lora_rank=LORA_RANK) for name in WITH_ADAPTERS]
    return found
