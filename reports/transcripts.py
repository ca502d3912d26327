"""Whole responses to the same problem, side by side: the start and every method."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bakeoff.records import Row
from reports.load import Study
from reports.palette import GREY, Mark, display_name

SHOWN = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """What one policy answered."""

    policy: str
    variable: str  # CSS custom property of its colour; empty for the start
    text: str
    verdict: str  # "right", "wrong", "not verified"
    reward: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exhibit:
    """A problem and what every policy answered."""

    problem: str
    question: str
    answer: str
    responses: tuple[Response, ...]


def exhibits(study: Study, *, look: Mapping[str, Mark]) -> tuple[Exhibit, ...]:
    """Up to three problems that most policies answered, first those on which they disagree."""
    by_policy: dict[str, Mapping[str, Row]] = {"start": _by_problem(study.start_transcripts)}
    for method in (m for m in study.methods if look[m] is not GREY):
        # The first seed is shown by rule, so that no one picks a flattering one.
        rows = study.of(method)[0].transcripts
        last = [row for row in rows if row.get("final")]
        by_policy[method] = _by_problem(last or _of_last_batch(rows))
    problems = list(dict.fromkeys(problem for rows in by_policy.values() for problem in rows))

    def rank(problem: str) -> tuple[int, int]:
        found = [rows[problem] for rows in by_policy.values() if problem in rows]
        return -len(found), -len({row.get("correct") for row in found})

    return tuple(
        _exhibit(look, problem, {p: r[problem] for p, r in by_policy.items() if problem in r})
        for problem in sorted(problems, key=rank)[:SHOWN]
    )


def _exhibit(look: Mapping[str, Mark], problem: str, rows: Mapping[str, Row]) -> Exhibit:
    first = next(iter(rows.values()))
    return Exhibit(
        problem=problem,
        question=str(first.get("question", "")),
        answer=str(first.get("answer", "")),
        responses=tuple(
            Response(
                policy=policy if policy == "start" else display_name(policy),
                variable=look[policy].variable if policy in look else "",
                text=str(row.get("response", "")),
                verdict=_verdict(row.get("correct")),
                reward="none" if row.get("reward") is None else f"{row['reward']:g}",
            )
            for policy, row in rows.items()
        ),
    )


def _verdict(correct: bool | None) -> str:
    if correct is None:
        return "not verified"
    return "right" if correct else "wrong"


def _by_problem(rows: Iterable[Row]) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for row in rows:
        found.setdefault(str(row.get("problem")), row)
    return found


def _of_last_batch(rows: tuple[Row, ...]) -> list[Row]:
    last = max((row.get("batch", 0) for row in rows), default=0)
    return [row for row in rows if row.get("batch", 0) == last]
