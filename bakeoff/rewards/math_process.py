"""One killable child process that runs math-verify."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakeoff.errors import ConfigError

_CHILD = Path(__file__).with_name("math_child.py")
STARTUP_SECONDS = 120.0  # to import sympy, on a machine under load
MEMORY_BYTES = 4 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A question to the child: do these two answers state the same?"""

    gold: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What was found about one pair; `correct` is None when the child failed on it."""

    correct: bool | None
    reason: str


class MathProcess:
    """A child from its start to its end; whoever kills it makes another.

    It takes pairs in order and answers them in that order. Not safe to share between threads.
    """

    def __init__(self, *, seconds: float, memory_bytes: int = MEMORY_BYTES) -> None:
        self._seconds = seconds
        self._process = subprocess.Popen(
            # -P keeps this folder off the path: its modules must not shadow anyone's.
            [sys.executable, "-P", str(_CHILD), str(seconds), str(memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )
        # Also runs when this object is collected and when the interpreter exits.
        self._end = weakref.finalize(self, _kill, self._process, os.getpid())
        self._received = b""
        self._ready = False
        self._unanswered = 0
        self.answered = 0
        self.deadline = time.monotonic() + STARTUP_SECONDS  # of whatever it does next

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_idle(self) -> bool:
        """Whether it is up and nothing is asked of it."""
        return self._ready and not self._unanswered

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def fileno(self) -> int:
        """The pipe that is readable when there is something to `receive`."""
        assert self._process.stdout is not None
        return self._process.stdout.fileno()

    def send(self, pairs: Sequence[Pair]) -> None:
        """Asks an idle child, which reads on between its answers.

        Raises:
            OSError: it is dead.
        """
        assert self._process.stdin is not None and self.is_idle
        lines = [json.dumps({"gold": pair.gold, "answer": pair.answer}) for pair in pairs]
        self.deadline = time.monotonic() + self._seconds
        self._unanswered = len(lines)
        self._process.stdin.write("".join(f"{line}\n" for line in lines).encode())

    def receive(self) -> list[Comparison]:
        """The answers that have arrived; the clock of the next one starts here.

        Raises:
            EOFError: it is dead.
            ConfigError: it could not start.
        """
        chunk = os.read(self.fileno(), 65536)
        if not chunk and not self._ready:
            raise ConfigError(
                f"the answer checker did not start: {sys.executable} {_CHILD} ended at once; "
                "run it by hand to see why"
            )
        if not chunk:
            raise EOFError
        *lines, self._received = (self._received + chunk).split(b"\n")
        replies = [json.loads(line) for line in lines]
        if replies and not self._ready:
            _check_ready(replies.pop(0))
            self._ready = True
        if replies:
            self._unanswered -= len(replies)
            self.answered += len(replies)
            self.deadline = time.monotonic() + self._seconds
        return [Comparison(correct=reply["correct"], reason=reply["reason"]) for reply in replies]

    def close(self) -> None:
        """Kills it."""
        self._end()


def _check_ready(reply: dict[str, Any]) -> None:
    if not reply["ready"]:
        raise ConfigError(
            f"the answer checker did not start: {reply['reason']}; pip install math-verify"
        )


def _kill(process: subprocess.Popen[bytes], owner: int) -> None:
    if os.getpid() != owner:
        return  # a fork of the owner; the process is not its to end
    if process.poll() is None:
        # Its whole session, whatever it may have started.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
