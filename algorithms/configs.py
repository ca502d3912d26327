"""The settings of every method; defaults are the papers' values where they state one.

Without torch, so that `--help` is quick; the text beside a type is the flag's help.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from bakeoff.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class SFTConfig:
    """Supervised fine-tuning on the task's demonstrations."""

    group_size: Annotated[int, "demonstrations a problem"] = 1

    def __post_init__(self) -> None:
        _positive(self, "group_size")


@dataclass(frozen=True, slots=True, kw_only=True)
class RFTConfig:
    """Rejection-sampling fine-tuning on a pool that the initial policy wrote before training."""

    group_size: Annotated[int, "completions a problem (k)"] = 8
    epochs: Annotated[int, "passes over the pool"] = 1
    deduplicate: Annotated[bool, "keep one of equal responses to a problem"] = False
    pool_problems: Annotated[
        int | None, "problems in the pool; none: as many as the budget of tokens pays for"
    ] = None

    def __post_init__(self) -> None:
        _positive(self, "group_size", "epochs")
        if self.pool_problems is not None:
            _positive(self, "pool_problems")


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineRFTConfig:
    """Rejection-sampling fine-tuning on what the current policy writes."""

    group_size: Annotated[int, "completions a problem (k)"] = 8
    epochs: Annotated[int, "passes over each batch"] = 1

    def __post_init__(self) -> None:
        _positive(self, "group_size", "epochs")


@dataclass(frozen=True, slots=True, kw_only=True)
class PPOConfig:
    """Proximal policy optimization with a learned critic."""

    group_size: Annotated[int, "completions a problem"] = 1
    epochs: Annotated[int, "passes over each rollout batch"] = 1
    minibatches: Annotated[int, "optimizer steps of one pass"] = 1
    clip_epsilon: Annotated[float, "the ratio is clipped to 1 -+ this"] = 0.2
    kl_coefficient: Annotated[float, "beta of eq. 2, on k1 in the reward; 0 needs no reference"] = (
        0.04
    )
    gamma: Annotated[float, "discount"] = 1.0
    gae_lambda_policy: Annotated[float, "lambda of the advantages"] = 1.0
    gae_lambda_critic: Annotated[float, "lambda of the critic's targets"] = 1.0
    whiten_advantages: Annotated[bool, "subtract the batch mean, divide by the batch std"] = False
    value_clip_epsilon: Annotated[float | None, "clip of the value change; none: no clip"] = 0.2
    critic: Annotated[
        Literal["separate", "shared"], "a model of its own, or a head on the policy's trunk"
    ] = "separate"
    critic_head_init: Annotated[Literal["zeros", "normal"], "start of the value head"] = "zeros"
    value_loss_coefficient: Annotated[float, "of the value loss, where the trunk is shared"] = 0.1
    critic_warmup_batches: Annotated[int, "first batches that train the critic alone"] = 0

    def __post_init__(self) -> None:
        _positive(self, "group_size", "epochs", "minibatches", "clip_epsilon")
        _not_negative(self, "kl_coefficient", "value_loss_coefficient", "critic_warmup_batches")
        for name in ("gamma", "gae_lambda_policy", "gae_lambda_critic"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be in [0, 1], got {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class GRPOConfig:
    """Group relative policy optimization with outcome supervision."""

    group_size: Annotated[int, "completions a problem (G); the paper's runs use 64"] = 8
    epochs: Annotated[int, "passes over each rollout batch (mu)"] = 1
    minibatches: Annotated[int, "optimizer steps of one pass"] = 1
    clip_epsilon: Annotated[float, "the ratio is clipped to 1 -+ this"] = 0.2
    kl_coefficient: Annotated[float, "beta, on k3 in the loss; 0 needs no reference"] = 0.04
    reference_refresh_every: Annotated[
        int | None, "batches between pi_ref := pi_theta; none: pi_ref stays the start"
    ] = None

    def __post_init__(self) -> None:
        _positive(self, "group_size", "epochs", "minibatches", "clip_epsilon")
        _not_negative(self, "kl_coefficient")
        if self.group_size < 2:
            raise ConfigError(
                "group_size must be at least 2 for GRPO, got 1: a group of one has no spread, so "
                "every advantage is 0"
            )
        if self.reference_refresh_every is not None and self.reference_refresh_every < 1:
            raise ConfigError("reference_refresh_every must be at least 1, or none")


MethodConfig = SFTConfig | RFTConfig | OnlineRFTConfig | PPOConfig | GRPOConfig


def _positive(config: object, *names: str) -> None:
    for name in names:
        if (value := getattr(config, name)) <= 0:
            raise ConfigError(f"{name} must be above 0, got {value}")


def _not_negative(config: object, *names: str) -> None:
    for name in names:
        if (value := getattr(config, name)) < 0:
            raise ConfigError(f"{name} must be 0 or more, got {value}")
