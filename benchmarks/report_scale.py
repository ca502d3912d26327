"""What the report of a very large study takes: ``python -m benchmarks.report_scale``.

A synthetic study with the records of real ones is written, and ``bakeoff report`` is run on it as a
process of its own: seconds from start to end, and the most memory that it and its children held at
one moment. Pages that they share count once for each, so that the memory is an upper bound.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import click
import psutil
from rich.console import Console
from rich.table import Table

from bakeoff.errors import BakeoffError
from bakeoff.provenance import git_revision, machine, measured_by
from bakeoff.records import write_json
from benchmarks.synthetic_study import Size, write_study

REPEATS = 3
METHODS = 20  # at most; more cells are more seeds
POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One report."""

    wall_seconds: float
    cpu_seconds: float  # of all its processes
    peak_bytes: int  # resident, of all its processes at one moment
    page_bytes: int  # of report.html


def measure(study: Path) -> Run:
    """The cost of a report on a study.

    Raises:
        BakeoffError: the report failed.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "bakeoff", "report", str(study)], stdout=subprocess.DEVNULL
    )
    peak = ended = 0
    while not ended:
        peak = max(peak, resident_bytes(process.pid))
        time.sleep(POLL_SECONDS)
        ended, status, used = os.wait4(process.pid, os.WNOHANG)
    wall_seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise BakeoffError(f"the report of {study} ended with code {process.returncode}")
    return Run(
        wall_seconds=round(wall_seconds, 2),
        cpu_seconds=round(used.ru_utime + used.ru_stime, 2),
        # The second is the largest process's own count, which no look can miss.
        peak_bytes=max(peak, 1024 * used.ru_maxrss),
        page_bytes=(study / "report" / "report.html").stat().st_size,
    )


def resident_bytes(pid: int) -> int:
    """Resident bytes of a process and all that it started, now; 0 once it has ended."""
    total = 0
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in (root, *root.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
    return total


def size_of(cells: int, rows: int) -> Size:
    """A study of about so many cells, all methods with the same seeds."""
    methods = min(METHODS, cells)
    return Size(methods=methods, seeds=cells // methods, rows=rows)


@click.command(help=(__doc__ or "").split("\n\n")[1])
@click.option("--cells", type=click.IntRange(min=1), default=10_000, show_default=True)
@click.option("--rows", type=click.IntRange(min=2), default=1_000, show_default=True)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="write the numbers too")
@click.option("--out", type=click.Path(path_type=Path), help="keep the study in this new folder")
def main(cells: int, rows: int, json_file: Path | None, out: Path | None) -> None:
    """Writes a study, reports on it several times and prints a table."""
    size = size_of(cells, rows)
    load = round(os.getloadavg()[0], 2)  # on a shared machine part of the time is not ours
    try:
        with tempfile.TemporaryDirectory() as folder:
            study = out or Path(folder)
            write_study(study, size)
            runs = [measure(study) for _ in range(REPEATS)]
    except BakeoffError as error:
        raise click.ClickException(str(error)) from None
    record = {
        **measured_by("report_scale"),
        "load_before": load,
        "size": asdict(size) | {"cells": size.cells, "metric_rows": size.cells * size.rows},
        "runs": [asdict(run) for run in runs],
        "median_wall_seconds": statistics.median(run.wall_seconds for run in runs),
        "peak_bytes": max(run.peak_bytes for run in runs),
    }
    table = Table(
        "report",
        "wall s",
        "CPU s",
        "peak GB",
        "page MB",
        caption=f"{size.cells:,} cells, {size.cells * size.rows:,} metric rows; {machine()}; "
        f"load {load}; commit {git_revision()}",
    )
    for number, run in enumerate(runs, 1):
        numbers = (run.wall_seconds, run.cpu_seconds, run.peak_bytes / 1e9, run.page_bytes / 1e6)
        table.add_row(str(number), *(f"{one:,.2f}" for one in numbers))
    Console().print(table)
    if json_file is not None:
        write_json(json_file, record)


if __name__ == "__main__":
    main()
