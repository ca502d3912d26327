"""Evaluations as arrays over problems, scored once as their lines are read.

A study has a line per cell, evaluation and problem: kept as rows, those of ten thousand cells would
not fit into memory.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bakeoff.errors import BakeoffError
from bakeoff.records import Row
from reports.lines import read_lines
from reports.statistics import FloatArray, majority_at_k

IntArray = npt.NDArray[np.int64]

AXES = ("sampled_tokens", "device_seconds", "optimizer_steps", "flops")
K_IN_CURVES = (1, 2, 4, 8, 16)

_Place = tuple[bool, int]  # whether final, batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A policy at one moment on one split. P problems."""

    batch: int  # rollout batches trained on; 0 for the start
    final: bool
    spent: Mapping[str, float]  # by budget axis, up to this moment
    problems: tuple[str, ...]  # [P] ids, sorted
    samples: IntArray  # [P] drawn at temperature 1
    judged: IntArray  # [P] samples with a verdict
    right: IntArray  # [P] samples with the verdict "correct"
    greedy: FloatArray  # [P] 1 where the greedy response is correct, else 0; NaN where not drawn
    format_rate: FloatArray  # [P] share of samples with an answer in the asked format
    response_tokens: FloatArray  # [P] mean over the samples
    kl_to_start: FloatArray  # [P] nats, of the whole evaluation
    majority: FloatArray  # [len(K_IN_CURVES), P] maj@K; NaN with fewer than K judged samples


class _Line(NamedTuple):
    """A problem of an evaluation; of the many kinds of record the quickest to make."""

    seed: int
    split: str
    place: _Place
    problem: str
    spent: tuple[float | None, ...]  # as `AXES`
    numbers: tuple[float, ...]  # of an `Evaluation`, from `samples` to `majority`


def read_evaluations(file: Path) -> dict[str, tuple[Evaluation, ...]]:
    """Split -> the evaluations of a cell by batch, the final one last; none without a file.

    Raises:
        BakeoffError: a line is malformed.
    """
    return _by_split(_lines(file))


def read_start(file: Path) -> dict[int, dict[str, Evaluation]]:
    """Seed -> split -> the evaluation of a study's common start.

    Raises:
        BakeoffError: a line is malformed.
    """
    by_seed: dict[int, list[_Line]] = {}
    for line in _lines(file):
        by_seed.setdefault(line.seed, []).append(line)
    return {
        seed: {split: points[0] for split, points in _by_split(lines).items()}
        for seed, lines in by_seed.items()
    }


def _lines(file: Path) -> Iterable[_Line]:
    for number, row in enumerate(read_lines(file), 1):
        try:
            yield _Line(
                seed=int(row.get("seed", 0)),
                split=_text(row["split"]),
                place=(bool(row.get("final")), int(row["batch"])),
                problem=_text(row["problem"]),
                spent=tuple(map(row.get, AXES)),
                numbers=_numbers(row),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BakeoffError(
                f"{file}, line {number} cannot be read ({type(error).__name__}: {error}); the "
                "record was written by another version or by hand"
            ) from None


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def _numbers(row: Row) -> tuple[float, ...]:
    verdicts, answers = row.get("correct") or (), row.get("answers") or ()
    lengths = row.get("response_tokens") or ()
    judged = [verdict for verdict in verdicts if verdict is not None]
    return (
        len(verdicts),
        len(judged),
        sum(map(bool, judged)),
        _number(row.get("greedy")),
        sum(answer is not None for answer in answers) / len(answers) if answers else np.nan,
        sum(lengths) / len(lengths) if lengths else np.nan,
        _number(row.get("kl_to_start")),
        *_majorities(verdicts, answers),
    )


def _number(value: float | bool | None) -> float:
    return np.nan if value is None else float(value)


def _majorities(
    verdicts: Sequence[bool | None], answers: Sequence[str | None]
) -> tuple[float, ...]:
    """maj@K for every K of `K_IN_CURVES`."""
    if len(verdicts) != len(answers):
        return (np.nan,) * len(K_IN_CURVES)
    votes: dict[str, int] = {}
    hits: dict[str, int] = {}
    abstentions = 0
    for answer, verdict in zip(answers, verdicts, strict=True):
        if verdict is None:
            continue
        if answer is None:
            abstentions += 1
            continue
        votes[answer] = votes.get(answer, 0) + 1
        if verdict:
            hits[answer] = hits.get(answer, 0) + 1
    return _majorities_of(
        tuple([(votes[answer], count) for answer, count in hits.items()]),
        tuple(sorted([count for answer, count in votes.items() if answer not in hits])),
        abstentions,
    )


@lru_cache(maxsize=65536)
def _majorities_of(
    right: tuple[tuple[int, int], ...], wrong: tuple[int, ...], abstentions: int
) -> tuple[float, ...]:
    """maj@K from the votes and hits of right answers, the votes of wrong ones, and no answers.

    Which answers they are does not matter, so that millions of lines have few such patterns.
    """
    answers: list[str | None] = [None] * abstentions
    verdicts: list[bool | None] = [False] * abstentions
    for name, (votes, hits) in enumerate([*right, *((votes, 0) for votes in wrong)]):
        answers += [str(name)] * votes
        verdicts += [True] * hits + [False] * (votes - hits)
    return tuple(
        majority_at_k(answers, verdicts, k=k) if len(answers) >= k else np.nan for k in K_IN_CURVES
    )


def _by_split(lines: Iterable[_Line]) -> dict[str, tuple[Evaluation, ...]]:
    splits: dict[str, dict[_Place, list[_Line]]] = {}
    for line in lines:
        splits.setdefault(line.split, {}).setdefault(line.place, []).append(line)
    return {
        split: tuple(_evaluation(place, points[place]) for place in sorted(points))
        for split, points in splits.items()
    }


def _evaluation(place: _Place, lines: Sequence[_Line]) -> Evaluation:
    final, batch = place
    by_problem = {line.problem: line for line in lines}
    problems = _shared(tuple(sorted(by_problem)))
    numbers = np.array([by_problem[problem].numbers for problem in problems]).T
    samples, judged, right = numbers[:3].astype(np.int64)
    return Evaluation(
        batch=batch,
        final=final,
        spent={axis: float(spent or 0.0) for axis, spent in zip(AXES, lines[0].spent, strict=True)},
        problems=problems,
        samples=samples,
        judged=judged,
        right=right,
        greedy=numbers[3],
        format_rate=numbers[4],
        response_tokens=numbers[5],
        kl_to_start=numbers[6],
        majority=numbers[7:],
    )


@lru_cache(maxsize=1024)
def _shared(problems: tuple[str, ...]) -> tuple[str, ...]:
    """The same problems as one object: every evaluation of a study asks them."""
    return problems
