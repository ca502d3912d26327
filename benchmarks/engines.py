"""The local engine beside DeepSpeed: ``python -m benchmarks.engines``.

Cells of the default suite, cut short, run with one engine after the other, A B A B, as
`bakeoff train` runs them. Samples a second are rollouts over the seconds that a method is charged
for, the first batch left out; ratios are of runs side by side. Bytes are the resident peak of a
process, which holds the interpreter and its libraries too.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from bakeoff.provenance import git_revision, machine, measured_by
from bakeoff.records import RunDirectory, read_json, read_lines, write_json
from benchmarks.cells import write_settings
from benchmarks.suite import Cell, choose_methods, load_suite, matrix

# Looking is short here, and not what is measured.
SHORT = {
    "evaluations": 1,
    "evaluation_problems": 1,
    "evaluation_samples": 1,
    "final_samples": 1,
    "ood_problems": 0,
    "checkpoint_every": 0,
}
CHARGED = ("sample", "score", "annotate", "update")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """An engine and its processes."""

    engine: str
    processes: int = 1
    zero_stage: int = 0

    @property
    def name(self) -> str:
        """As the table has it."""
        if self.engine == "local":
            return "local"
        return f"DeepSpeed {self.zero_stage}, {self.processes} process" + "es" * (
            self.processes > 1
        )


LAYOUTS = (
    Layout(engine="local"),
    *(
        Layout(engine="deepspeed", processes=processes, zero_stage=stage)
        for processes in (1, 2)
        for stage in (0, 2, 3)
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One cell, measured."""

    samples_per_second: float
    update_seconds: float  # a batch
    peak_bytes: int  # of the process that took most


def measured(directory: RunDirectory) -> Run:
    """What a finished run has to say; its first batch is left out."""
    rows = list(read_lines(directory.metrics))
    first, last = rows[0], rows[-1]
    ledger = read_json(directory.ledger)
    seconds = {
        phase: last["seconds"].get(phase, 0.0) - first["seconds"].get(phase, 0.0)
        for phase in CHARGED
    }
    rollouts = ledger["rollouts"] * (len(rows) - 1) / len(rows)
    return Run(
        samples_per_second=rollouts / sum(seconds.values()),
        update_seconds=seconds["update"] / (len(rows) - 1),
        peak_bytes=max(ledger.get("rank_peak_bytes") or ledger["peak_bytes"].values()),
    )


def train(cell: Cell, layout: Layout, *, folder: Path, batches: int, threads: int) -> Run:
    """A cell with one engine.

    Raises:
        click.ClickException: it failed.
    """
    flags = SHORT | {"steps": batches * _updates(cell), "threads": threads} | asdict(layout)
    if layout.engine == "local":
        flags = {name: value for name, value in flags.items() if name != "zero_stage"}
        del flags["processes"]
    words = [w for name, v in flags.items() for w in (f"--{name.replace('_', '-')}", str(v))]
    with tempfile.TemporaryDirectory(dir=folder) as out:
        result = subprocess.run(
            [
                *(sys.executable, "-m", "bakeoff", "train", "--quiet", "--out", f"{out}/run"),
                *("--config", str(write_settings(cell, Path(out))), *words),
            ],
            env=os.environ | {"OMP_NUM_THREADS": str(threads)},
            capture_output=True,
            text=True,
        )
        if result.returncode:
            raise click.ClickException(f"{layout.name}: {result.stderr.strip()[-500:]}")
        return measured(RunDirectory(Path(out, "run")))


def _updates(cell: Cell) -> int:
    """Optimizer steps of a batch."""
    own = cell.config.method_settings
    return int(own.get("epochs", 1)) * int(own.get("minibatches", 1))


def row_of(layout: Layout, runs: Sequence[Run], local: Sequence[Run]) -> dict[str, Any]:
    """The medians of a layout, and how much longer than the local engine it took, run by run."""
    ratios = [
        one.samples_per_second / other.samples_per_second
        for one, other in zip(local, runs, strict=True)
    ]
    return asdict(layout) | {
        "runs": [asdict(run) for run in runs],
        "samples_per_second": statistics.median(run.samples_per_second for run in runs),
        "peak_bytes": max(run.peak_bytes for run in runs),
        "times_local_seconds": ratios,
        "median_times_local_seconds": statistics.median(ratios),
    }


@click.command(help=(__doc__ or "").split("\n\n")[1])
@click.option("--methods", default="grpo,ppo", show_default=True, help="arms of the suite")
@click.option("--rounds", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--batches", type=click.IntRange(min=2), default=6, show_default=True)
@click.option("--threads", type=click.IntRange(min=1), default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="print the record instead of a table")
@click.option("--out", type=click.Path(path_type=Path), help="write the record too")
def main(
    methods: str, rounds: int, batches: int, threads: int, as_json: bool, out: Path | None
) -> None:
    """Measures every layout."""
    load = round(os.getloadavg()[0], 2)
    arms = matrix(choose_methods(load_suite(None), methods.split(",")), {})
    cells = {cell.arm: cell for cell in arms if cell.seed == arms[0].seed}
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory(prefix="bakeoff-engines-") as folder:
        for arm, cell in cells.items():
            runs: dict[Layout, list[Run]] = {layout: [] for layout in LAYOUTS}
            for _ in range(rounds):
                for layout in LAYOUTS:
                    run = train(cell, layout, folder=Path(folder), batches=batches, threads=threads)
                    runs[layout].append(run)
            local = runs[LAYOUTS[0]]
            found[arm] = [row_of(layout, of, local) for layout, of in runs.items()]
    record = {
        **measured_by("engines"),
        "threads": threads,
        "load_before": load,
        "batches": batches,
        "methods": found,
    }
    if out is not None:
        write_json(out, record)
    if as_json:
        click.echo(json.dumps(record, indent=1))
    else:
        Console(width=120).print(_table(found))


def _table(found: Mapping[str, Sequence[Mapping[str, Any]]]) -> Table:
    table = Table("method", "engine", "samples/s", "x local's time (min, median, max)", "MB")
    for arm, rows in found.items():
        for row in rows:
            layout = Layout(**{n: row[n] for n in ("engine", "processes", "zero_stage")})
            ratios = row["times_local_seconds"]
            table.add_row(
                arm,
                layout.name,
                f"{row['samples_per_second']:.1f}",
                f"{min(ratios):.2f}, {statistics.median(ratios):.2f}, {max(ratios):.2f}",
                f"{row['peak_bytes'] / 1e6:,.0f}",
            )
    table.caption = f"{machine()}; commit {git_revision()}"
    return table


if __name__ == "__main__":
    main()
