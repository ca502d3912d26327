"""What opens a study: the conformance gate beside the evaluation of the common start."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from bakeoff.errors import BakeoffError, ConfigError
from bakeoff.records import START, read_json
from benchmarks.cells import fresh_log, write_settings
from benchmarks.launch import Job, JobResult, run_jobs
from benchmarks.suite import Cell

Gate = dict[str, Any]  # passed, failed, forced: study.json's


def closed_gate(*, force: bool) -> Gate:
    """The gate before it was tried."""
    return {"passed": False, "failed": [], "forced": force}


def open_study(
    folder: Path,
    *,
    arms: Sequence[Cell],
    seeds: Sequence[int],
    workers: int,
    force: bool,
    console: Console,
    on_gate: Callable[[Gate], None],
) -> None:
    """Runs the gate over one cell of every arm, and evaluates the start for every seed.

    `on_gate` gets the gate's result, for the records, before anything is raised because of it.

    Raises:
        ConfigError: settings that only a loaded model or task can refuse.
        BakeoffError: a check failed and it was not forced.
    """
    gate_file = folder / "gate.json"
    gate_file.unlink(missing_ok=True)
    console.print("conformance gate and common start …")
    jobs = [_gate_job(folder, arms, gate_file), _start_job(folder, arms[0], seeds)]
    results = run_jobs(jobs, workers=workers)
    if not gate_file.exists():
        raise _died(results, "gate")
    gate = closed_gate(force=force) | read_json(gate_file)
    on_gate(gate)
    for result in results:
        if result.job.name == START and result.returncode:
            raise _died(results, START)
    if gate["passed"]:
        return
    told = "; ".join(f"{f['check']}: {f['reason']}" for f in gate["failed"])
    if not force:
        raise BakeoffError(
            f"the conformance gate failed, so nothing was compared ({told}); --force goes on "
            'and marks the report "not comparable"'
        )
    console.print(f"[bold red]gate failed, forced on:[/] {told}")


def _gate_job(folder: Path, arms: Sequence[Cell], gate_file: Path) -> Job:
    files = [str(write_settings(cell, folder)) for cell in arms]
    configs = [part for file in files for part in ("--config", file)]
    arguments = ("-m", "bakeoff", "doctor", "--shortened", "--json", str(gate_file), *configs)
    return Job(name="gate", arguments=arguments, log=fresh_log(folder, "gate"))


def _start_job(folder: Path, cell: Cell, seeds: Sequence[int]) -> Job:
    arguments = (
        *("-m", "bakeoff", "evaluate", "--config", str(write_settings(cell, folder))),
        *("--seeds", ",".join(str(seed) for seed in seeds)),
        *("--out", str(folder / START)),
    )
    return Job(name=START, arguments=arguments, log=fresh_log(folder, START))


def _died(results: Sequence[JobResult], name: str) -> BakeoffError:
    result = next(result for result in results if result.job.name == name)
    kind = ConfigError if result.returncode == 2 else BakeoffError
    return kind(f"{name}: {result.reason.removeprefix('bakeoff: ')}")
