"""Files of responses with a reward model's scores added, line by line in constant memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, TextIO

from bakeoff.config import SolutionScore
from bakeoff.reward_models.examples import responses_of, stream_rows
from bakeoff.reward_models.scoring import RewardModelScorer, solution_score
from bakeoff.tasks.rows import Row

CHUNK_LINES = 64  # scored at once: enough for full batches where a line has many responses
FIELD = "scores"


def write_scored(
    scorer: RewardModelScorer,
    source: Path,
    target: TextIO,
    *,
    name: str | None,
    how: SolutionScore,
    progress: Callable[[int, int], None],
) -> None:
    """Copies a file of responses with ``scores``, a number for each response of a line.

    Args:
        scorer: of the reward model.
        source: JSON lines with ``question`` and ``responses`` or ``response``.
        target: gets the lines.
        name: of the reward model; scores then are a mapping from such names, to which it is added.
            None: ``scores`` is the list itself.
        how: makes a score of those of the steps.
        progress: called with the lines and responses so far.

    Raises:
        ConfigError: no such file, or a line that does not fit.
    """
    lines = responses = 0
    for rows in _chunks(stream_rows(source)):
        for line in _scored(scorer, rows, name=name, how=how):
            target.write(json.dumps(line, ensure_ascii=False) + "\n")
            lines += 1
            scores = line[FIELD]
            responses += len(scores if name is None else scores[name])
        progress(lines, responses)


def _scored(
    scorer: RewardModelScorer, rows: list[Row], *, name: str | None, how: SolutionScore
) -> Iterator[dict[str, Any]]:
    questions: list[str] = []
    responses: list[str] = []
    finished: list[bool] = []
    counts = []
    for row in rows:
        texts, ended = responses_of(row)
        questions += [row.text("question")] * len(texts)
        responses += texts
        finished += ended
        counts.append(len(texts))
    found = iter(scorer.score(questions, responses, finished=finished))
    for row, count in zip(rows, counts, strict=True):
        scores = [solution_score(one.step_scores, how) for one in islice(found, count)]
        yield {**row.fields, FIELD: scores if name is None else _named(row) | {name: scores}}


def _named(row: Row) -> dict[str, Any]:
    """The scores of other reward models that a row has."""
    there = row.fields.get(FIELD)
    if there is None:
        return {}
    if not isinstance(there, dict):
        raise row.error(
            f"{FIELD!r} is a list without a name already, so no named scores can join it; score "
            "the file it was made from, with --name"
        )
    return there


def _chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, CHUNK_LINES)):
        yield chunk
