from collections.abc import Sequence
from typing import Literal

import pytest

from bakeoff.interfaces import RewardFunction, Verdict
from bakeoff.rewards.controls import ConstantReward, FormatReward, RandomReward
from bakeoff.tasks.arithmetic_task import ArithmeticVerifier
from bakeoff.types import Completion, Problem, Prompt, Reward

PROMPT = Prompt(
    problem=Problem(id="arithmetic/train/0", question="2 +3", answer="5"),
    text="2 +3\n",
    token_ids=(1, 2),
)


def completion(
    text: str, finish: Literal["stop", "length"] = "stop", *, version: int = 0
) -> Completion:
    return Completion(
        text=text, token_ids=(3,), logprobs=(-1.0,), finish=finish, policy_version=version
    )


RIGHT, WRONG, NONE, CUT = (
    completion("#5"),
    completion("#6"),
    completion("five"),
    completion("#5", "length"),
)
ALL = [RIGHT, WRONG, NONE, CUT]


class Failing(ArithmeticVerifier):
    def verify(self, problems: Sequence[Problem], responses: Sequence[str]) -> list[Verdict]:
        return [Verdict(correct=None, reason="crashed") for _ in responses]


def test_the_constant_is_one_and_correct_is_the_verifiers_word() -> None:
    assert ConstantReward(ArithmeticVerifier()).score([PROMPT] * 4, ALL) == [
        Reward(correct=True, outcome=1.0),
        Reward(correct=False, outcome=1.0),
        Reward(correct=False, outcome=1.0),
        Reward(correct=False, outcome=1.0),
    ]


def test_the_format_is_an_answer_right_or_wrong_in_a_response_that_ended() -> None:
    assert FormatReward(ArithmeticVerifier()).score([PROMPT] * 4, ALL) == [
        Reward(correct=True, outcome=1.0),
        Reward(correct=False, outcome=1.0),
        Reward(correct=False, outcome=0.0),
        Reward(correct=False, outcome=0.0),
    ]


def test_where_the_verifier_failed_nobody_knows_the_format() -> None:
    """Not in the asked format and not known are two things: a crash must not teach."""
    rewards = FormatReward(Failing()).score([PROMPT] * 2, [RIGHT, CUT])
    assert rewards == [Reward(correct=None, outcome=None), Reward(correct=False, outcome=0.0)]


def tosses(*, seed: int, version: int = 0, count: int = 64, text: str = "#5") -> list[float]:
    completions = [completion(text, version=version)] * count
    rewards = RandomReward(ArithmeticVerifier(), seed=seed).score([PROMPT] * count, completions)
    assert all(reward.correct for reward in rewards)
    outcomes = [reward.outcome for reward in rewards]
    assert set(outcomes) <= {0.0, 1.0}
    return [float(outcome or 0) for outcome in outcomes]


def test_the_coin_is_fair_and_thrown_for_every_completion() -> None:
    # Four standard errors of 4000 tosses.
    assert sum(tosses(seed=1, count=4000)) / 4000 == pytest.approx(0.5, abs=4 * 0.5 / 4000**0.5)


def test_the_coin_is_a_function_of_the_seed_and_the_place() -> None:
    assert tosses(seed=1) == tosses(seed=1)
    assert tosses(seed=1) != tosses(seed=2)


def test_the_same_text_is_tossed_again_by_a_later_policy() -> None:
    assert tosses(seed=1) != tosses(seed=1, version=1)


@pytest.mark.parametrize("make", [ConstantReward, FormatReward, lambda v: RandomReward(v, seed=0)])
def test_controls_score_no_steps_and_run_no_model(make: type[ConstantReward]) -> None:
    reward: RewardFunction = make(ArithmeticVerifier())
    assert not reward.scores_steps
    assert reward.flops_per_token == 0
    assert reward.score([], []) == []
