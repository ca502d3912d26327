"""A solution as the tokens that a reward model or a completer reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from bakeoff.rewards.steps import token_indices
from bakeoff.types import Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class EncodedSolution:
    """Prompt and response in one row."""

    token_ids: tuple[int, ...]
    prompt_tokens: int  # the first of them
    ends: tuple[int, ...]  # index into token_ids of the token that ends each step


def encode_solution(
    prompt: Prompt,
    response: str,
    *,
    ends: Sequence[int],
    tokenizer: PreTrainedTokenizerBase,
    eos_token_id: int | None,
) -> EncodedSolution:
    """Prompt, response and, where given, EOS, with the token that ends each step.

    Args:
        prompt: rendered with the same tokenizer.
        response: the solution's text.
        ends: character offsets into `response`, each just past a step.
        tokenizer: of the model that reads the row.
        eos_token_id: ends the row, and with it a step that ends where the response does; None
            for a response that was cut.
    """
    response_ids = tuple(tokenizer(response, add_special_tokens=False)["input_ids"])
    indices = token_indices(response_ids, ends, tokenizer)
    if eos_token_id is not None:
        response_ids = (*response_ids, eos_token_id)
        indices = tuple(
            len(response_ids) - 1 if end >= len(response) else index
            for end, index in zip(ends, indices, strict=True)
        )
    offset = len(prompt.token_ids)
    return EncodedSolution(
        token_ids=prompt.token_ids + response_ids,
        prompt_tokens=offset,
        ends=tuple(offset + index for index in indices),
    )
