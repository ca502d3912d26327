"""The rule reward, and for every step the word of a step checker."""

import math
from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from bakeoff.errors import ConfigError
from bakeoff.interfaces import StepChecker, Verifier
from bakeoff.rewards.judging import judge_completions
from bakeoff.rewards.rule import rule_outcome
from bakeoff.rewards.steps import split_steps, step_tokens
from bakeoff.types import Completion, Prompt, Reward


class StepReward:
    """Outcome by the verifier, steps by a checker: oracle process supervision."""

    scores_steps = True
    flops_per_token = 0.0

    def __init__(
        self,
        verifier: Verifier,
        checker: StepChecker,
        tokenizer: PreTrainedTokenizerBase,
        *,
        wrong_reward: float = 0.0,
    ) -> None:
        self._verifier = verifier
        self._checker = checker
        self._tokenizer = tokenizer
        self._wrong_reward = wrong_reward

    def score(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[Reward]:
        correct = judge_completions(self._verifier, prompts, completions)
        return [
            self._reward(prompt, completion, verdict)
            for prompt, completion, verdict in zip(prompts, completions, correct, strict=True)
        ]

    def _reward(self, prompt: Prompt, completion: Completion, correct: bool | None) -> Reward:
        steps = split_steps(completion.text)
        values = self._checked(prompt, [step.text for step in steps])
        tokens = step_tokens(completion, [step.end for step in steps], self._tokenizer)
        ends, values = merge_steps(tokens, values)
        return Reward(
            correct=correct,
            outcome=rule_outcome(correct, self._wrong_reward),
            step_ends=ends,
            step_values=values,
        )

    def _checked(self, prompt: Prompt, steps: Sequence[str]) -> tuple[float, ...]:
        try:
            values = tuple(float(value) for value in self._checker(prompt.problem, steps))
        except Exception as error:
            raise ConfigError(
                f"the step checker raised {type(error).__name__} on {prompt.problem.id}: "
                f"{' '.join(str(error).split())}; it is called with the problem and a list of "
                "texts, and any text can come"
            ) from error
        if len(values) != len(steps) or not all(map(math.isfinite, values)):
            raise ConfigError(
                f"the step checker returned {list(values)} for {len(steps)} steps of "
                f"{prompt.problem.id}; it must return one finite number for each"
            )
        return values


def merge_steps(
    tokens: Sequence[int], values: Sequence[float]
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Ends and values of steps, those that end in the same token as one with the lowest value."""
    lowest: dict[int, float] = {}
    for token, value in zip(tokens, values, strict=True):
        lowest[token] = min(value, lowest.get(token, value))
    return tuple(lowest), tuple(lowest.values())
