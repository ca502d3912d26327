from pathlib import Path

import pytest

from bakeoff.errors import ConfigError
from bakeoff.rewards.adapters import CallableReward
from bakeoff.rewards.registry import load_reward
from bakeoff.rewards.rule import RuleReward
from bakeoff.tasks.arithmetic_task import ArithmeticVerifier


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(
        "def short(prompts, completions, **columns):\n    return [-len(c) for c in completions]\n"
        "class Reward:\n    pass\n"
        "threshold = 3\n"
    )
    return path


def error_of(spec: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_reward(spec, ArithmeticVerifier())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_rule_is_the_rule_reward() -> None:
    assert isinstance(load_reward("rule", ArithmeticVerifier()), RuleReward)


def test_a_callable_of_a_file_is_a_reward(plugin: Path) -> None:
    assert isinstance(load_reward(f"{plugin}:short", ArithmeticVerifier()), CallableReward)


def test_what_is_no_function_is_refused(plugin: Path) -> None:
    assert "is a type; it must be a function" in error_of(f"{plugin}:Reward")
    assert "is a int; it must be a function" in error_of(f"{plugin}:threshold")


def test_an_unknown_reward_suggests_a_close_one() -> None:
    message = error_of("rules")
    assert "did you mean 'rule'?" in message
    assert "FILE.py:NAME" in message
