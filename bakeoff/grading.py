"""Grades a file of responses line by line: constant memory, and it continues where it stopped.

JSON lines, one problem a line, ``response`` (or ``responses``) a text or a list of texts::

    {"question": "2+2?", "answer": "4", "response": ["\\boxed{4}", "It is 5."]}

Each comes out with what was found, in lists if ``response`` is one::

    {..., "correct": [true, false], "extracted": ["4", null], "reason": ["", "is not 4"]}

``correct`` is lenient: any form of stating the answer counts. ``extracted`` is strict: null where
the response does not keep the asked format. ``correct`` is null where the verifier failed.
"""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from bakeoff.canaries import CALLS_BEFORE_JUDGING
from bakeoff.errors import CanaryError, ConfigError
from bakeoff.interfaces import Task, Verdict
from bakeoff.rewards.math_verifier import MathVerifier
from bakeoff.tasks.rows import Row
from bakeoff.types import Problem

RESPONSE_FIELDS = ("response", "responses")
ADDED = ("correct", "extracted", "reason")  # fields; a line that has them already gets them anew
# Verified and written at once: enough to keep many workers busy, little to lose.
CHUNK_RESPONSES = 1024
GOLD_MARK = "####"  # GSM8K's answers end in it and a number

_WAY_OUT = "name another --out, or remove it to begin anew"


