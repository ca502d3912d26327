"""Reward functions by their setting."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from bakeoff.config import RewardConfig
from bakeoff.errors import ConfigError
from bakeoff.interfaces import RewardFunction, StepChecker, Task, Verifier
from bakeoff.plugins import is_plugin, load_object
from bakeoff.rewards.adapters import CallableReward
from bakeoff.rewards.controls import ConstantReward, FormatReward, RandomReward
from bakeoff.rewards.model_reward import ModelReward
from bakeoff.rewards.rule import RuleReward
from bakeoff.rewards.shaping import LengthShaping
from bakeoff.rewards.step_reward import StepReward

REWARDS = ("rule", "steps", "model", "format", "constant", "random")


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardContext:
    """What rewards are made of besides their settings."""

    task: Task
    verifier: Verifier
    tokenizer: PreTrainedTokenizerBase  # the policy's
    device: torch.device
    max_response_tokens: int
    micro_batch_tokens: int  # of a reward model's forward pass
    seed: int


def load_reward(config: RewardConfig, context: RewardContext) -> RewardFunction:
    """The reward function of the settings, with its penalties on length.

    Raises:
        ConfigError: no such reward, no step checker, no reward model, or what a file holds is not
            what it should be.
    """
    reward = _unshaped(config, context)
    if not config.length_penalty and config.overlong_buffer_tokens is None:
        return reward
    return LengthShaping(
        reward,
        length_penalty=config.length_penalty,
        overlong_buffer_tokens=config.overlong_buffer_tokens,
        max_response_tokens=context.max_response_tokens,
    )


def _unshaped(config: RewardConfig, context: RewardContext) -> RewardFunction:
    verifier = context.verifier
    match config.reward:
        case "rule":
            return RuleReward(verifier, wrong_reward=config.wrong_reward)
        case "steps":
            checker = _step_checker(config.step_checker, context.task)
            return StepReward(
                verifier, checker, context.tokenizer, wrong_reward=config.wrong_reward
            )
        case "model":
            return ModelReward.load(
                str(config.reward_model),
                verifier=verifier,
                tokenizer=context.tokenizer,
                device=context.device,
                how=config.solution_score,
                max_tokens=context.micro_batch_tokens,
            )
        case "format":
            return FormatReward(verifier)
        case "constant":
            return ConstantReward(verifier)
        case "random":
            return RandomReward(verifier, seed=context.seed)
        case spec if is_plugin(spec):
            return CallableReward(_function(spec, what="reward"), verifier)
    close = difflib.get_close_matches(config.reward, REWARDS, n=1)
    suggestion = f"did you mean {close[0]!r}? " if close else ""
    raise ConfigError(
        f"no reward {config.reward!r}; {suggestion}there are: {', '.join(REWARDS)}, "
        "or FILE.py:NAME of a callable in TRL's form"
    )


def _step_checker(spec: str | None, task: Task) -> StepChecker:
    if spec is not None:
        checker: StepChecker = _function(spec, what="step_checker")
        return checker
    own = task.step_checker()
    if own is None:
        raise ConfigError(
            f"task {task.name!r} has no step checker of its own; name one with step_checker "
            "FILE.py:NAME, or take reward `model` with a process reward model"
        )
    return own


_CALLED_AS = {
    "reward": "f(prompts, completions, **columns) that returns a list of numbers",
    "step_checker": "f(problem, steps) that returns a number for each step",
}


def _function(spec: str, *, what: str) -> Any:
    function = load_object(spec, what=what)
    if isinstance(function, type) or not callable(function):
        raise ConfigError(
            f"{what} {spec!r} is a {type(function).__name__}; it must be a function "
            f"{_CALLED_AS[what]}"
        )
    return function
