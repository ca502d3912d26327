"""Solutions that are to be annotated, from a file of responses."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bakeoff.errors import ConfigError
from bakeoff.reward_models.examples import responses_of, stream_rows
from bakeoff.rewards.extract import extract
from bakeoff.tasks.rows import Row
from bakeoff.types import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Solution:
    """A response to a problem whose answer is known."""

    problem: Problem
    number: int  # among the solutions of its problem, from 0; with its id it addresses the noise
    response: str
    finish: Literal["stop", "length"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Every `count`-th solution, from the `index`-th on; `index` counts from 1."""

    index: int = 1
    count: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count:
            raise ConfigError(
                f"shard {self.index}/{self.count} does not exist; expected I/N with I from 1 to N"
            )

    def of(self, solutions: Sequence[Solution]) -> list[Solution]:
        """Its part; the parts of all shards are disjoint and make up the whole."""
        return list(solutions[self.index - 1 :: self.count])


def parse_shard(text: str) -> Shard:
    """A shard written as ``I/N``.

    Raises:
        ConfigError: not of that form, or I is not from 1 to N.
    """
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal()):
        raise ConfigError(f"shard {text!r} is not of the form I/N, as in 1/4 for the first of four")
    return Shard(index=int(index), count=int(count))


def read_solutions(path: Path, *, limit: int | None = None) -> list[Solution]:
    """The first `limit` solutions of a file (None: all), in its order.

    JSON lines with ``question``, ``answer``, ``responses`` or ``response``, perhaps ``id`` and
    ``finish``; without an id the question is its own, without ``finish`` all responses ended by
    themselves.

    Raises:
        ConfigError: no such file, no response in it, or a line that does not fit.
    """
    solutions: list[Solution] = []
    numbers: Counter[str] = Counter()
    for row in stream_rows(path):
        problem = _problem(row)
        for response, finished in zip(*responses_of(row), strict=True):
            if len(solutions) == limit:
                return solutions
            solutions.append(
                Solution(
                    problem=problem,
                    number=numbers[problem.id],
                    response=response,
                    finish="stop" if finished else "length",
                )
            )
            numbers[problem.id] += 1
    if not solutions:
        raise ConfigError(f"{path} holds no responses; `bakeoff sample` writes such a file")
    return solutions


def _problem(row: Row) -> Problem:
    question, gold = row.text("question"), row.text("answer")
    return Problem(
        id=question if row.fields.get("id") is None else row.text("id"),
        question=question,
        # GSM8K and MATH state theirs at the end of a worked solution.
        answer=extract(gold).strict_answer or gold,
    )
