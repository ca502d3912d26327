"""Plain records that flow from sampling to training. Standard library only."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal


class Split(Enum):
    """Disjoint parts of a task. Tuning reads VALIDATION; TEST and OOD are for reports."""

    TRAIN = "train"
    VALIDATION = "validation"
    TEST = "test"
    OOD = "ood"


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One question with a checkable answer."""

    id: str  # stable across runs, e.g. "gsm8k/train/42"
    question: str
    answer: str  # canonical final answer, as the data set states it


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A problem as the policy sees it."""

    problem: Problem
    text: str
    token_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One sampled response, with everything needed to replay its loss."""

    text: str
    token_ids: tuple[int, ...]  # [L] response only; ends with EOS iff finish == "stop"
    logprobs: tuple[float, ...]  # [L] nats at the sampling temperature, under the sampling policy
    finish: Literal["stop", "length"]
    policy_version: int  # optimizer steps the sampling policy had taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Reward:
    """What the reward function said about one completion."""

    correct: bool | None  # the verifier's word, apart from the training reward; None = no verdict
    outcome: float | None  # r(q, o); None = unscorable: left out of credit and loss, counted
    step_ends: tuple[int, ...] = ()  # index into token_ids of each step's last token
    step_values: tuple[float, ...] = ()  # process reward of each step
    parts: Mapping[str, float] = field(default_factory=dict)  # named addends, for the records
    model_tokens: int = 0  # tokens that a reward model read for it


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A scored completion."""

    problem: Problem
    prompt_ids: tuple[int, ...]
    completion: Completion
    reward: Reward
    group: int  # rollouts of one problem drawn together share it
