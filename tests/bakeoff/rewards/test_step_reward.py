from collections.abc import Sequence
from typing import Any, Literal

import pytest
from transformers import PreTrainedTokenizerBase

from bakeoff.errors import ConfigError
from bakeoff.interfaces import RewardFunction, Verdict
from bakeoff.models.loading import Policy
from bakeoff.rewards.step_reward import StepReward, merge_steps
from bakeoff.tasks.arithmetic_task import ArithmeticVerifier, check_steps
from bakeoff.types import Completion, Problem, Prompt, Reward

PROMPT = Prompt(
    problem=Problem(id="arithmetic/train/0", question="2 +3 *4", answer="20"),
    text="2 +3 *4\n",
    token_ids=(1, 2),
)


@pytest.fixture(scope="module")
def tokenizer(shared_policy: Policy) -> PreTrainedTokenizerBase:
    return shared_policy.tokenizer


def reward_of(
    tokenizer: PreTrainedTokenizerBase,
    text: str,
    *,
    finish: Literal["stop", "length"] = "stop",
    checker: Any = check_steps,
    verifier: Any = None,
    **settings: float,
) -> Reward:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    ids = [*ids, tokenizer.eos_token_id] if finish == "stop" else ids
    completion = Completion(
        text=text,
        token_ids=tuple(ids),
        logprobs=(-1.0,) * len(ids),
        finish=finish,
        policy_version=0,
    )
    function: RewardFunction = StepReward(
        verifier or ArithmeticVerifier(), checker, tokenizer, **settings
    )
    assert function.scores_steps
    (reward,) = function.score([PROMPT], [completion])
    return reward


def test_a_faultless_response_by_hand(tokenizer: PreTrainedTokenizerBase) -> None:
    """The built-in tokenizer has a token a character, so places are offsets."""
    assert reward_of(tokenizer, "2+3=5\n5*4=20\n#20") == Reward(
        correct=True, outcome=1.0, step_ends=(5, 12, 16), step_values=(1.0, 1.0, 1.0)
    )


def test_a_wrong_step_is_wrong_where_it_stands(tokenizer: PreTrainedTokenizerBase) -> None:
    assert reward_of(tokenizer, "2+3=6\n6*4=24\n#24") == Reward(
        correct=False, outcome=0.0, step_ends=(5, 12, 16), step_values=(0.0, 1.0, 1.0)
    )


def test_a_right_answer_after_a_wrong_step_is_correct_and_its_step_is_not(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    reward = reward_of(tokenizer, "2+3=6\n5*4=20\n#20", wrong_reward=-1)
    assert (reward.correct, reward.outcome) == (True, 1.0)
    assert reward.step_values == (0.0, 0.0, 1.0)


def test_a_cut_response_has_steps_and_is_wrong(tokenizer: PreTrainedTokenizerBase) -> None:
    reward = reward_of(tokenizer, "2+3=5\n5*4=2", finish="length", wrong_reward=-0.5)
    assert reward == Reward(correct=False, outcome=-0.5, step_ends=(5, 10), step_values=(1.0, 0.0))


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_a_response_without_text_has_no_steps(
    tokenizer: PreTrainedTokenizerBase, text: str
) -> None:
    assert reward_of(tokenizer, text) == Reward(correct=False, outcome=0.0)


def test_a_verifier_that_fails_leaves_the_outcome_out(tokenizer: PreTrainedTokenizerBase) -> None:
    class Failing(ArithmeticVerifier):
        def verify(self, problems: Sequence[Problem], responses: Sequence[str]) -> list[Verdict]:
            return [Verdict(correct=None) for _ in responses]

    reward = reward_of(tokenizer, "2+3=5", verifier=Failing())
    assert (reward.correct, reward.outcome) == (None, None)


def test_a_checker_gets_the_problem_and_the_lines(tokenizer: PreTrainedTokenizerBase) -> None:
    seen = []

    def checker(problem: Problem, steps: Sequence[str]) -> list[float]:
        seen.append((problem, list(steps)))
        return [0.25, -2]

    reward = reward_of(tokenizer, " a\n\nb \n", checker=checker)
    assert seen == [(PROMPT.problem, ["a", "b"])]
    assert reward.step_values == (0.25, -2.0)
    assert all(type(value) is float for value in reward.step_values)


@pytest.mark.parametrize("returned", [[], [1.0], [1.0] * 3, [1.0, float("nan")], [float("inf"), 0]])
def test_a_checker_that_does_not_fit_is_named_with_the_problem(
    tokenizer: PreTrainedTokenizerBase, returned: list[float]
) -> None:
    with pytest.raises(
        ConfigError, match=r"2 steps of arithmetic/train/0; it must return"
    ) as caught:
        reward_of(tokenizer, "a\nb", checker=lambda problem, steps: returned)
    assert "\n" not in str(caught.value)


def test_steps_that_end_in_one_token_have_the_lowest_of_their_values() -> None:
    assert merge_steps((3, 3, 5, 8, 8), (1.0, 0.0, 0.5, 0.25, 1.0)) == (
        (3, 5, 8),
        (0.0, 0.5, 0.25),
    )
    assert merge_steps((), ()) == ((), ())


def test_a_checker_that_raises_is_the_users_to_mend(tokenizer: PreTrainedTokenizerBase) -> None:
    def divides(problem: Problem, steps: Sequence[str]) -> list[float]:
        return [1 / 0 for _ in steps]

    with pytest.raises(ConfigError, match=r"raised ZeroDivisionError on arithmetic/train/0"):
        reward_of(tokenizer, "2+3=5", checker=divides)
