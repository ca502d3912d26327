"""Reward functions by their setting."""

import difflib

from bakeoff.errors import ConfigError
from bakeoff.interfaces import RewardFunction, Verifier
from bakeoff.plugins import is_plugin, load_object
from bakeoff.rewards.adapters import CallableReward
from bakeoff.rewards.rule import RuleReward

REWARDS = ("rule",)


def load_reward(spec: str, verifier: Verifier) -> RewardFunction:
    """The reward function of a setting: ``rule``, or FILE.py:NAME of a callable in TRL's form.

    Raises:
        ConfigError: no such reward, or what the file holds is not such a callable.
    """
    if spec == "rule":
        return RuleReward(verifier)
    if is_plugin(spec):
        function = load_object(spec, what="reward")
        if isinstance(function, type) or not callable(function):
            raise ConfigError(
                f"reward {spec!r} is a {type(function).__name__}; it must be a function "
                "f(prompts, completions, **columns) that returns a list of numbers"
            )
        return CallableReward(function, verifier)
    close = difflib.get_close_matches(spec, REWARDS, n=1)
    suggestion = f"did you mean {close[0]!r}? " if close else ""
    raise ConfigError(
        f"no reward {spec!r}; {suggestion}there are: {', '.join(REWARDS)}, "
        "or FILE.py:NAME of a callable in TRL's form"
    )
