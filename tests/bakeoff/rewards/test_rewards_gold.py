import pytest

from algorithms import PRESETS
from bakeoff.rewards.gold import gold_rewards
from bakeoff.rewards.registry import load_reward
from bakeoff.settings import cell_config
from bakeoff.types import Split
from bakeoff.world import build_world


@pytest.mark.parametrize("reward", ["rule", "steps", "format"])
def test_gold_gets_what_a_right_answer_gets(reward):
    settings = {"model": "config:builtin", "reward": reward}
    config = cell_config("grpo", PRESETS["grpo"], settings)
    world = build_world(config)
    problems = world.task.problems(Split.TRAIN, count=3)
    function = load_reward(config.reward, world.reward_context())
    rewards = gold_rewards(problems, world, function)
    assert [(r.correct, r.outcome) for r in rewards] == [(True, 1.0)] * 3
