"""The settings of every method; defaults are the papers' values where they state one.

Without torch, so that `--help` is quick; the text beside a type is the flag's help.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from bakeoff.errors import ConfigError

GroupSize = Annotated[int, "completions a problem (G, k)"]
Epochs = Annotated[int, "passes over each rollout batch (mu), or over the pool"]
Minibatches = Annotated[int, "optimizer steps of one pass"]
ClipEpsilon = Annotated[float | None, "the ratio is clipped to 1 -+ this; none: no clip"]
ClipHigh = Annotated[float | None, "upper clip, 1 + this (clip-higher); none: clip_epsilon"]
KLCoefficient = Annotated[float, "beta; where and how it enters is the method's; 0: no reference"]
KLEstimator = Annotated[
    Literal["k1", "k2", "k3"],
    "estimate of the KL: k1 the log-ratio, k2 half its square, k3 that of DeepSeekMath's eq. 4",
]
KLPlacement = Annotated[
    Literal["loss", "reward"],
    "the KL is added to every token's loss, or summed over the response and taken off its reward",
]
Supervision = Annotated[
    Literal["outcome", "process"], "rewards at the end, or at the end of every step"
]
PoolProblems = Annotated[
    int | None, "problems in the pool; none: as many as the budget of tokens pays for"
]
Deduplicate = Annotated[
    Literal["text", "equations"] | None,
    "keep one of the correct responses to a problem with equal text, or with equal lists of "
    "equations (arXiv:2308.01825v2); none: keep all",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class SFTConfig:
    """Supervised fine-tuning on the task's demonstrations, or on faultless solutions."""

    group_size: GroupSize = 1
    gold: Annotated[bool, "faultless solutions instead of the task's demonstrations"] = False
    updates: Annotated[
        int | None, "optimizer steps, for a budget that sampling would spend; none: the budget's"
    ] = None

    def __post_init__(self) -> None:
        _positive(self, "group_size", "updates")


@dataclass(frozen=True, slots=True, kw_only=True)
class RFTConfig:
    """Rejection-sampling fine-tuning on a pool that the initial policy wrote before training."""

    group_size: GroupSize = 8
    epochs: Epochs = 1
    deduplicate: Deduplicate = None
    pool_problems: PoolProblems = None

    def __post_init__(self) -> None:
        _positive(self, "group_size", "epochs", "pool_problems")


