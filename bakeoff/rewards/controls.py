"""Rewards that should teach nothing, or only the format: what a gain is measured against.

Random rewards improve some models (arXiv:2506.10947), so a gain without such an arm may be
elicitation, not the method.
"""

from collections.abc import Sequence

from bakeoff.interfaces import Verdict, Verifier
from bakeoff.rewards.judging import judge_completions, verdicts
from bakeoff.seeds import generator
from bakeoff.types import Completion, Prompt, Reward


class ConstantReward:
    """1 for everything: groups never have a spread."""

    scores_steps = False
    flops_per_token = 0.0

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    def score(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[Reward]:
        correct = judge_completions(self._verifier, prompts, completions)
        return [Reward(correct=verdict, outcome=1.0) for verdict in correct]


class RandomReward:
    """1 or 0 by the toss of a fair coin for every single completion."""

    scores_steps = False
    flops_per_token = 0.0

    def __init__(self, verifier: Verifier, *, seed: int) -> None:
        self._verifier = verifier
        self._seed = seed

    def score(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[Reward]:
        correct = judge_completions(self._verifier, prompts, completions)
        return [
            Reward(correct=verdict, outcome=self._toss(index, prompt, completion))
            for index, (prompt, completion, verdict) in enumerate(
                zip(prompts, completions, correct, strict=True)
            )
        ]

    def _toss(self, index: int, prompt: Prompt, completion: Completion) -> float:
        # Not a function of the text alone, or a policy could learn what the coin likes.
        address = ("random reward", prompt.problem.id, completion.policy_version, index)
        return float(generator(self._seed, *address).random() < 0.5)


class FormatReward:
    """1 for a response that ends and states an answer in the asked format, right or wrong."""

    scores_steps = False
    flops_per_token = 0.0

    def __init__(self, verifier: Verifier) -> None:
        self._verifier = verifier

    def score(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[Reward]:
        return [
            Reward(correct=verdict.correct, outcome=_format_outcome(verdict))
            for verdict in verdicts(self._verifier, prompts, completions)
        ]


def _format_outcome(verdict: Verdict) -> float | None:
    if verdict.correct is None and verdict.extracted is None:
        return None  # the verifier failed before it could say
    return float(verdict.extracted is not None)
