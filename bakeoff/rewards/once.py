"""Judging by one rank for all: a verifier's time-out must not mean another reward elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from bakeoff.interfaces import RewardFunction, Verdict, Verifier
from bakeoff.ranks import Ranks
from bakeoff.types import Completion, Problem, Prompt, Reward


class RewardedOnce:
    """What a reward says on the first rank.

    Args:
        reward: this rank's own.
        ranks: that ask together.
        together: whether all must score, for they share a model's weights; the first one's word
            counts all the same.
    """

    def __init__(self, reward: RewardFunction, ranks: Ranks, *, together: bool = False) -> None:
        self._reward = reward
        self._ranks = ranks
        self._together = together

    @property
    def scores_steps(self) -> bool:
        return self._reward.scores_steps

    @property
    def flops_per_token(self) -> float:
        return self._reward.flops_per_token

    def score(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[Reward]:
        """The same on every rank; a meeting of all ranks."""
        if self._together:
            own = self._reward.score(prompts, completions)
            return self._ranks.once(lambda: own)
        return self._ranks.once(lambda: self._reward.score(prompts, completions))


class VerifiedOnce:
    """What a verifier says on the first rank."""

    def __init__(self, verifier: Verifier, ranks: Ranks) -> None:
        self._verifier = verifier
        self._ranks = ranks

    def verify(self, problems: Sequence[Problem], responses: Sequence[str]) -> list[Verdict]:
        """The same on every rank; a meeting of all ranks."""
        return self._ranks.once(lambda: self._verifier.verify(problems, responses))

    def close(self) -> None:
        self._verifier.close()
