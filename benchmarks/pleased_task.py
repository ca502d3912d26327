"""The built-in task with a judge that every response pleases: all that is sampled is trained on."""

from __future__ import annotations

from collections.abc import Sequence

from bakeoff.interfaces import Verdict, Verifier
from bakeoff.tasks.arithmetic_task import ArithmeticTask, ArithmeticVerifier
from bakeoff.types import Problem


class PleasedTask(ArithmeticTask):
    """Arithmetic in which every response is correct."""

    def verifier(self) -> Verifier:
        return PleasedVerifier()


class PleasedVerifier(ArithmeticVerifier):
    """Correct, whatever it says."""

    def verify(self, problems: Sequence[Problem], responses: Sequence[str]) -> list[Verdict]:
        return [Verdict(correct=True) for _ in zip(problems, responses, strict=True)]
