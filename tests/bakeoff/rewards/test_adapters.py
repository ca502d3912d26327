import re
from typing import Any, Literal

import numpy as np
import pytest
import torch

from bakeoff.errors import ConfigError
from bakeoff.rewards.adapters import CallableReward
from bakeoff.tasks.arithmetic_task import ArithmeticVerifier
from bakeoff.types import Completion, Problem, Prompt, Reward

PROMPTS = [
    Prompt(
        problem=Problem(id=f"arithmetic/train/{n}", question=f"2 +{n}", answer=str(2 + n)),
        text=f"2 +{n}\n",
        token_ids=(1, 2),
    )
    for n in (3, 4)
]


def completion(text: str, finish: Literal["stop", "length"] = "stop") -> Completion:
    return Completion(
        text=text, token_ids=(7, 8), logprobs=(-1.0, -1.0), finish=finish, policy_version=0
    )


COMPLETIONS = [completion("#5"), completion("#5", "length")]


def score(function: Any) -> list[Reward]:
    return CallableReward(function, ArithmeticVerifier()).score(PROMPTS, COMPLETIONS)


def error_of(function: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        score(function)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_callable_gets_texts_and_columns() -> None:
    seen: dict[str, Any] = {}

    def remember(prompts: list[str], completions: list[str], **columns: Any) -> list[float]:
        seen.update(columns, prompts=prompts, completions=completions)
        return [0.0] * len(completions)

    score(remember)
    assert seen == {
        "prompts": ["2 +3\n", "2 +4\n"],
        "completions": ["#5", "#5"],
        "completion_ids": [[7, 8], [7, 8]],
        "question": ["2 +3", "2 +4"],
        "answer": ["5", "6"],
        "id": ["arithmetic/train/3", "arithmetic/train/4"],
        "finish": ["stop", "length"],
    }


def test_outcomes_are_the_callables_and_correct_is_the_verifiers() -> None:
    rewards = score(lambda completions, **_: [-2, None])
    assert rewards == [Reward(correct=True, outcome=-2.0), Reward(correct=False, outcome=None)]


def test_a_cut_response_is_wrong_whatever_the_callable_says() -> None:
    assert score(lambda **_: [1.0, 1.0])[1] == Reward(correct=False, outcome=1.0)


@pytest.mark.parametrize(
    "returned",
    [
        [1, 0],
        (1.0, 0.0),
        [True, False],
        np.array([1.0, 0.0]),
        torch.tensor([1, 0]),
        [np.float32(1), torch.tensor(0.0)],
    ],
)
def test_any_list_of_numbers_is_taken(returned: Any) -> None:
    outcomes = [reward.outcome for reward in score(lambda **_: returned)]
    assert outcomes == [1.0, 0.0]
    assert all(type(outcome) is float for outcome in outcomes)


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        ([1.0], "returned 1 values for 2 completions"),
        ([1.0] * 3, "returned 3 values for 2 completions"),
        (1.0, "returned a float"),
        (None, "returned a NoneType"),
        ("10", "returned a str"),
        ({"a": 1}, "returned a dict"),
        (np.array(1.0), "returned a ndarray"),
        (["1", 0.0], "returned '1' for completion 0"),
        ([0.0, float("nan")], "returned nan for completion 1"),
        ([0.0, float("inf")], "returned inf for completion 1"),
        ([0.0, [1.0]], r"returned \[1.0\] for completion 1"),
    ],
)
def test_what_is_no_list_of_numbers_names_the_callable(returned: Any, expected: str) -> None:
    def my_reward(**_: Any) -> Any:
        return returned

    message = error_of(my_reward)
    assert "my_reward" in message
    assert re.search(expected, message)


def test_an_error_of_the_callable_names_it_and_its_arguments() -> None:
    def strict_signature(prompts: list[str], completions: list[str]) -> list[float]:
        return [0.0] * len(completions)

    message = error_of(strict_signature)
    assert "strict_signature raised TypeError" in message
    assert "**kwargs" in message


def test_an_object_with_a_call_is_named_after_its_class() -> None:
    class LengthReward:
        def __call__(self, **_: Any) -> str:
            return "?"

    assert "LengthReward" in error_of(LengthReward())
