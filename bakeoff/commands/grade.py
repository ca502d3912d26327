"""``bakeoff grade``: verdicts on a file of responses."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from bakeoff.errors import ConfigError

if TYPE_CHECKING:
    from bakeoff.grading import Tally


@click.command()
@click.argument("source", metavar="FILE.jsonl", type=click.File("rb"))
@click.option("--task", default="gsm8k", show_default=True, help="its verifier judges")
@click.option("--workers", type=click.IntRange(1), help="comparisons at once; default: one a core")
@click.option("--out", type=click.Path(path_type=Path), help="default: FILE.graded.jsonl")
@click.option(
    "--error-ceiling",
    type=click.FloatRange(0, 1),
    default=0.02,
    show_default=True,
    help="stop above this share of responses without a verdict, once there are 100",
)
def grade(
    source: IO[bytes], task: str, workers: int | None, out: Path | None, error_ceiling: float
) -> None:
    """Judge responses: correct or not, and in the asked format or not.

    Each line holds a question, its answer and a response, or a list of responses; - reads standard
    input. Each comes out with correct (null: the verifier failed), extracted and reason. Running it
    again continues it.
    """
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    from bakeoff.config import TaskConfig
    from bakeoff.grading import grade as grade_lines
    from bakeoff.tasks.registry import load_task

    is_stdin = source.name == "<stdin>"
    if out is None and is_stdin:
        raise ConfigError("standard input has no name to derive one from; give --out FILE")
    out = out or Path(source.name).with_suffix(".graded.jsonl")
    console = Console(stderr=True)
    with Progress(
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as bar:
        total = None if is_stdin else os.fstat(source.fileno()).st_size
        row = bar.add_task("", total=total)
        tally = grade_lines(
            source,
            out,
            task=load_task(TaskConfig(task=task)),
            workers=workers or os.cpu_count() or 1,
            error_ceiling=error_ceiling,
            progress=lambda size, tally: bar.update(
                row, advance=size, description=f"{tally.responses:,} responses"
            ),
        )
    _show(tally, out)


def _show(tally: Tally, out: Path) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    for name, value in (
        ("lines", f"{tally.lines:,}"),
        ("responses", f"{tally.responses:,}"),
        ("accuracy", _per_cent(tally.accuracy)),
        ("strict accuracy", _per_cent(tally.strict_accuracy)),
        ("format rate", _per_cent(tally.format_rate)),
        ("errors", f"{tally.errors:,}"),
        ("error share", _per_cent(tally.error_share)),
    ):
        table.add_row(name, value)
    console = Console(width=None if sys.stdout.isatty() else 100)
    console.print(table)
    console.print(f"graded: {out}", soft_wrap=True, highlight=False, markup=False)


def _per_cent(share: float | None) -> str:
    return "" if share is None else f"{share:.2%}"
