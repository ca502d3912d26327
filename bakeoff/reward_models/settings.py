"""The settings of training a reward model; needs no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from bakeoff.errors import ConfigError
from bakeoff.reward_models.folder import RewardHead


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardTrainingConfig:
    """How a reward model is trained, at first and when it is refitted."""

    learning_rate: Annotated[
        float, "AdamW; the default is that of arXiv:2402.03300v3 section 4.2"
    ] = 2e-5
    head_learning_rate: Annotated[
        float | None, "AdamW, of the head's own weights; none: learning_rate"
    ] = None
    learning_rate_warmup_steps: Annotated[
        int, "optimizer steps of linear warm-up; then constant"
    ] = 0
    epochs: Annotated[int, "passes over the labelled solutions"] = 1
    batch_solutions: Annotated[int, "solutions of one optimizer step"] = 64
    max_grad_norm: Annotated[float, "gradient norm above which the gradient is scaled down"] = 1.0
    micro_batch_tokens: Annotated[
        int, "padded tokens of one forward pass; changes memory and speed, never the gradient"
    ] = 16384

    def __post_init__(self) -> None:
        for name in ("learning_rate", "head_learning_rate", "max_grad_norm"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ConfigError(f"{name} must be above 0, got {value}")
        least = {"learning_rate_warmup_steps": 0, "epochs": 1, "batch_solutions": 1}
        for name, bound in (least | {"micro_batch_tokens": 1}).items():
            if getattr(self, name) < bound:
                raise ConfigError(f"{name} must be at least {bound}, got {getattr(self, name)}")


# The built-in model has 2 layers. In minutes it learns to weigh its own likelihood, but not to
# check a sum in its hidden states; a large rate would cost it the sums that it knows.
BUILTIN_HEAD = RewardHead.LIKELIHOOD
BUILTIN_TRAINING = {"learning_rate": 1e-4, "head_learning_rate": 1e-2, "batch_solutions": 32}
