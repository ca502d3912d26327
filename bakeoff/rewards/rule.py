"""The rule reward: 1 for a correct completion, 0 for a wrong one."""

from collections.abc import Sequence

from bakeoff.interfaces import Verifier
from bakeoff.rewards.judging import judge_completions
from bakeoff.types import Completion, Prompt, Reward


class RuleReward:
    """The verifier's word as a number; unscorable where the verifier failed."""

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    def score(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[Reward]:
        return [
            Reward(correct=correct, outcome=None if correct is None else float(correct))
            for correct in judge_completions(self._verifier, prompts, completions)
        ]
