"""The child process that runs math-verify: one JSON line in, one JSON line out.

It stands alone: it is run by its path and imports nothing of this package, so that it starts in
the time that sympy takes. The parent kills it when an answer takes too long; its own timer only
ends it when the parent is gone.

Usage: python math_child.py SECONDS MEMORY_BYTES
"""

import contextlib
import json
import os
import signal
import sys
from typing import IO, Any

REASON_CHARACTERS = 100  # of an answer; replies must fit into a pipe that nobody empties yet


def main(arguments: list[str]) -> int:
    """Answers requests until its standard input ends."""
    seconds, memory_bytes = float(arguments[0]), int(arguments[1])
    replies = _claim_stdout()
    _limit_memory(memory_bytes)
    try:
        # The first comparison builds parsers; no answer's time limit should pay for that.
        _verify(_parse("\\frac{x^2}{2}"), _parse("\\frac{1}{2}x^2"))
    except Exception as error:
        _reply(replies, ready=False, reason=f"{type(error).__name__}: {error}")
        return 1
    _reply(replies, ready=True, reason="")
    for line in sys.stdin.buffer:
        request = json.loads(line)
        # Ends this process even inside one long integer operation, where no thread would run.
        signal.setitimer(signal.ITIMER_REAL, 2 * seconds + 5)
        correct, reason = grade(request["gold"], request["answer"])
        signal.setitimer(signal.ITIMER_REAL, 0)
        _reply(replies, correct=correct, reason=reason)
    return 0


def grade(gold: str, answer: str) -> tuple[bool | None, str]:
    """Whether math-verify finds the two equal, and why not; None: it failed.

    An exception is the answer's fault, so the answer is wrong, only if the gold answer compares
    with itself. Otherwise every answer would be wrong without anyone noticing.
    """
    try:
        equal = _verify(_parse(gold), _parse(answer))
        return equal, "" if equal else f"is not {gold[:REASON_CHARACTERS]}"
    except MemoryError:
        return None, "math-verify ran out of memory"
    except Exception as error:
        reason = f"{type(error).__name__} in math-verify"
        with contextlib.suppress(Exception):
            if _verify(_parse(gold), _parse(gold)):
                return False, f"cannot be compared: {reason}"
        return None, reason


def _parse(answer: str) -> list[Any]:
    from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse

    return list(
        parse(
            f"\\boxed{{{answer}}}",
            extraction_config=[
                LatexExtractionConfig(boxed_match_priority=0),
                ExprExtractionConfig(),
            ],
            # Its own limit is signal.alarm, which fails off the main thread.
            parsing_timeout=None,
            raise_on_error=True,
        )
    )


def _verify(gold: list[Any], answer: list[Any]) -> bool:
    from math_verify import verify

    return bool(verify(gold, answer, timeout_seconds=None, raise_on_error=True))


def _claim_stdout() -> IO[bytes]:
    """The pipe to the parent; whatever a library prints goes to standard error instead."""
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return replies


def _limit_memory(memory_bytes: int) -> None:
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    except (ImportError, ValueError, OSError):
        pass  # no such limit on this system; the time limit remains


def _reply(replies: IO[bytes], **fields: object) -> None:
    replies.write(json.dumps(fields).encode() + b"\n")
    replies.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
