"""Children that run math-verify side by side, with a wall-clock limit per answer."""

import math
import selectors
import time
from collections import deque
from collections.abc import Iterable, Sequence

from bakeoff.errors import ConfigError
from bakeoff.rewards.math_process import (
    MEMORY_BYTES,
    STARTUP_SECONDS,
    Comparison,
    MathProcess,
    Pair,
)

# Pairs that a child has at once, so that it need not wait for this process between two.
WINDOW_PAIRS = 16
# Of them; far below a pipe's 64 KiB, so that neither side ever blocks on writing to the other.
WINDOW_CHARACTERS = 4000
# Parsers and sympy remember what they have seen, about 1 MB a thousand pairs.
PAIRS_A_CHILD = 20_000


class MathPool:
    """Up to `workers` children, each started when there is work for it.

    A time-out or a crash costs the answer that the child was at and the child, which is replaced;
    what it had not come to is asked again. Not safe to share between threads; `MathVerifier` holds
    a lock.

    Args:
        seconds: wall-clock limit of one comparison.
    """

    def __init__(self, *, workers: int, seconds: float, memory_bytes: int = MEMORY_BYTES) -> None:
        self.workers = workers
        self.seconds = seconds
        self._memory_bytes = memory_bytes
        self._asked: dict[MathProcess, deque[int]] = {}  # indices of the pairs each child is at

    @property
    def pids(self) -> list[int]:
        """Of the children there are now, busy or not."""
        return [process.pid for process in self._asked]

    def compare(self, pairs: Sequence[Pair]) -> list[Comparison]:
        """Whether each pair's answers are equal, in order.

        Raises:
            ConfigError: a child cannot be started.
        """
        found: dict[int, Comparison] = {}
        waiting = deque(range(len(pairs)))
        try:
            while len(found) < len(pairs):
                self._hand_out(pairs, waiting, found)
                self._collect(waiting, found)
        except BaseException:
            # A child would answer what nobody waits for any more.
            self.close()
            raise
        return [found[index] for index in range(len(pairs))]

    def close(self) -> None:
        """Kills every child; comparing again starts others."""
        for process in list(self._asked):
            self._drop(process)

    def _hand_out(
        self, pairs: Sequence[Pair], waiting: deque[int], found: dict[int, Comparison]
    ) -> None:
        for process in [one for one in self._asked if one.is_idle]:
            # One that died with nothing to do is no answer's fault.
            if not process.is_alive or process.answered >= PAIRS_A_CHILD:
                self._drop(process)
                continue
            chosen = self._next(pairs, waiting)
            if not chosen:
                return
            self._asked[process].extend(chosen)
            try:
                process.send([pairs[index] for index in chosen])
            except OSError:
                self._give_up(process, "math-verify crashed", waiting, found)
        starting = sum(not asked for asked in self._asked.values())
        for _ in range(min(self.workers - len(self._asked), len(waiting) - starting)):
            process = MathProcess(seconds=self.seconds, memory_bytes=self._memory_bytes)
            self._asked[process] = deque()

    def _next(self, pairs: Sequence[Pair], waiting: deque[int]) -> list[int]:
        """A fair share of what is left, taken off it; small enough for the pipe."""
        share = min(WINDOW_PAIRS, math.ceil(len(waiting) / self.workers))
        chosen: list[int] = []
        room = WINDOW_CHARACTERS
        while len(chosen) < share:
            room -= len(pairs[waiting[0]].gold) + len(pairs[waiting[0]].answer)
            # An oversized pair goes alone: the child does nothing else than read it.
            if chosen and room < 0:
                break
            chosen.append(waiting.popleft())
        return chosen

    def _collect(self, waiting: deque[int], found: dict[int, Comparison]) -> None:
        """Waits for the next answers or time-outs, and takes them all."""
        busy = [process for process in self._asked if not process.is_idle]
        if not busy:
            return
        # From before the look at the pipes: an answer that is there already came in time.
        now = time.monotonic()
        readable = _readable(busy, seconds=max(0.0, min(one.deadline for one in busy) - now))
        for process in busy:
            asked = self._asked[process]
            if process in readable:
                try:
                    comparisons = process.receive()
                except (EOFError, OSError):
                    self._give_up(process, "math-verify crashed", waiting, found)
                    continue
                for comparison in comparisons:
                    found[asked.popleft()] = comparison
            elif process.deadline <= now and not asked:
                raise ConfigError(
                    f"the answer checker did not start within {STARTUP_SECONDS:g} s; "
                    "is the machine overloaded?"
                )
            elif process.deadline <= now:
                reason = f"math-verify took over {self.seconds:g} s"
                self._give_up(process, reason, waiting, found)

    def _give_up(
        self,
        process: MathProcess,
        reason: str,
        waiting: deque[int],
        found: dict[int, Comparison],
    ) -> None:
        """Ends a child without a verdict for the pair it was at; the rest waits again."""
        at, *unanswered = self._asked[process]
        found[at] = Comparison(correct=None, reason=reason)
        waiting.extendleft(reversed(unanswered))
        self._drop(process)

    def _drop(self, process: MathProcess) -> None:
        del self._asked[process]
        process.close()


def _readable(processes: Iterable[MathProcess], *, seconds: float) -> set[object]:
    with selectors.DefaultSelector() as selector:
        for process in processes:
            selector.register(process, selectors.EVENT_READ)
        return {key.fileobj for key, _ in selector.select(seconds)}
