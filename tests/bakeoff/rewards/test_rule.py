from typing import Literal

import pytest

from bakeoff.interfaces import RewardFunction, Verdict
from bakeoff.rewards.rule import RuleReward
from bakeoff.tasks.arithmetic_task import ArithmeticVerifier
from bakeoff.types import Completion, Problem, Prompt, Reward

PROMPT = Prompt(
    problem=Problem(id="arithmetic/train/0", question="2 +3", answer="5"),
    text="2 +3\n",
    token_ids=(1, 2),
)


def completion(text: str, finish: Literal["stop", "length"] = "stop") -> Completion:
    return Completion(
        text=text, token_ids=(3, 4), logprobs=(-1.0, -1.0), finish=finish, policy_version=0
    )


class FailingVerifier(ArithmeticVerifier):
    def verify(self, problems: object, responses: object) -> list[Verdict]:
        return [Verdict(correct=None, reason="crashed") for _ in responses]  # type: ignore[attr-defined]


def test_correct_is_one_and_wrong_is_zero() -> None:
    reward: RewardFunction = RuleReward(ArithmeticVerifier())
    assert reward.score([PROMPT] * 3, [completion("#5"), completion("#6"), completion("")]) == [
        Reward(correct=True, outcome=1.0),
        Reward(correct=False, outcome=0.0),
        Reward(correct=False, outcome=0.0),
    ]


def test_a_wrong_response_may_cost() -> None:
    rewards = RuleReward(ArithmeticVerifier(), wrong_reward=-1).score(
        [PROMPT] * 3, [completion("#5"), completion("#6"), completion("#5", "length")]
    )
    assert rewards == [
        Reward(correct=True, outcome=1.0),
        Reward(correct=False, outcome=-1.0),
        Reward(correct=False, outcome=-1.0),
    ]


@pytest.mark.parametrize("text", ["#5", "2+3=5\n#5", ""])
def test_a_response_that_was_cut_is_wrong_even_with_the_answer_in_it(text: str) -> None:
    rewards = RuleReward(ArithmeticVerifier()).score([PROMPT], [completion(text, "length")])
    assert rewards == [Reward(correct=False, outcome=0.0)]


def test_cut_and_finished_responses_keep_their_places() -> None:
    completions = [completion("#5", "length"), completion("#5"), completion("#6", "length")]
    rewards = RuleReward(ArithmeticVerifier()).score([PROMPT] * 3, completions)
    assert [reward.correct for reward in rewards] == [False, True, False]


def test_a_verifier_that_fails_makes_a_completion_unscorable_not_wrong() -> None:
    rewards = RuleReward(FailingVerifier()).score([PROMPT], [completion("#5")])
    assert rewards == [Reward(correct=None, outcome=None)]


def test_nothing_scores_to_nothing() -> None:
    assert RuleReward(ArithmeticVerifier()).score([], []) == []
