"""One killable process that runs math-verify, with a wall-clock limit per answer."""

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bakeoff.errors import ConfigError

_CHILD = Path(__file__).with_name("math_child.py")
STARTUP_SECONDS = 120.0  # to import sympy, on a machine under load
MEMORY_BYTES = 4 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What the process said about one pair of answers; `correct` is None when it failed."""

    correct: bool | None
    reason: str


class MathProcess:
    """Starts when it is first needed, and again after every kill or crash.

    Not safe to share between threads; `MathVerifier` holds a lock.
    """

    def __init__(self, *, seconds: float, memory_bytes: int = MEMORY_BYTES) -> None:
        self._seconds = seconds
        self._memory_bytes = memory_bytes
        self._process: subprocess.Popen[bytes] | None = None
        self._end: Callable[[], object] = lambda: None

    @property
    def pid(self) -> int | None:
        """Of the running process; None when there is none."""
        return self._process.pid if self._process is not None else None

    def compare(self, gold: str, answer: str) -> Comparison:
        """Whether the answers are equal; a time-out or crash ends the process."""
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._start()
        try:
            self._send({"gold": gold, "answer": answer})
            reply = self._receive(self._seconds)
        except TimeoutError:
            self.close()
            return Comparison(correct=None, reason=f"math-verify took over {self._seconds:g} s")
        except (OSError, EOFError):
            self.close()
            return Comparison(correct=None, reason="math-verify crashed")
        return Comparison(correct=reply["correct"], reason=reply["reason"])

    def close(self) -> None:
        """Kills the process, if there is one."""
        self._end()
        self._process = None

    def _start(self) -> None:
        process = subprocess.Popen(
            # -P keeps this folder off the path: its modules must not shadow anyone's.
            [sys.executable, "-P", str(_CHILD), str(self._seconds), str(self._memory_bytes)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
            start_new_session=True,
        )
        self._process = process
        # Also runs when this object is collected and when the interpreter exits.
        self._end = weakref.finalize(self, _kill, process, os.getpid())
        try:
            reply = self._receive(STARTUP_SECONDS)
        except (TimeoutError, OSError, EOFError) as error:
            self.close()
            raise ConfigError(
                f"the answer checker did not start: {type(error).__name__} from {sys.executable} "
                f"{_CHILD}; run it by hand to see why"
            ) from error
        if not reply["ready"]:
            self.close()
            raise ConfigError(
                f"the answer checker did not start: {reply['reason']}; pip install math-verify"
            )

    def _send(self, request: dict[str, str]) -> None:
        assert self._process is not None and self._process.stdin is not None
        # Answers are short and the child is reading, so this does not block.
        self._process.stdin.write(json.dumps(request).encode() + b"\n")

    def _receive(self, seconds: float) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout is not None
        deadline = time.monotonic() + seconds
        line = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                if not selector.select(max(0.0, deadline - time.monotonic())):
                    raise TimeoutError
                chunk = os.read(self._process.stdout.fileno(), 65536)
                if not chunk:
                    raise EOFError
                line += chunk
        reply: dict[str, Any] = json.loads(line)
        return reply


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
