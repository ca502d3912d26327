"""The verifier of every text task: extraction, exact comparison, then math-verify in a child.

A response is correct if its answer, leniently extracted, equals the problem's. Whether it also
kept the asked format is reported apart: `Verdict.extracted` is the strictly extracted answer, or
None. Three outcomes: an answer that cannot be parsed, or that no parser should see, is *wrong*;
only a time-out or a crash of math-verify gives no verdict.
"""

import importlib.util
import threading
from collections.abc import Sequence

from bakeoff.errors import ConfigError
from bakeoff.interfaces import Verdict
from bakeoff.rewards.answers import same_answer
from bakeoff.rewards.extract import extract
from bakeoff.rewards.math_process import Comparison, MathProcess
from bakeoff.rewards.screen import MAX_ANSWER_CHARACTERS, refusal
from bakeoff.types import Problem

DEFAULT_SECONDS = 5.0
REMEMBERED_PAIRS = 100_000


class MathVerifier:
    """Judges answers of mathematics; safe to call from several threads.

    Args:
        seconds: wall-clock limit of one comparison in the child; a longer one kills the child.
    """

    def __init__(self, *, seconds: float = DEFAULT_SECONDS) -> None:
        if seconds <= 0:
            raise ConfigError(f"seconds of a verifier must be above 0, got {seconds}")
        if importlib.util.find_spec("math_verify") is None:
            raise ConfigError("checking answers of this task needs math-verify; pip install it")
        self._process = MathProcess(seconds=seconds)
        self._lock = threading.Lock()
        self._closed = False
        # The completions of a group give the same few answers again and again.
        self._known: dict[tuple[str, str], Comparison] = {}

    def verify(self, problems: Sequence[Problem], responses: Sequence[str]) -> list[Verdict]:
        with self._lock:
            if self._closed:
                raise RuntimeError("this verifier is closed; ask the task for another")
            return [
                self._judge(problem, response)
                for problem, response in zip(problems, responses, strict=True)
            ]

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._process.close()

    def _judge(self, problem: Problem, response: str) -> Verdict:
        extraction = extract(response)
        if extraction.answer is None:
            return Verdict(correct=False, reason="no answer found")
        comparison = self._compare(problem.answer, extraction.answer)
        strict = extraction.strict_answer
        return Verdict(
            correct=comparison.correct,
            extracted=None if strict is None else strict[:MAX_ANSWER_CHARACTERS],
            reason=comparison.reason,
        )

    def _compare(self, gold: str, answer: str) -> Comparison:
        if len(answer) <= MAX_ANSWER_CHARACTERS:
            equal = same_answer(gold, answer)
            if equal is not None:
                return Comparison(correct=equal, reason="" if equal else f"is not {gold}")
        refused = refusal(answer)
        if refused is not None:
            return Comparison(correct=False, reason=f"refused: {refused}")
        if (gold, answer) not in self._known:
            comparison = self._process.compare(gold, answer)
            if comparison.correct is None:
                return comparison  # another time it may get its verdict
            if len(self._known) >= REMEMBERED_PAIRS:
                self._known.clear()
            self._known[gold, answer] = comparison
        return self._known[gold, answer]
