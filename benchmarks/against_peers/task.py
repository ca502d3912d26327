"""Questions made of random letters, as a task of ours and as lists for the peers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bakeoff.interfaces import Verifier
    from bakeoff.types import Problem, Split

LETTERS = tuple("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRST")
QUESTIONS = 256
SHORTEST, LONGEST = 8, 24  # letters


def questions() -> list[str]:
    """Distinct texts of letters with spaces between them; the same at every call."""
    random_state = random.Random("against_peers")
    return [
        " ".join(random_state.choices(LETTERS, k=random_state.randint(SHORTEST, LONGEST)))
        for _ in range(QUESTIONS)
    ]


class LetterTask:
    """`questions` as problems; every split holds the same."""

    name = "letters"
    instruction = "{question}"

    def problems(self, split: Split, *, count: int | None = None) -> list[Problem]:
        # Peers read `questions`, and have no bakeoff.
        from bakeoff.types import Problem

        return [
            Problem(id=f"letters/{number}", question=text, answer="7")
            for number, text in enumerate(questions()[:count])
        ]

    def demonstrations(self, *, seed: int) -> Iterator[tuple[Problem, str]]:
        return iter(())

    def gold_demonstrations(self, *, seed: int) -> Iterator[tuple[Problem, str]]:
        return iter(())

    def gold_response(self, problem: Problem) -> str:
        return f"\\boxed{{{problem.answer}}}"

    def verifier(self) -> Verifier:
        from bakeoff.rewards.math_verifier import MathVerifier

        return MathVerifier()

    def step_checker(self) -> None:
        return None
