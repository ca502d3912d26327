"""Solutions that nobody sampled, as rollouts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from transformers import PreTrainedTokenizerBase

from bakeoff.models.prompts import PromptFormat
from bakeoff.types import Completion, Problem, Reward, Rollout


class DemonstrationSource:
    """The task's own solutions, written as rollouts of reward 1; nothing is sampled."""

    def __init__(
        self,
        solutions: Callable[[], Iterator[tuple[Problem, str]]],
        prompts: PromptFormat,
        tokenizer: PreTrainedTokenizerBase,
        *,
        eos_token_id: int,
        per_batch: int,
        updates: int | None,
    ) -> None:
        self._solutions = solutions
        self._prompts = prompts
        self._tokenizer = tokenizer
        self._eos_token_id = eos_token_id
        self._per_batch = per_batch
        self._updates = updates
        self._stream: Iterator[tuple[Problem, str]] = iter(())
        self._next_batch = -1

    def prepare(self) -> None:
        """Nothing comes before the first batch."""

    @property
    def batches(self) -> int | None:
        return self._updates

    def draw(self, batch: int) -> list[Rollout]:
        if batch != self._next_batch:
            self._stream = islice(self._solutions(), batch * self._per_batch, None)
        self._next_batch = batch + 1
        return [
            self._rollout(problem, text, group)
            for group, (problem, text) in enumerate(islice(self._stream, self._per_batch))
        ]

    def _rollout(self, problem: Problem, text: str, group: int) -> Rollout:
        token_ids = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return Rollout(
            problem=problem,
            prompt_ids=self._prompts.render(problem).token_ids,
            completion=Completion(
                text=text,
                token_ids=(*token_ids, self._eos_token_id),
                logprobs=(),
                finish="stop",
                policy_version=0,
            ),
            reward=Reward(correct=True, outcome=1.0),
            group=group,
        )
