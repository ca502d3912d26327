"""Steps of a solution: where each ends, in characters and in tokens."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from transformers import PreTrainedTokenizerBase

from bakeoff.types import Completion

_LINE = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a response: a line that is not blank."""

    text: str  # without the space around it
    end: int  # character offset just past the step and the line breaks after it


def split_steps(text: str) -> list[Step]:
    """The lines of a response that are not blank; blank lines belong to the step before them.

    A line break belongs to the step it ends: only there can a causal model know that the step is
    over.
    """
    steps: list[Step] = []
    offset = 0
    for line in _LINE.findall(text):
        offset += len(line)
        if line.strip():
            steps.append(Step(text=line.strip(), end=offset))
        elif steps:
            steps[-1] = Step(text=steps[-1].text, end=offset)
    return steps


def step_tokens(
    completion: Completion, ends: Sequence[int], tokenizer: PreTrainedTokenizerBase
) -> tuple[int, ...]:
    """Index of the last token of each step that ends at a character offset, never decreasing.

    The last step of a response that ended by itself ends with its EOS.
    """
    indices = token_indices(completion.token_ids, ends, tokenizer)
    if indices and completion.finish == "stop":
        return (*indices[:-1], len(completion.token_ids) - 1)
    return indices


def token_indices(
    token_ids: Sequence[int], ends: Sequence[int], tokenizer: PreTrainedTokenizerBase
) -> tuple[int, ...]:
    """Index of the token that holds the character before each offset of the decoded text."""
    pieces = [_piece(tokenizer, token) for token in token_ids]
    whole = tokenizer.decode(list(token_ids), skip_special_tokens=True)
    last = len(token_ids) - 1
    if "".join(pieces) == whole:
        reached = list(accumulate(len(piece) for piece in pieces))
        return tuple(min(bisect_left(reached, end), last) for end in ends)
    # A character of several tokens, or a tokenizer that strips spaces: only prefixes tell.
    prefixes = range(1, len(token_ids) + 1)

    def length(count: int) -> int:
        prefix: str = tokenizer.decode(list(token_ids[:count]), skip_special_tokens=True)
        # Half a character decodes to replacement characters, which are not of the text.
        while not whole.startswith(prefix):
            prefix = prefix[:-1]
        return len(prefix)

    return tuple(min(bisect_left(prefixes, end, key=length), last) for end in ends)


@lru_cache(maxsize=1 << 18)
def _piece(tokenizer: PreTrainedTokenizerBase, token: int) -> str:
    text: str = tokenizer.decode([token], skip_special_tokens=True)
    return text
