from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bakeoff.config import RewardConfig
from bakeoff.errors import ConfigError
from bakeoff.interfaces import Task
from bakeoff.models.loading import Policy
from bakeoff.rewards.adapters import CallableReward
from bakeoff.rewards.controls import ConstantReward, FormatReward, RandomReward
from bakeoff.rewards.registry import REWARDS, RewardContext, load_reward
from bakeoff.rewards.rule import RuleReward
from bakeoff.rewards.shaping import LengthShaping
from bakeoff.rewards.step_reward import StepReward
from bakeoff.tasks.arithmetic_task import ArithmeticTask
from bakeoff.tasks.jsonl_task import JsonlTask
from bakeoff.types import Completion, Problem, Prompt, Reward

PROMPT = Prompt(
    problem=Problem(id="arithmetic/train/0", question="2 +3", answer="5"),
    text="2 +3\n",
    token_ids=(1, 2),
)

MakeContext = Callable[..., RewardContext]


@pytest.fixture
def context(shared_policy: Policy) -> MakeContext:
    def make(*, task: Task | None = None, seed: int = 0) -> RewardContext:
        task = task or ArithmeticTask()
        return RewardContext(
            task=task,
            verifier=ArithmeticTask().verifier(),
            tokenizer=shared_policy.tokenizer,
            device=torch.device("cpu"),
            max_response_tokens=20,
            micro_batch_tokens=100,
            seed=seed,
        )

    return make


@pytest.fixture
def score(context: MakeContext, shared_policy: Policy) -> Callable[..., Reward]:
    """The reward of a text under some settings."""

    def of(text: str, *, seed: int = 0, **settings: Any) -> Reward:
        ids = shared_policy.tokenizer(text, add_special_tokens=False)["input_ids"]
        completion = Completion(
            text=text,
            token_ids=(*ids, shared_policy.eos_token_ids[0]),
            logprobs=(-1.0,) * (len(ids) + 1),
            finish="stop",
            policy_version=0,
        )
        reward = load_reward(RewardConfig(**settings), context(seed=seed))
        return reward.score([PROMPT], [completion])[0]

    return of


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(
        "def short(prompts, completions, **columns):\n    return [-len(c) for c in completions]\n"
        "def strict(problem, steps):\n    return [float('=' in step) for step in steps]\n"
        "class Reward:\n    pass\n"
        "threshold = 3\n"
    )
    return path


def error_of(context: RewardContext, **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        load_reward(RewardConfig(**settings), context)
    assert "\n" not in str(caught.value)
    return str(caught.value)


KINDS = {
    "rule": RuleReward,
    "steps": StepReward,
    "format": FormatReward,
    "constant": ConstantReward,
    "random": RandomReward,
}


@pytest.mark.parametrize("name", KINDS)
def test_every_name_is_its_reward(context: MakeContext, name: str) -> None:
    assert type(load_reward(RewardConfig(reward=name), context())) is KINDS[name]


def test_no_name_is_without_a_test() -> None:
    # `model` takes a folder: tests of rewards/model_reward.py.
    assert {*KINDS, "model"} == set(REWARDS)


def test_rule_is_the_default(context: MakeContext) -> None:
    assert type(load_reward(RewardConfig(), context())) is RuleReward


def test_the_wrong_reward_reaches_rule_and_steps(score: Callable[..., Reward]) -> None:
    for name in ("rule", "steps"):
        outcomes = [score(text, reward=name, wrong_reward=-1).outcome for text in ("#5", "#6")]
        assert outcomes == [1.0, -1.0]


def test_the_coin_is_seeded_by_the_run(score: Callable[..., Reward]) -> None:
    def tosses() -> list[float | None]:
        return [score("#5", reward="random", seed=seed).outcome for seed in range(20)]

    assert tosses() == tosses()
    assert set(tosses()) == {0.0, 1.0}


def test_a_callable_of_a_file_is_a_reward(context: MakeContext, plugin: Path) -> None:
    reward = load_reward(RewardConfig(reward=f"{plugin}:short"), context())
    assert isinstance(reward, CallableReward)


def test_a_step_checker_of_a_file_replaces_the_task_s(
    score: Callable[..., Reward], plugin: Path
) -> None:
    text = "2+3=6\n#6"
    own = score(text, reward="steps")
    mine = score(text, reward="steps", step_checker=f"{plugin}:strict")
    assert own.step_values == (0.0, 1.0)
    assert mine.step_values == (1.0, 0.0)
    assert own.step_ends == mine.step_ends == (5, 8)


def test_a_task_without_a_step_checker_asks_for_one(context: MakeContext, tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text('{"question": "1+1?", "answer": 2}\n')
    message = error_of(context(task=JsonlTask(path)), reward="steps")
    assert "'own' has no step checker" in message
    assert "step_checker FILE.py:NAME" in message


def test_lengths_are_shaped_only_when_asked(score: Callable[..., Reward]) -> None:
    """Three tokens of the limit's twenty; the last ten are the buffer."""
    assert score("#5").parts == {}
    assert score("#5", length_penalty=0.5).outcome == pytest.approx(1 - 0.5 * 3 / 20)
    assert score("#5", overlong_buffer_tokens=10).outcome == 1.0
    assert score("#5", overlong_buffer_tokens=19).outcome == pytest.approx(1 - 2 / 19)


@pytest.mark.parametrize("name", KINDS)
def test_any_reward_can_be_shaped(context: MakeContext, name: str) -> None:
    shaped = load_reward(RewardConfig(reward=name, length_penalty=0.1), context())
    assert isinstance(shaped, LengthShaping)
    assert shaped.scores_steps == (name == "steps")


def test_what_is_no_function_is_refused(context: MakeContext, plugin: Path) -> None:
    for settings, kind in (
        ({"reward": f"{plugin}:Reward"}, "reward"),
        ({"reward": "steps", "step_checker": f"{plugin}:Reward"}, "step_checker"),
    ):
        message = error_of(context(), **settings)
        assert message.startswith(kind)
        assert "is a type; it must be a function" in message
    assert "is a int; it must be a function" in error_of(context(), reward=f"{plugin}:threshold")


def test_an_unknown_reward_suggests_a_close_one(context: MakeContext) -> None:
    message = error_of(context(), reward="rules")
    assert "did you mean 'rule'?" in message
    assert "FILE.py:NAME" in message
    assert all(name in message for name in REWARDS)
