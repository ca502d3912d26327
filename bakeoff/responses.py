"""A file of responses to problems with known answers, from whatever framework, read and judged.

JSON lines, one problem a line::

    {"question": "2+2?", "answer": "4", "responses": ["\\boxed{4}", "5"], "scores": [0.9, 0.2]}

``scores`` is a verifier's number a response, higher is better, or a mapping from the names of
several verifiers to such lists. ``id`` names the problem; without one its question does.
``correct`` (true, false or null) and ``extracted`` (text or null), a value a response, are taken
as they are; what is not there comes from the verifier of the task.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bakeoff.config import TaskConfig
from bakeoff.rewards.extract import extract
from bakeoff.tasks.rows import Row, read_jsonl
from bakeoff.types import Problem

if TYPE_CHECKING:
    from bakeoff.interfaces import Verdict

TASK = "gsm8k"  # its verifier reads the answer formats of most outputs on mathematics
UNNAMED = "score"  # what scores are called that came as a plain list


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedProblem:
    """One problem with its n responses, judged."""

    id: str
    correct: tuple[bool | None, ...]  # [n]; None: the verifier failed
    answers: tuple[str | None, ...]  # [n] as extracted; None: none in the asked format
    scores: Mapping[str, tuple[float, ...]]  # name of a verifier -> [n], the same names everywhere


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """A line as it was read, None where the verifier is needed."""

    problem: Problem
    responses: tuple[str, ...]
    correct: tuple[bool | None, ...] | None
    extracted: tuple[str | None, ...] | None
    scores: Mapping[str, tuple[float, ...]]

    @property
    def is_judged(self) -> bool:
        return self.correct is not None and self.extracted is not None


def load_responses(path: Path, *, task: str = TASK) -> list[JudgedProblem]:
    """The problems of a file, in its order, every response judged.

    Args:
        path: JSON lines, as above.
        task: whose verifier judges; a built-in task, FILE.jsonl or FILE.py:NAME.

    Raises:
        ConfigError: no such file or task, or a line that does not fit, by its number and field.
    """
    rows = read_jsonl(path)
    lines = [_read(row) for row in rows]
    _refuse_twins(rows, lines)
    for row, line in zip(rows, lines, strict=True):
        if line.scores.keys() != lines[0].scores.keys():
            raise row.error(
                f"'scores' are of {_names(line)}, those of the first line of {_names(lines[0])}; "
                "give every line the same"
            )
    verdicts = iter(_verdicts([line for line in lines if not line.is_judged], task=task))
    return [_judged(line, () if line.is_judged else next(verdicts)) for line in lines]


def _read(row: Row) -> _Line:
    question, gold = row.text("question"), row.text("answer")
    responses = _values(row, "responses", row.fields.get("responses"), "texts")
    if not responses:
        raise row.error("'responses' is empty; give one or more texts")
    return _Line(
        problem=Problem(
            id=question if row.fields.get("id") is None else row.text("id"),
            question=question,
            # GSM8K and MATH state theirs at the end of a worked solution.
            answer=extract(gold).strict_answer or gold,
        ),
        responses=responses,
        correct=_optional(row, "correct", "true, false or null", length=len(responses)),
        extracted=_optional(row, "extracted", "texts or null", length=len(responses)),
        scores=_scores(row, length=len(responses)),
    )


def _scores(row: Row, *, length: int) -> dict[str, tuple[float, ...]]:
    given = row.fields.get("scores")
    if given is None:
        return {}
    named = given if isinstance(given, dict) else {UNNAMED: given}
    found = {}
    for name, numbers in named.items():
        field = "scores" if given is not named else f"scores.{name}"
        values = _values(row, field, numbers, "finite numbers", length=length)
        found[name] = tuple(map(float, values))
    return found


def _optional(row: Row, field: str, kind: str, *, length: int) -> tuple[Any, ...] | None:
    values = row.fields.get(field)
    return None if values is None else _values(row, field, values, kind, length=length)


def _values(
    row: Row, field: str, values: object, kind: str, *, length: int | None = None
) -> tuple[Any, ...]:
    """A list of one kind as a tuple.

    Raises:
        ConfigError: not a list, of another length, or with a value of another kind.
    """
    if not isinstance(values, list):
        raise row.error(f"{field!r} must be a list of {kind}")
    if length is not None and len(values) != length:
        raise row.error(f"{field!r} has {len(values)} values for {length} responses")
    for place, value in enumerate(values, 1):
        if not _KINDS[kind](value):
            raise row.error(f"{field!r} must be {kind}, its value {place} is {value!r:.40}")
    return tuple(values)


def _is_finite(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float holds
        return False


_KINDS: Mapping[str, Callable[[object], bool]] = {
    "texts": lambda value: isinstance(value, str),
    "texts or null": lambda value: value is None or isinstance(value, str),
    "true, false or null": lambda value: value is None or isinstance(value, bool),
    "finite numbers": _is_finite,
}


def _refuse_twins(rows: Sequence[Row], lines: Sequence[_Line]) -> None:
    first: dict[str, Row] = {}
    for row, line in zip(rows, lines, strict=True):
        other = first.setdefault(line.problem.id, row)
        if other is not row:
            raise row.error(
                f"the same problem as line {other.number}; put all its responses on one line, or "
                "tell the two apart by an 'id'"
            )


def _verdicts(lines: Sequence[_Line], *, task: str) -> list[list[Verdict]]:
    if not lines:
        return []
    # Here, because tasks import torch, and a file that is judged already needs none of it.
    from bakeoff.tasks.registry import load_task

    verifier = load_task(TaskConfig(task=task)).verifier()
    try:
        return [
            verifier.verify([line.problem] * len(line.responses), line.responses) for line in lines
        ]
    finally:
        verifier.close()


def _judged(line: _Line, verdicts: Sequence[Verdict]) -> JudgedProblem:
    correct, extracted = line.correct, line.extracted
    return JudgedProblem(
        id=line.problem.id,
        correct=tuple(verdict.correct for verdict in verdicts) if correct is None else correct,
        answers=tuple(v.extracted for v in verdicts) if extracted is None else extracted,
        scores=line.scores,
    )


def _names(line: _Line) -> str:
    return ", ".join(map(repr, sorted(line.scores))) or "no verifier"
