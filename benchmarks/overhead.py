"""What the harness takes of a cell's time: ``python -m benchmarks.overhead RUNS/STUDY``.

From the ledgers of a finished study: the share of a cell's wall time that is neither sampling,
scoring, annotating, updating nor evaluating. "Checks" are the canaries and the achieved KL;
"records" is all that no phase is charged with: records, ledger, progress.
"""

from __future__ import annotations

import shlex
import statistics
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from bakeoff.provenance import machine
from bakeoff.records import RunDirectory, read_json, write_json

CHECKS = "measure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Overhead:
    """One cell; shares of its wall time, which is that of training, loading left out."""

    cell: str
    wall_seconds: float
    checks: float
    records: float
    phases: Mapping[str, float]

    @property
    def harness(self) -> float:
        """What is there for the comparison and not for the method."""
        return self.checks + self.records


def overhead(cell: str, ledger: Mapping[str, Any]) -> Overhead:
    """The shares of a ledger."""
    wall, seconds = ledger["wall_seconds"], ledger["seconds"]
    return Overhead(
        cell=cell,
        wall_seconds=wall,
        checks=seconds.get(CHECKS, 0.0) / wall,
        records=(wall - sum(seconds.values())) / wall,
        phases={name: value / wall for name, value in seconds.items() if name != CHECKS},
    )


def finished_cells(study: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Name and ledger of every cell of a study that has ended."""
    for folder in sorted(path for path in study.iterdir() if path.is_dir()):
        directory = RunDirectory(folder)
        if directory.ledger.exists() and directory.state == "finished":
            yield folder.name, read_json(directory.ledger)


@click.command(help=(__doc__ or "").split("\n\n")[1])
@click.argument("study", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="write the numbers too")
def main(study: Path, json_file: Path | None) -> None:
    """Prints the shares of every cell."""
    found = [overhead(name, ledger) for name, ledger in finished_cells(study)]
    if not found:
        raise click.ClickException(f"{study} has no finished cells; give the folder of a study")
    versions = read_json(study / "study.json").get("versions", {})
    table = Table("cell", "wall s", "checks", "records", "harness", caption=machine())
    for one in found:
        table.add_row(
            one.cell,
            f"{one.wall_seconds:.1f}",
            *(f"{100 * share:.2f} %" for share in (one.checks, one.records, one.harness)),
        )
    Console().print(table)
    if json_file is not None:
        record = {
            "benchmark": "overhead",
            "command": shlex.join(["python", "-m", "benchmarks.overhead", *sys.argv[1:]]),
            "machine": machine(),
            "versions": versions,
            "cells": [asdict(one) | {"harness": one.harness} for one in found],
            "median_harness": statistics.median(one.harness for one in found),
        }
        write_json(json_file, record)


if __name__ == "__main__":
    main()
