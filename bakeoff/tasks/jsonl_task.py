"""A user's own problems: one file with a question and an answer a line."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from bakeoff.errors import ConfigError
from bakeoff.interfaces import Verifier
from bakeoff.rewards.math_verifier import MathVerifier
from bakeoff.tasks.examples import ENGLISH_INSTRUCTION, boxed_response, repeat_shuffled
from bakeoff.tasks.rows import Row, read_jsonl
from bakeoff.types import Problem, Split

_BUCKETS = {
    Split.TRAIN: range(80),
    Split.VALIDATION: range(80, 90),
    Split.TEST: range(90, 100),
}


class JsonlTask:
    """Problems of FILE.jsonl: ``{"question": ..., "answer": ..., "solution": ...}`` a line.

    A hash of the question decides the split: 80 % train, 10 % validation, 10 % test. So equal
    questions stay together, and lines that are appended move no earlier one. ``solution`` is a
    worked solution in the format that the instruction asks for; only `demonstrations` needs it.
    """

    instruction = ENGLISH_INSTRUCTION

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = path.stem
        self._rows: dict[Split, list[Row]] = {split: [] for split in _BUCKETS}
        for row in read_jsonl(path):
            self._rows[_split_of(row.text("question"))].append(row)
            row.text("answer")

    def problems(self, split: Split, *, count: int | None = None) -> list[Problem]:
        if split not in _BUCKETS:
            return []
        rows = self._rows[split]
        if not rows:
            sizes = ", ".join(f"{name.value} {len(part)}" for name, part in self._rows.items())
            raise ConfigError(
                f"{self._path} has no {split.value} problems: a hash of the question cuts it into "
                f"{sizes}; add problems, from about 50 on every split has some"
            )
        return [self._problem(row) for row in rows[:count]]

    def demonstrations(self, *, seed: int) -> Iterator[tuple[Problem, str]]:
        pairs = [
            (self._problem(row), row.text("solution"))
            for row in self._rows[Split.TRAIN]
            if "solution" in row.fields
        ]
        if not pairs:
            raise ConfigError(
                f"{self._path} has no training problem with a 'solution'; add that field, or "
                "start from a model that can reason already"
            )
        return repeat_shuffled(pairs, address=f"{self.name}/demonstrations/{seed}")

    def gold_demonstrations(self, *, seed: int) -> Iterator[tuple[Problem, str]]:
        return self.demonstrations(seed=seed)

    def gold_response(self, problem: Problem) -> str:
        return boxed_response(problem.answer)

    def verifier(self) -> Verifier:
        return MathVerifier()

    def step_checker(self) -> None:
        return None

    def _problem(self, row: Row) -> Problem:
        return Problem(
            id=f"{self.name}/{row.number}", question=row.text("question"), answer=row.text("answer")
        )


def _split_of(question: str) -> Split:
    # Salted: questions that another task chose by a hash of theirs must still spread over all.
    digest = hashlib.blake2b(question.encode(), digest_size=8, person=b"jsonl").digest()
    bucket = int.from_bytes(digest, "big") % 100
    return next(split for split, buckets in _BUCKETS.items() if bucket in buckets)