@dataclass(slots=True, kw_only=True)
class Tally:
    """Counts of what was graded."""

    lines: int = 0
    responses: int = 0
    correct: int = 0
    strictly_correct: int = 0  # and in the asked format
    formatted: int = 0  # an answer in the asked format, right or wrong
    errors: int = 0  # no verdict

    def add(self, verdicts: Sequence[Verdict]) -> None:
        """Counts the responses of one line."""
        self.lines += 1
        for verdict in verdicts:
            self.responses += 1
            self.formatted += verdict.extracted is not None
            self.errors += verdict.correct is None
            self.correct += verdict.correct is True
            self.strictly_correct += verdict.correct is True and verdict.extracted is not None

    @property
    def accuracy(self) -> float | None:
        """Of the responses with a verdict; None without any."""
        return _share(self.correct, self.responses - self.errors)

    @property
    def strict_accuracy(self) -> float | None:
        """Share correct in the asked format, of the responses with a verdict."""
        return _share(self.strictly_correct, self.responses - self.errors)

    @property
    def format_rate(self) -> float | None:
        """Share in the asked format, of all responses."""
        return _share(self.formatted, self.responses)

    @property
    def error_share(self) -> float | None:
        """Share without a verdict, of all responses."""
        return _share(self.errors, self.responses)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A line of the input."""

    where: str  # for messages: file and number
    size: int  # bytes
    fields: dict[str, Any]  # without those that grading adds
    problem: Problem
    response: str | list[str]

    @property
    def responses(self) -> list[str]:
        return [self.response] if isinstance(self.response, str) else self.response


def grade(
    source: IO[bytes],
    out: Path,
    *,
    task: Task,
    workers: int,
    error_ceiling: float,
    progress: Callable[[int, Tally], None] = lambda size, tally: None,
) -> Tally:
    """The counts over all lines of `source`, each written to `out` with its verdicts.

    Args:
        out: continued, if it holds the graded first lines of this very input.
        workers: children that compare at once, if the task's answers need algebra.
        error_ceiling: the share of responses without a verdict above which grading stops.
        progress: called with the bytes of `source` that were dealt with, and the counts so far.

    Raises:
        ConfigError: a line is malformed, or `out` belongs to another input or is not writable.
        CanaryError: too many responses are without a verdict.
    """
    verifier = task.verifier()
    if isinstance(verifier, MathVerifier):
        verifier.resize(workers)
    tally = Tally()
    lines = _read(source, task, has_marked_golds=isinstance(verifier, MathVerifier))
    try:
        with _open(out, source) as file:
            ungraded = _continue(lines, file, out, tally=tally, progress=progress)
            _check_errors(tally, error_ceiling, out)
            for chunk in _chunks(ungraded):
                asked = [(line.problem, text) for line in chunk for text in line.responses]
                verdicts = iter(verifier.verify([p for p, _ in asked], [text for _, text in asked]))
                rows = []
                for line in chunk:
                    own = list(itertools.islice(verdicts, len(line.responses)))
                    tally.add(own)
                    rows.append(_encode(line.fields | _findings(line.response, own)) + b"\n")
                file.write(b"".join(rows))
                file.flush()
                progress(sum(line.size for line in chunk), tally)
                _check_errors(tally, error_ceiling, out)
    finally:
        verifier.close()
    return tally


def _read(source: IO[bytes], task: Task, *, has_marked_golds: bool) -> Iterator[_Line]:
    for number, raw in enumerate(source, 1):
        if not raw.strip():
            continue
        row = _row(raw, number, where=f"{source.name}, line {number}")
        answer = row.text("answer")
        if has_marked_golds and GOLD_MARK in answer:
            answer = answer.rpartition(GOLD_MARK)[2].strip()
            if not answer:
                raise row.error(f"'answer' has nothing after {GOLD_MARK}")
        response = _response(row)
        yield _Line(
            where=row.where,
            size=len(raw),
            fields={name: value for name, value in row.fields.items() if name not in ADDED},
            problem=Problem(
                id=f"{task.name}/graded/{number}", question=row.text("question"), answer=answer
            ),
            response=response,
        )


def _response(row: Row) -> str | list[str]:
    given = [row.fields[name] for name in RESPONSE_FIELDS if name in row.fields]
    texts = given[0] if given and isinstance(given[0], list) else given
    if len(given) != 1 or not all(isinstance(text, str) for text in texts):
        raise row.error(
            f"one of {' and '.join(map(repr, RESPONSE_FIELDS))} must be text or a list of texts"
        )
    response: str | list[str] = given[0]
    return response


def _row(raw: bytes, number: int, *, where: str) -> Row:
    try:
        fields = json.loads(raw.decode("utf-8-sig" if number == 1 else "utf-8"))
    except UnicodeDecodeError as error:
        raise ConfigError(f"{where}: not UTF-8 text: {error}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise ConfigError(f"{where}: a {type(fields).__name__}; one JSON object a line is expected")
    return Row(fields=fields, number=number, where=where)


def _chunks(lines: Iterator[_Line]) -> Iterator[list[_Line]]:
    chunk: list[_Line] = []
    responses = 0
    for line in lines:
        chunk.append(line)
        responses += len(line.responses)
        if responses >= CHUNK_RESPONSES:
            yield chunk
            chunk, responses = [], 0
    if chunk:
        yield chunk


def _findings(response: str | list[str], verdicts: Sequence[Verdict]) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: [getattr(verdict, name) for verdict in verdicts] for name in ADDED
    }
    return found if isinstance(response, list) else {name: found[name][0] for name in ADDED}


def _open(out: Path, source: IO[bytes]) -> IO[bytes]:
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        file = out.open("ab+")
    except OSError as error:
        raise ConfigError(f"cannot write {out}: {error.strerror}") from error
    if os.path.sameopenfile(file.fileno(), source.fileno()):
        file.close()
        raise ConfigError(f"--out {out} is the input itself; name another file")
    file.seek(0)
    return file


def _continue(
    lines: Iterator[_Line],
    file: IO[bytes],
    out: Path,
    *,
    tally: Tally,
    progress: Callable[[int, Tally], None],
) -> Iterator[_Line]:
    """The lines that `file` does not hold yet; those it holds are counted.

    A last one that a crash cut off is taken off the file.
    """
    end = 0
    for number, raw in enumerate(file, 1):
        where = f"{out}, line {number}"
        line = next(lines, None)
        if line is None:
            raise ConfigError(f"{where}: the input ends before it; {_WAY_OUT}")
        beginning = _encode(line.fields)[:-1]
        if not raw.endswith(b"\n"):
            if not (raw.startswith(beginning) or beginning.startswith(raw)):
                raise _mismatch(where, line)
            file.truncate(end)
            return itertools.chain([line], lines)
        tally.add(_graded(raw, line, where=where))
        end += len(raw)
        progress(line.size, tally)
    return lines


def _graded(raw: bytes, line: _Line, *, where: str) -> list[Verdict]:
    """The verdicts of a graded line, if it is that of `line`."""
    try:
        fields = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{where}: not JSON: {error}; {_WAY_OUT}") from error
    if not isinstance(fields, dict) or not fields.keys() >= set(ADDED):
        raise _mismatch(where, line)
    found = [fields.pop(name) for name in ADDED]
    # As text, since two NaN are not equal.
    if _encode(fields) != _encode(line.fields):
        raise _mismatch(where, line)
    if isinstance(line.response, str):
        found = [[value] for value in found]
    if any(not isinstance(v, list) or len(v) != len(line.responses) for v in found):
        raise _mismatch(where, line)
    return [
        Verdict(correct=correct, extracted=extracted, reason=reason)
        for correct, extracted, reason in zip(*found, strict=True)
    ]


def _mismatch(where: str, line: _Line) -> ConfigError:
    return ConfigError(f"{where}: is not {line.where} graded; {_WAY_OUT}")


def _encode(fields: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(fields, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half a surrogate pair, as sampling may leave it
        return json.dumps(fields).encode()


def _check_errors(tally: Tally, ceiling: float, out: Path) -> None:
    share = tally.error_share
    if share is None or tally.responses < CALLS_BEFORE_JUDGING or share <= ceiling:
        return
    raise CanaryError(
        f"the verifier failed on {tally.errors} of {tally.responses} responses ({share:.1%}): "
        f"above {ceiling:.1%} accuracy means nothing; 'reason' in {out} says why, and a higher "
        "--error-ceiling goes on"
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
