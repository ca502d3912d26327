"""The rule reward: the verifier's word as a number."""

from collections.abc import Sequence

from bakeoff.interfaces import Verifier
from bakeoff.rewards.judging import judge_completions
from bakeoff.types import Completion, Prompt, Reward


class RuleReward:
    """1 for a correct completion, `wrong_reward` for another; None where the verifier failed."""

    scores_steps = False
    flops_per_token = 0.0

    def __init__(self, verifier: Verifier, *, wrong_reward: float = 0.0) -> None:
        self._verifier = verifier
        self._wrong_reward = wrong_reward

    def score(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[Reward]:
        return [
            Reward(correct=correct, outcome=rule_outcome(correct, self._wrong_reward))
            for correct in judge_completions(self._verifier, prompts, completions)
        ]


def rule_outcome(correct: bool | None, wrong_reward: float) -> float | None:
    """The reward of a verdict."""
    if correct is None:
        return None
    return 1.0 if correct else wrong_reward
