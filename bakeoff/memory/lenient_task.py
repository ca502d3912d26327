"""The built-in task with a judge that random weights can please, to measure what a run costs."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace

from bakeoff.interfaces import Verdict, Verifier
from bakeoff.tasks.arithmetic_task import ArithmeticTask, ArithmeticVerifier
from bakeoff.types import Problem

# One in so many wrong responses stays wrong: methods that train on correct ones get nearly a whole
# batch, and those that compare the responses of a group still find a spread.
REFUSED = 8


class LenientTask(ArithmeticTask):
    """Arithmetic in which most responses count as correct, whatever they say."""

    def verifier(self) -> Verifier:
        return LenientVerifier()


class LenientVerifier(ArithmeticVerifier):
    """Correct if it is, or by the checksum of the response."""

    def verify(self, problems: Sequence[Problem], responses: Sequence[str]) -> list[Verdict]:
        verdicts = super().verify(problems, responses)
        return [
            replace(verdict, correct=True) if zlib.crc32(response.encode()) % REFUSED else verdict
            for verdict, response in zip(verdicts, responses, strict=True)
        ]
