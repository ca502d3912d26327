"""The verifier of every text task: extraction, exact comparison, then math-verify in a child.

A response is correct if its answer, leniently extracted, equals the problem's. Whether it also
kept the asked format is reported apart: `Verdict.extracted` is the strictly extracted answer, or
None. Three outcomes: an answer that cannot be parsed, or that no parser should see, is *wrong*;
only a time-out or a crash of math-verify gives no verdict.
"""

import importlib.util
import threading
from collections.abc import Iterable, Sequence

from bakeoff.errors import ConfigError
from bakeoff.interfaces import Verdict
from bakeoff.rewards.answers import same_answer
from bakeoff.rewards.extract import Extraction, extract
from bakeoff.rewards.math_pool import MathPool
from bakeoff.rewards.math_process import Comparison, Pair
from bakeoff.rewards.screen import MAX_ANSWER_CHARACTERS, refusal
from bakeoff.types import Problem

DEFAULT_SECONDS = 5.0
REMEMBERED_PAIRS = 100_000


class MathVerifier:
    """Judges answers of mathematics; safe to call from several threads, which take turns.

    Args:
        seconds: wall-clock limit of one comparison in a child; a longer one kills the child.
        workers: children that compare at once.
    """

    def __init__(self, *, seconds: float = DEFAULT_SECONDS, workers: int = 1) -> None:
        if seconds <= 0:
            raise ConfigError(f"seconds of a verifier must be above 0, got {seconds}")
        if importlib.util.find_spec("math_verify") is None:
            raise ConfigError("checking answers of this task needs math-verify; pip install it")
        self._pool = MathPool(workers=_checked(workers), seconds=seconds)
        self._lock = threading.Lock()
        self._closed = False
        # The completions of a group give the same few answers again and again.
        self._known: dict[Pair, Comparison] = {}

    def resize(self, workers: int) -> None:
        """Lets this many children compare at once; they start when they are needed."""
        self._pool.workers = _checked(workers)

    def limit(self, seconds: float) -> None:
        """Gives comparisons this long, in children that start from now on."""
        self._pool.seconds = seconds

    def verify(self, problems: Sequence[Problem], responses: Sequence[str]) -> list[Verdict]:
        with self._lock:
            if self._closed:
                raise RuntimeError("this verifier is closed; ask the task for another")
            extractions = [extract(response) for response in responses]
            pairs = [
                None if found.answer is None else Pair(gold=problem.answer, answer=found.answer)
                for problem, found in zip(problems, extractions, strict=True)
            ]
            comparisons = self._compare(dict.fromkeys(pair for pair in pairs if pair is not None))
            return [
                _verdict(extraction, None if pair is None else comparisons[pair])
                for extraction, pair in zip(extractions, pairs, strict=True)
            ]

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._pool.close()

    def _compare(self, pairs: Iterable[Pair]) -> dict[Pair, Comparison]:
        """Each pair is settled here if strings and numbers can, else by a child."""
        settled = {pair: self._known.get(pair) or _settle(pair) for pair in pairs}
        hard = [pair for pair, comparison in settled.items() if comparison is None]
        asked = dict(zip(hard, self._pool.compare(hard), strict=True))
        # Where the child failed there may be a verdict another time.
        lasting = {pair: found for pair, found in asked.items() if found.correct is not None}
        if len(self._known) + len(lasting) > REMEMBERED_PAIRS:
            self._known.clear()
        self._known |= lasting
        return {pair: found for pair, found in settled.items() if found is not None} | asked


def _checked(workers: int) -> int:
    if workers < 1:
        raise ConfigError(f"workers of a verifier must be 1 or more, got {workers}")
    return workers


def _settle(pair: Pair) -> Comparison | None:
    """What needs no algebra; None leaves it to a child."""
    is_short = len(pair.answer) <= MAX_ANSWER_CHARACTERS
    if is_short:
        equal = same_answer(pair.gold, pair.answer)
        if equal is not None:
            return Comparison(correct=equal, reason="" if equal else f"is not {pair.gold}")
    refused = refusal(pair.answer)
    # A problem that asks for such an answer is served too, within the time limit.
    if refused is None or (is_short and refusal(pair.gold) is not None):
        return None
    return Comparison(correct=False, reason=f"refused: {refused}")


def _verdict(extraction: Extraction, comparison: Comparison | None) -> Verdict:
    if comparison is None:
        return Verdict(correct=False, reason="no answer found")
    strict = extraction.strict_answer
    return Verdict(
        correct=comparison.correct,
        extracted=None if strict is None else strict[:MAX_ANSWER_CHARACTERS],
        reason=comparison.reason,
    )
