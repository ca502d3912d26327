"""What a row of a text data set becomes, and the demonstrations that come of it."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bakeoff.types import Problem

# arXiv:2402.03300v3, the prompts of DeepSeekMath's evaluation, as format strings.
ENGLISH_INSTRUCTION = (
    "{question}\nPlease reason step by step, and put your final answer within \\boxed{{}}."
)
CHINESE_INSTRUCTION = "{question}\n请通过逐步推理来解答问题，并把最终答案放置于\\boxed{{}}中。"


def boxed_response(answer: str) -> str:
    """The end of a response in the format that both instructions ask for."""
    return f"The answer is \\boxed{{{answer}}}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A question, its answer and, where the data set has one, a worked solution."""

    question: str
    answer: str
    solution: str | None = None  # ends in the format that the instruction asks for
    key: str | None = None  # the data set's own name of it; None: its position names it


def repeat_shuffled(
    pairs: Sequence[tuple[Problem, str]], *, address: str
) -> Iterator[tuple[Problem, str]]:
    """Endless passes over `pairs`, each in an order of its own that `address` decides."""
    random_state = random.Random(address)
    while True:
        yield from random_state.sample(pairs, len(pairs))
