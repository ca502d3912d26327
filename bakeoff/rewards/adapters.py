"""Reward functions that are written for other libraries."""

import math
from collections.abc import Callable, Sequence
from typing import Any, SupportsFloat

from bakeoff.errors import ConfigError
from bakeoff.interfaces import Verifier
from bakeoff.rewards.judging import judge_completions
from bakeoff.types import Completion, Prompt, Reward


class CallableReward:
    """A callable in TRL's form as a reward function.

    It is called as ``function(prompts=..., completions=..., **columns)`` with lists of equal
    length: the prompts' and completions' texts, and the columns ``completion_ids``, ``question``,
    ``answer``, ``id`` and ``finish`` ("stop" or "length"). It returns one number per completion;
    None is unscorable. Only `outcome` is its own: `correct` is always the verifier's word.
    """

    scores_steps = False
    flops_per_token = 0.0

    def __init__(self, function: Callable[..., Any], verifier: Verifier) -> None:
        self._function = function
        self._verifier = verifier
        self._name = getattr(function, "__qualname__", type(function).__qualname__)

    def score(self, prompts: Sequence[Prompt], completions: Sequence[Completion]) -> list[Reward]:
        correct = judge_completions(self._verifier, prompts, completions)
        outcomes = self._outcomes(prompts, completions)
        return [
            Reward(correct=one, outcome=outcome)
            for one, outcome in zip(correct, outcomes, strict=True)
        ]

    def _outcomes(
        self, prompts: Sequence[Prompt], completions: Sequence[Completion]
    ) -> list[float | None]:
        try:
            returned = self._function(
                prompts=[prompt.text for prompt in prompts],
                completions=[completion.text for completion in completions],
                completion_ids=[list(completion.token_ids) for completion in completions],
                question=[prompt.problem.question for prompt in prompts],
                answer=[prompt.problem.answer for prompt in prompts],
                id=[prompt.problem.id for prompt in prompts],
                finish=[completion.finish for completion in completions],
            )
        except Exception as error:
            raise ConfigError(
                f"reward {self._name} raised {type(error).__name__}: "
                f"{' '.join(str(error).split())}; it is called with prompts, completions, "
                "completion_ids, question, answer, id and finish, and may take **kwargs"
            ) from error
        values = self._as_list(returned)
        if len(values) != len(completions):
            raise ConfigError(
                f"reward {self._name} returned {len(values)} values for {len(completions)} "
                "completions; it must return one number, or None, for each"
            )
        return [self._as_outcome(value, index) for index, value in enumerate(values)]

    def _as_list(self, returned: Any) -> list[Any]:
        # A tensor or an array says tolist; its numbers become Python's.
        values = returned.tolist() if hasattr(returned, "tolist") else returned
        if isinstance(values, list | tuple):
            return list(values)
        raise ConfigError(
            f"reward {self._name} returned a {type(returned).__name__}; it must return a list of "
            "one number, or None, for each completion"
        )

    def _as_outcome(self, value: Any, index: int) -> float | None:
        if value is None:
            return None
        if isinstance(value, SupportsFloat) and not isinstance(value, str):
            number = float(value)
            if math.isfinite(number):
                return number
        raise ConfigError(
            f"reward {self._name} returned {value!r} for completion {index}; it must be a finite "
            "number, or None where it cannot score"
        )