@dataclass(frozen=True, slots=True, kw_only=True)
class OnlineRFTConfig:
    """Rejection-sampling fine-tuning on what the current policy writes."""

    group_size: GroupSize = 8
    epochs: Epochs = 1
    kl_coefficient: KLCoefficient = 0.0
    accept_above: Annotated[
        float | None, "keep what is rewarded above this; none: what the verifier calls correct"
    ] = None
    offline_share: Annotated[
        float,
        "share of a batch's problems whose responses the initial policy writes; 0: all online",
    ] = 0.0

    def __post_init__(self) -> None:
        _positive(self, "group_size", "epochs")
        _not_negative(self, "kl_coefficient")
        if not 0 <= self.offline_share <= 1:
            raise ConfigError(f"offline_share must be in [0, 1], got {self.offline_share}")
        if self.offline_share and self.kl_coefficient:
            raise ConfigError(
                f"kl_coefficient {self.kl_coefficient} with offline_share {self.offline_share}: "
                "the KL is estimated on the policy's own responses; set one of the two to 0"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class DPOConfig:
    """Direct preference optimization on pairs from the initial policy's pool."""

    group_size: GroupSize = 8
    epochs: Epochs = 1
    kl_coefficient: KLCoefficient = 0.1
    pool_problems: PoolProblems = None

    def __post_init__(self) -> None:
        _positive(self, "epochs", "kl_coefficient", "pool_problems")
        _a_group(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class PPOConfig:
    """Proximal policy optimization with a learned critic."""

    group_size: GroupSize = 1
    epochs: Epochs = 1
    minibatches: Minibatches = 1
    clip_epsilon: ClipEpsilon = 0.2
    clip_epsilon_high: ClipHigh = None
    kl_coefficient: KLCoefficient = 0.04
    supervision: Supervision = "outcome"
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
        _positive(self, "group_size")
        _updates(self)
        _upper_clip(self)
        _not_negative(self, "kl_coefficient", "value_loss_coefficient", "critic_warmup_batches")
        for name in ("gamma", "gae_lambda_policy", "gae_lambda_critic"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} must be in [0, 1], got {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class GRPOConfig:
    """Group relative policy optimization; with outer iterations, Algorithm 1 whole."""

    group_size: GroupSize = 8
    epochs: Epochs = 1
    minibatches: Minibatches = 1
    clip_epsilon: ClipEpsilon = 0.2
    clip_epsilon_high: ClipHigh = None
    kl_coefficient: KLCoefficient = 0.04
    kl_estimator: KLEstimator = "k3"
    kl_placement: KLPlacement = "loss"
    supervision: Supervision = "outcome"
    iteration_batches: Annotated[
        int | None, "rollout batches of one outer iteration (M); none: a single iteration"
    ] = None
    reset_reference: Annotated[bool, "pi_ref := pi_theta at every new iteration"] = False
    refit_reward_model: Annotated[
        bool, "go on training the reward model after every iteration, on its rollouts"
    ] = False
    replay_share: Annotated[
        float, "of a refit's examples, drawn from earlier ones; DeepSeekMath takes 0.1"
    ] = 0.1

    def __post_init__(self) -> None:
        _a_group(self)
        _updates(self)
        _upper_clip(self)
        _not_negative(self, "kl_coefficient")
        _positive(self, "iteration_batches")
        if (self.iteration_batches is None) == (self.reset_reference or self.refit_reward_model):
            raise ConfigError(
                "iteration_batches goes with reset_reference or refit_reward_model: it says how "
                f"often; got iteration_batches {self.iteration_batches}, reset_reference "
                f"{self.reset_reference}, refit_reward_model {self.refit_reward_model}"
            )
        if not 0 <= self.replay_share < 1:
            raise ConfigError(f"replay_share must be in [0, 1), got {self.replay_share}")
        if self.kl_placement == "reward" and self.supervision == "process":
            raise ConfigError(
                "kl_placement reward takes the KL off the reward of a whole response, and "
                "supervision process has none; set kl_placement loss, or supervision outcome"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class DrGRPOConfig:
    """GRPO without its two divisions: by the group's std and by the response's length."""

    group_size: GroupSize = 8
    epochs: Epochs = 1
    minibatches: Minibatches = 1
    clip_epsilon: ClipEpsilon = 0.2
    kl_coefficient: KLCoefficient = 0.0

    def __post_init__(self) -> None:
        _a_group(self)
        _updates(self)
        _not_negative(self, "kl_coefficient")


@dataclass(frozen=True, slots=True, kw_only=True)
class DAPOConfig:
    """GRPO with clip-higher, a token mean and dynamic sampling, without KL."""

    group_size: GroupSize = 8
    epochs: Epochs = 1
    minibatches: Minibatches = 1
    clip_epsilon: ClipEpsilon = 0.2
    clip_epsilon_high: ClipHigh = 0.28
    sampling_rounds: Annotated[
        int, "draws of problems at most, until a batch is full of groups with a spread; 1: no more"
    ] = 4

    def __post_init__(self) -> None:
        _a_group(self)
        _updates(self)
        _upper_clip(self)
        _positive(self, "sampling_rounds")


@dataclass(frozen=True, slots=True, kw_only=True)
class GSPOConfig:
    """GRPO with one ratio a sequence."""

    group_size: GroupSize = 8
    epochs: Epochs = 1
    minibatches: Minibatches = 1
    clip_epsilon: ClipEpsilon = 3e-4
    clip_epsilon_high: ClipHigh = 4e-4

    def __post_init__(self) -> None:
        _a_group(self)
        _updates(self)
        _upper_clip(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class CISPOConfig:
    """GRPO whose clipped ratio weighs log pi instead of cutting its gradient."""

    group_size: GroupSize = 8
    epochs: Epochs = 1
    minibatches: Minibatches = 1
    ratio_limit: Annotated[float, "largest weight a ratio may give; the paper states none"] = 5.0

    def __post_init__(self) -> None:
        _a_group(self)
        _positive(self, "epochs", "minibatches", "ratio_limit")


@dataclass(frozen=True, slots=True, kw_only=True)
class RLOOConfig:
    """REINFORCE with the mean of the other rewards of the group as its baseline."""

    group_size: GroupSize = 8
    kl_coefficient: KLCoefficient = 0.04

    def __post_init__(self) -> None:
        _a_group(self)
        _not_negative(self, "kl_coefficient")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReinforcePlusPlusConfig:
    """REINFORCE with PPO's clip and advantages normalised over the whole batch."""

    group_size: GroupSize = 1
    epochs: Epochs = 1
    minibatches: Minibatches = 1
    clip_epsilon: ClipEpsilon = 0.2
    kl_coefficient: KLCoefficient = 0.01
    group_baseline: Annotated[
        bool, "take the group's mean off the reward; the KL is then k2 in the loss"
    ] = False

    def __post_init__(self) -> None:
        _positive(self, "group_size")
        _updates(self)
        _not_negative(self, "kl_coefficient")
        if self.group_baseline:
            _a_group(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReinforceConfig:
    """REINFORCE with a clip, with or without the groups that are all wrong or all correct."""

    group_size: GroupSize = 8
    epochs: Epochs = 1
    minibatches: Minibatches = 1
    clip_epsilon: ClipEpsilon = 0.2
    drop_all_wrong: Annotated[bool, "leave groups out in which all are wrong"] = False
    drop_all_correct: Annotated[bool, "leave groups out in which all are correct"] = False
    subtract_mean: Annotated[bool, "take the group's mean off the reward"] = False
    divide_by_std: Annotated[bool, "divide by the group's std, where there is a spread"] = False

    def __post_init__(self) -> None:
        _positive(self, "group_size")
        _updates(self)
        if self.subtract_mean or self.divide_by_std:
            _a_group(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RAFTPlusPlusConfig:
    """Online RFT with importance ratios and a clip."""

    group_size: GroupSize = 8
    epochs: Epochs = 1
    minibatches: Minibatches = 1
    clip_epsilon: ClipEpsilon = 0.2
    clip_epsilon_high: ClipHigh = None

    def __post_init__(self) -> None:
        _positive(self, "group_size")
        _updates(self)
        _upper_clip(self)


MethodConfig = (
    SFTConfig
    | RFTConfig
    | OnlineRFTConfig
    | DPOConfig
    | PPOConfig
    | GRPOConfig
    | DrGRPOConfig
    | DAPOConfig
    | GSPOConfig
    | CISPOConfig
    | RLOOConfig
    | ReinforcePlusPlusConfig
    | ReinforceConfig
    | RAFTPlusPlusConfig
)


def _updates(config: object) -> None:
    """Checks how often a method updates on a batch, and its clip."""
    _positive(config, "epochs", "minibatches", "clip_epsilon")


def _upper_clip(config: object) -> None:
    _positive(config, "clip_epsilon_high")
    epsilon, high = (getattr(config, name) for name in ("clip_epsilon", "clip_epsilon_high"))
    if epsilon is None and high is not None:
        raise ConfigError(
            f"clip_epsilon_high is {high} without a clip_epsilon: give both, or leave both none"
        )


def _a_group(config: object) -> None:
    size = config.group_size  # type: ignore[attr-defined]
    if size < 2:
        raise ConfigError(
            f"group_size must be at least 2, got {size}: a group of one has no spread, so nothing "
            "in it is better than anything else"
        )


def _positive(config: object, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if value is not None and value <= 0:
            raise ConfigError(f"{name} must be above 0, got {value}")


def _not_negative(config: object, *names: str) -> None:
    for name in names:
        if (value := getattr(config, name)) < 0:
            raise ConfigError(f"{name} must be 0 or more, got {value}")
