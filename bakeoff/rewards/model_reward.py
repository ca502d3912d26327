"""The reward of a trained reward model, for solutions or for their steps."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from bakeoff.config import SolutionScore
from bakeoff.interfaces import Verifier
from bakeoff.models.flops import flops_model
from bakeoff.reward_models.folder import RewardHead, RewardKind
from bakeoff.reward_models.model import LoadedRewardModel, load_reward_model
from bakeoff.reward_models.scoring import RewardModelScorer, SolutionScores, solution_score
from bakeoff.rewards.judging import judge_completions
from bakeoff.rewards.step_reward import merge_steps
from bakeoff.rewards.steps import step_tokens
from bakeoff.types import Completion, Prompt, Reward


class ModelReward:
    """Outcome by a reward model, and with a process reward model a reward for every step.

    The reward model reads the text with its own tokenizer and prompt; `correct` is the verifier's
    word all the same. A response that was cut is scored like any other, but without an EOS; one
    without text scores 0.

    Args:
        loaded: the live reward model; it may be trained between two calls.
        verifier: says what is correct.
        tokenizer: the policy's, for the tokens at which steps end.
        how: makes the outcome of the step scores.
        max_tokens: padded, of one forward pass of the reward model.
    """

    def __init__(
        self,
        loaded: LoadedRewardModel,
        *,
        verifier: Verifier,
        tokenizer: PreTrainedTokenizerBase,
        how: SolutionScore,
        max_tokens: int,
    ) -> None:
        self.loaded = loaded
        self._scorer = RewardModelScorer(loaded, max_tokens=max_tokens)
        self._verifier = verifier
        self._tokenizer = tokenizer
        self._how = how
        self.flops_per_token = _flops_per_token(loaded)

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        verifier: Verifier,
        tokenizer: PreTrainedTokenizerBase,
        device: torch.device,
        how: SolutionScore,
        max_tokens: int,
    ) -> ModelReward:
        """The reward of the reward model in a folder.

        Raises:
            ConfigError: the folder holds no reward model.
        """
        return cls(
            load_reward_model(Path(folder), device=str(device)),
            verifier=verifier,
            tokenizer=tokenizer,
            how=how,
            max_tokens=max_tokens,
        )

    @property
    def scores_steps(self) -> bool:
        return self.loaded.kind is RewardKind.PROCESS

    def score(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[Reward]:
        correct = judge_completions(self._verifier, prompts, completions)
        scores = self._scorer.score(
            [prompt.problem.question for prompt in prompts],
            [completion.text for completion in completions],
            finished=[completion.finish == "stop" for completion in completions],
        )
        return [
            self._reward(completion, verdict, one)
            for completion, verdict, one in zip(completions, correct, scores, strict=True)
        ]

    def _reward(
        self, completion: Completion, correct: bool | None, scores: SolutionScores
    ) -> Reward:
        ends: tuple[int, ...] = ()
        values: tuple[float, ...] = ()
        if self.scores_steps:
            tokens = step_tokens(completion, scores.ends, self._tokenizer)
            ends, values = merge_steps(tokens, scores.step_scores)
        return Reward(
            correct=correct,
            outcome=solution_score(scores.step_scores, self._how),
            step_ends=ends,
            step_values=values,
            model_tokens=scores.tokens,
        )


def _flops_per_token(loaded: LoadedRewardModel) -> float:
    """Of a forward pass through the weights it uses; attention scores are left out."""
    flops = flops_model(loaded.model.backbone)
    reads_logits = loaded.info.head is RewardHead.LIKELIHOOD
    return 2.0 * (flops.trunk_weights + reads_logits * flops.head_weights)
