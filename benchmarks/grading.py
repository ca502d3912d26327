"""How many responses a second `bakeoff grade` judges: ``python -m benchmarks.grading``.

Two kinds of synthetic responses, drawn with a seed: word problems as in GSM8K, whose answers are
plain numbers, and answers as in MATH, every one of which needs math-verify. A repeat reads, judges
and writes a file of its own. The clock starts when the first chunk is written, so that imports and
the start of the children stay out.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bakeoff.grading import Tally, grade
from bakeoff.provenance import git_revision, machine, measured_by
from bakeoff.records import write_json
from bakeoff.tasks.corpora import CORPORA
from bakeoff.tasks.text_task import TextTask

REPEATS = 5
RESPONSES = {"gsm8k": 40_000, "math500": 6_000}  # a repeat
RESPONSES_PER_PROBLEM = 8
CORRECT_SHARE = 0.6


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A gold answer, another spelling of it, and another answer."""

    gold: str
    equal: str
    different: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Throughput:
    """Responses judged a second, after start-up."""

    responses: int  # a repeat
    runs: tuple[float, ...]  # one a repeat
    median: float
    low: float
    high: float
    accuracy: float  # over all repeats: what was drawn correct must be judged so
    errors: int


def draw_word_problem(random_state: random.Random) -> Drawn:
    """A plain number, as GSM8K's answers are."""
    value = random_state.randint(2, 20_000)
    equal = random_state.choice((f"{value}", f"{value:,}", f"\\${value:,}.00", f"{value} apples"))
    return Drawn(gold=str(value), equal=equal, different=str(value + random_state.randint(1, 9)))


def draw_formula(random_state: random.Random) -> Drawn:
    """An answer that strings and numbers do not settle: as MATH's, beyond plain numbers."""
    a, b, c = random_state.sample(range(2, 60), 3)
    kinds = (
        Drawn(
            gold=f"\\frac{{{a}\\sqrt{{{b}}}}}{{{c}}}",
            equal=f"\\frac{{{a}}}{{{c}}}\\sqrt{{{b}}}",
            different=f"\\frac{{{a}\\sqrt{{{b + 1}}}}}{{{c}}}",
        ),
        Drawn(
            gold=f"\\frac{{{a}\\pi}}{{{b}}}",
            equal=f"\\frac{{{2 * a}}}{{{2 * b}}}\\pi",
            different=f"\\frac{{{a}\\pi}}{{{b + 1}}}",
        ),
        Drawn(
            gold=f"x^2 - {a + b}x + {a * b}",
            equal=f"(x-{a})(x-{b})",
            different=f"(x-{a})(x-{c})",
        ),
        Drawn(
            gold=f"\\left[-{a}, \\frac{{{b}}}{{4}}\\right)",
            equal=f"[-{a}, {b / 4})",
            different=f"[-{a}, {b / 4}]",
        ),
        Drawn(
            gold=f"\\left(\\frac{{{a}}}{{2}}, -{b}\\right)",
            equal=f"({a / 2}, -{b})",
            different=f"({a / 2}, {b})",
        ),
        Drawn(gold=f"{a}, {-b}, {c}", equal=f"{c}, {a}, {-b}", different=f"{c}, {a}, {b}"),
        Drawn(gold=f"{a} + {b}i", equal=f"{b}i + {a}", different=f"{a} - {b}i"),
        Drawn(
            gold=f"(-\\infty, {-a}) \\cup ({b}, \\infty)",
            equal=f"(-\\infty,-{a})\\cup({b},+\\infty)",
            different=f"(-\\infty,-{a}]\\cup({b},+\\infty)",
        ),
    )
    return random_state.choice(kinds)


DRAWS: Mapping[str, Callable[[random.Random], Drawn]] = {
    "gsm8k": draw_word_problem,
    "math500": draw_formula,
}


