"""Scores of solutions by a reward model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from bakeoff.config import SolutionScore
from bakeoff.reward_models.batching import cut_by_tokens
from bakeoff.reward_models.folder import RewardKind
from bakeoff.reward_models.model import LoadedRewardModel
from bakeoff.rewards.steps import split_steps

MAX_TOKENS = 16384  # padded, of one forward pass


@dataclass(frozen=True, slots=True, kw_only=True)
class SolutionScores:
    """What a reward model says of one solution."""

    ends: tuple[int, ...]  # character offsets just past each scored step
    step_scores: tuple[float, ...]  # probabilities; of an ORM one, at the end
    tokens: int  # the model read


class RewardModelScorer:
    """Scores solutions in batches cut by tokens."""

    def __init__(self, loaded: LoadedRewardModel, *, max_tokens: int = MAX_TOKENS) -> None:
        self.loaded = loaded
        self._max_tokens = max_tokens

    @torch.no_grad()
    def score(
        self, questions: Sequence[str], responses: Sequence[str], *, finished: Sequence[bool]
    ) -> list[SolutionScores]:
        """The scores of each response, in the caller's order.

        A response without text has no step, so it has no score and is not read.

        Args:
            questions: ``questions[i]`` is what ``responses[i]`` answers.
            responses: the solutions.
            finished: whether each ended by itself; no EOS is read after one that was cut.
        """
        ends = [self._ends(response) for response in responses]
        scores = [SolutionScores(ends=(), step_scores=(), tokens=0)] * len(responses)
        scored = [index for index, one in enumerate(ends) if one]
        solutions = {
            index: self.loaded.encode(
                questions[index], responses[index], ends=ends[index], finished=finished[index]
            )
            for index in scored
        }
        lengths = [len(solutions[index].token_ids) for index in scored]
        for cut in cut_by_tokens(lengths, max_tokens=self._max_tokens):
            chosen = [scored[place] for place in cut]
            values = iter(
                self.loaded.log_odds([solutions[index] for index in chosen]).sigmoid().tolist()
            )
            for index in chosen:
                scores[index] = SolutionScores(
                    ends=ends[index],
                    step_scores=tuple(next(values) for _ in ends[index]),
                    tokens=len(solutions[index].token_ids),
                )
        return scores

    def _ends(self, response: str) -> tuple[int, ...]:
        steps = split_steps(response)
        if self.loaded.kind is RewardKind.OUTCOME and steps:
            return (len(response),)
        return tuple(step.end for step in steps)


def solution_score(step_scores: Sequence[float], how: SolutionScore) -> float:
    """One score of a solution from those of its steps; 0 of a solution without steps."""
    if not step_scores:
        return 0.0
    match how:
        case SolutionScore.MIN:
            return min(step_scores)
        case SolutionScore.PRODUCT:
            return math.prod(step_scores)
        case SolutionScore.LAST:
            return step_scores[-1]
        case SolutionScore.MEAN:
            return sum(step_scores) / len(step_scores)
