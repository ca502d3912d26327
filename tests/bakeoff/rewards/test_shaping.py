from collections.abc import Sequence

import pytest

from bakeoff.interfaces import RewardFunction
from bakeoff.rewards.shaping import LengthShaping
from bakeoff.types import Completion, Problem, Prompt, Reward

PROMPT = Prompt(problem=Problem(id="p", question="1 +1", answer="2"), text="1 +1\n", token_ids=(1,))


class Given:
    """Rewards that are decided beforehand."""

    scores_steps = True
    flops_per_token = 7.0

    def __init__(self, *rewards: Reward) -> None:
        self._rewards = list(rewards)

    def score(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[Reward]:
        return self._rewards


def of_length(tokens: int) -> Completion:
    return Completion(
        text="x",
        token_ids=(3,) * tokens,
        logprobs=(-1.0,) * tokens,
        finish="stop",
        policy_version=0,
    )


def shaped(
    reward: Reward, tokens: int, *, penalty: float = 0.0, buffer: int | None = None
) -> Reward:
    function: RewardFunction = LengthShaping(
        Given(reward),
        length_penalty=penalty,
        overlong_buffer_tokens=buffer,
        max_response_tokens=100,
    )
    (found,) = function.score([PROMPT], [of_length(tokens)])
    return found


RIGHT = Reward(correct=True, outcome=1.0)


@pytest.mark.parametrize(
    ("tokens", "taken"), [(1, 0.0), (79, 0.0), (80, 0.0), (81, 0.05), (90, 0.5), (100, 1.0)]
)
def test_the_overlong_punishment_is_eq_13(tokens: int, taken: float) -> None:
    """arXiv:2503.14476: 0 up to L_max - L_cache = 80, then linear down to -1 at L_max = 100."""
    assert shaped(RIGHT, tokens, buffer=20).outcome == pytest.approx(1 - taken)


def test_a_buffer_longer_than_the_limit_reaches_down_to_the_first_token() -> None:
    # 100 of 200 buffer tokens lie beyond the first: half of the punishment is there already.
    assert shaped(RIGHT, 100, buffer=200).outcome == pytest.approx(0.0)
    assert shaped(RIGHT, 1, buffer=200).outcome == pytest.approx(1 - 101 / 200)


def test_the_length_penalty_is_times_the_share_of_the_limit() -> None:
    assert shaped(RIGHT, 25, penalty=0.4).outcome == pytest.approx(0.9)
    wrong = Reward(correct=False, outcome=-1.0)
    assert shaped(wrong, 100, penalty=0.4).outcome == pytest.approx(-1.4)


def test_both_penalties_add_up_and_are_named_beside_what_they_are_taken_off() -> None:
    found = shaped(
        Reward(correct=True, outcome=1.0, parts={"rule": 1.0}), 90, penalty=0.2, buffer=20
    )
    assert found.outcome == pytest.approx(1 - 0.18 - 0.5)
    assert found.parts == pytest.approx(
        {"rule": 1.0, "unshaped": 1.0, "length": -0.18, "overlong": -0.5}
    )
    assert found.outcome == pytest.approx(
        sum(found.parts[name] for name in ("unshaped", "length", "overlong"))
    )


def test_steps_verdict_and_cost_are_left_alone() -> None:
    reward = Reward(
        correct=False, outcome=0.5, step_ends=(1, 4), step_values=(1.0, 0.0), model_tokens=9
    )
    found = shaped(reward, 90, penalty=0.2, buffer=20)
    assert (found.correct, found.model_tokens) == (False, 9)
    assert (found.step_ends, found.step_values) == ((1, 4), (1.0, 0.0))


def test_what_cannot_be_scored_stays_so() -> None:
    reward = Reward(correct=None, outcome=None)
    assert shaped(reward, 100, penalty=1.0, buffer=50) == reward


def test_every_completion_is_shaped_by_its_own_length() -> None:
    function = LengthShaping(
        Given(RIGHT, RIGHT), length_penalty=1.0, overlong_buffer_tokens=None, max_response_tokens=10
    )
    found = function.score([PROMPT] * 2, [of_length(2), of_length(5)])
    assert [reward.outcome for reward in found] == pytest.approx([0.8, 0.5])


def test_what_it_costs_and_whether_it_scores_steps_is_the_shaped_rewards_word() -> None:
    function = LengthShaping(
        Given(), length_penalty=1.0, overlong_buffer_tokens=None, max_response_tokens=10
    )
    assert function.scores_steps
    assert function.flops_per_token == 7.0