def write_responses(file: Path, task: str, *, responses: int, seed: int) -> None:
    """Writes problems with `RESPONSES_PER_PROBLEM` responses each."""
    random_state = random.Random(f"grading/{task}/{seed}")
    with file.open("w", encoding="utf-8") as lines:
        for number in range(responses // RESPONSES_PER_PROBLEM):
            drawn = DRAWS[task](random_state)
            row = {
                "question": f"Problem {number}?",
                "answer": drawn.gold,
                "response": [_respond(drawn, random_state) for _ in range(RESPONSES_PER_PROBLEM)],
            }
            lines.write(json.dumps(row) + "\n")


def measure(task: str, *, responses: int, repeats: int, workers: int) -> Throughput:
    """The throughput over several files of `task`'s kind; a file's seed is its number.

    Args:
        responses: of a file; more than a chunk, since the first one belongs to the start-up.
    """
    runs: list[float] = []
    tallies: list[Tally] = []
    for seed in range(repeats):
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "responses.jsonl"
            write_responses(file, task, responses=responses, seed=seed)
            rate, tally = _grade(file, task, workers)
        runs.append(rate)
        tallies.append(tally)
    errors = sum(tally.errors for tally in tallies)
    judged = sum(tally.responses for tally in tallies) - errors
    return Throughput(
        responses=responses,
        runs=tuple(round(rate, 1) for rate in runs),
        median=round(statistics.median(runs), 1),
        low=round(min(runs), 1),
        high=round(max(runs), 1),
        accuracy=round(sum(tally.correct for tally in tallies) / judged, 4),
        errors=errors,
    )


def _respond(drawn: Drawn, random_state: random.Random) -> str:
    """A few steps and an answer, in the asked format or another."""
    steps = []
    for _ in range(random_state.randint(2, 8)):
        a, b = random_state.randint(2, 400), random_state.randint(2, 40)
        steps.append(f"Each of the {a} boxes holds {b} of them, so there are {a} * {b} = {a * b}.")
    is_correct = random_state.random() < CORRECT_SHARE
    answer = drawn.equal if is_correct else drawn.different
    form = random_state.choice(
        ("Therefore \\boxed{{{}}}.", "The answer is \\boxed{{{}}}.", "The answer is ${}$.")
    )
    return "\n".join([*steps, form.format(answer)])


def _grade(file: Path, task: str, workers: int) -> tuple[float, Tally]:
    """Responses a second after the first chunk, and the counts of all."""
    marks: list[tuple[float, int]] = []
    with file.open("rb") as source:
        tally = grade(
            source,
            file.with_suffix(".graded.jsonl"),
            task=TextTask(CORPORA[task]),
            workers=workers,
            error_ceiling=1.0,
            progress=lambda _, tally: marks.append((time.perf_counter(), tally.responses)),
        )
    (start, before), (end, after) = marks[0], marks[-1]
    return (after - before) / (end - start), tally


@click.command(help=(__doc__ or "").split("\n\n")[1])
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="write the numbers too")
def main(json_file: Path | None) -> None:
    """Measures both kinds on all cores and prints a table."""
    workers = os.cpu_count() or 1
    load = round(os.getloadavg()[0], 2)  # on a shared machine part of the spread is not ours
    found = {
        task: measure(task, responses=responses, repeats=REPEATS, workers=workers)
        for task, responses in RESPONSES.items()
    }
    where = (
        f"{machine()}; load {load}; {workers} workers; commit {git_revision()}; {REPEATS} repeats"
    )
    table = Table("responses like", "responses/s, median", "low", "high", "errors", caption=where)
    for task, one in found.items():
        speeds = (f"{speed:,.0f}" for speed in (one.median, one.low, one.high))
        table.add_row(task, *speeds, str(one.errors))
    Console().print(table)
    if json_file is not None:
        record = {
            **measured_by("grading"),
            "workers": workers,
            "load_before": load,
            "responses_per_second": {task: asdict(one) for task, one in found.items()},
        }
        write_json(json_file, record)


if __name__ == "__main__":
    main()
