"""A comparison from suite to report: gate, common start, cells, records."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bakeoff import provenance
from bakeoff.config import as_record
from bakeoff.errors import BakeoffError, ConfigError
from bakeoff.records import SCHEMA, START, RunDirectory, read_json, write_json
from bakeoff.settings import flat
from bakeoff.tracking import Mirror
from benchmarks.launch import Job, JobResult, run_jobs
from benchmarks.progress import MatrixProgress
from benchmarks.suite import Cell, Suite, choose_methods, load_suite, matrix, quick, with_seeds

RUNS = Path("runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """What the command line says beside settings."""

    quick: bool = False
    methods: tuple[str, ...] | None = None
    seeds: int | None = None
    workers: int | None = None  # None: one a core
    out: Path | None = None
    force: bool = False
    tracking: bool = True
    tracking_uri: str | None = None  # None: SQLite beside the study
    command: str = ""


def run_comparison(
    suite_file: Path | None,
    *,
    overrides: Mapping[str, Any],
    options: CompareOptions,
    write_report: Callable[[Path], Path],
) -> Path:
    """Runs every cell of a suite that is not finished yet, then the report; its folder.

    Args:
        suite_file: None for the built-in comparison.
        overrides: flat settings from the command line.
        options: the rest of the command line.
        write_report: makes the report of a study folder.

    Raises:
        ConfigError: settings that cannot run; nothing is left behind.
        BakeoffError: the gate failed, or a cell did.
    """
    suite = _chosen(suite_file, options)
    failed = run_suite(suite, overrides=overrides, options=options, write_report=write_report)
    if failed:
        count = len(matrix(suite, overrides))
        raise BakeoffError(
            f"{len(failed)} of {count} cells failed and are left out of the report: "
            + "; ".join(f"{result.job.name}: {result.reason}" for result in failed[:3])
            + "; run the same command again to continue them"
        )
    return study_folder(suite, options)


def study_folder(suite: Suite, options: CompareOptions) -> Path:
    """Where a suite's study is."""
    return options.out or RUNS / suite.study


def run_suite(
    suite: Suite,
    *,
    overrides: Mapping[str, Any],
    options: CompareOptions,
    write_report: Callable[[Path], Path],
) -> list[JobResult]:
    """Runs every cell that is not finished yet, then the report; the cells that failed.

    Raises:
        ConfigError: settings that cannot run; nothing is left behind.
        BakeoffError: the gate failed.
    """
    cells = matrix(suite, overrides)
    comparison = _Comparison(suite, cells, options)
    existed = comparison.folder.exists()
    try:
        comparison.open_gate()
    except ConfigError:
        # Settings that only a loaded model or task can refuse leave nothing behind either.
        if not existed:
            shutil.rmtree(comparison.folder)
        raise
    with comparison.mirror:
        failed = comparison.run()
        write_report(comparison.folder)
        comparison.close()
    return failed


class _Comparison:
    """One run of a suite in its folder."""

    def __init__(self, suite: Suite, cells: Sequence[Cell], options: CompareOptions) -> None:
        self._suite = suite
        self._cells = cells
        self._options = options
        self._console = Console()
        self._workers = options.workers or os.cpu_count() or 1
        self.folder = study_folder(suite, options)
        self._settings = self.folder / "settings"
        self._logs = self.folder / "logs"
        self._gate: dict[str, Any] = {"passed": False, "failed": [], "forced": options.force}
        self.mirror = Mirror(
            self.folder,
            uri=options.tracking_uri or f"sqlite:///{self.folder.resolve().parent / 'mlflow.db'}",
            enabled=options.tracking,
        )

    def open_gate(self) -> None:
        """Runs the conformance gate beside the evaluation of the start.

        Raises:
            BakeoffError: a check failed and it was not forced.
        """
        self._settings.mkdir(parents=True, exist_ok=True)
        for cell in self._cells:
            settings = flat(as_record(cell.config)) | {"method": cell.method}
            self._settings_file(cell).write_text(json.dumps(settings, indent=1) + "\n")
        self._write_study("running")
        gate_file = self.folder / "gate.json"
        gate_file.unlink(missing_ok=True)
        self._console.print("conformance gate and common start …")
        results = run_jobs([self._gate_job(gate_file), self._start_job()], workers=self._workers)
        if not gate_file.exists():
            raise self._died(results, "gate")
        self._gate |= read_json(gate_file)
        self._write_study("running")
        for result in results:
            if result.job.name == START and result.returncode:
                raise self._died(results, START)
        if self._gate["passed"]:
            return
        told = "; ".join(f"{f['check']}: {f['reason']}" for f in self._gate["failed"])
        if not self._options.force:
            raise BakeoffError(
                f"the conformance gate failed, so nothing was compared ({told}); --force goes on "
                'and marks the report "not comparable"'
            )
        self._console.print(f"[bold red]gate failed, forced on:[/] {told}")

    def run(self) -> list[JobResult]:
        """Runs the cells; those that failed."""
        folders = {cell.name: self.folder / cell.name for cell in self._cells}
        jobs = [
            self._cell_job(cell)
            for cell in self._cells
            if RunDirectory(folders[cell.name]).state != "finished"
        ]
        axis, value = self._budget()
        title = f"{self._suite.study}: {len(self._cells)} cells, {value:g} {axis} each"
        with MatrixProgress(self._console, folders, title=title) as progress:
            results = run_jobs(jobs, workers=self._workers, on_tick=progress.tick)
        return [result for result in results if result.returncode]

    def close(self) -> None:
        """Marks the study as finished: the mirror then ends its runs."""
        self._write_study("finished")

    def _gate_job(self, gate_file: Path) -> Job:
        first = [cell for cell in self._cells if cell.seed == self._suite.seeds[0]]
        files = [str(self._settings_file(cell)) for cell in first]
        configs = [part for file in files for part in ("--config", file)]
        arguments = ("-m", "bakeoff", "doctor", "--json", str(gate_file), *configs)
        return Job(name="gate", arguments=arguments, log=self._fresh_log("gate"))

    def _start_job(self) -> Job:
        arguments = (
            *("-m", "bakeoff", "evaluate", "--config", str(self._settings_file(self._cells[0]))),
            *("--seeds", ",".join(str(seed) for seed in self._suite.seeds)),
            *("--out", str(self.folder / START)),
        )
        return Job(name=START, arguments=arguments, log=self._fresh_log(START))

    def _cell_job(self, cell: Cell) -> Job:
        arguments = (
            *("-m", "bakeoff", "train", "--config", str(self._settings_file(cell))),
            *("--out", str(self.folder / cell.name), "--quiet"),
        )
        return Job(name=cell.name, arguments=arguments, log=self._fresh_log(cell.name))

    def _settings_file(self, cell: Cell) -> Path:
        return self._settings / f"{cell.name}.json"

    def _fresh_log(self, name: str) -> Path:
        log = self._logs / f"{name}.log"
        log.unlink(missing_ok=True)
        return log

    def _budget(self) -> tuple[str, float]:
        budget = self._cells[0].config.budget
        return budget.budget_axis.value, budget.budget

    def _write_study(self, state: str) -> None:
        axis, value = self._budget()
        config = self._cells[0].config
        write_json(
            self.folder / "study.json",
            {
                "schema": SCHEMA,
                "study": self._suite.study,
                "state": state,
                "task": config.task.task,
                "model": config.model.model,
                "budget": {"axis": axis, "value": value},
                "seeds": list(self._suite.seeds),
                "methods": list(self._suite.methods),
                "cells": [
                    {"method": cell.arm, "seed": cell.seed, "directory": cell.name}
                    for cell in self._cells
                ],
                "gate": self._gate,
                "command": self._options.command,
                "git_revision": provenance.git_revision(),
                "versions": provenance.versions(),
                "machine": provenance.machine(),
            },
        )

    def _died(self, results: Sequence[JobResult], name: str) -> BakeoffError:
        result = next(result for result in results if result.job.name == name)
        kind = ConfigError if result.returncode == 2 else BakeoffError
        return kind(f"{name}: {result.reason.removeprefix('bakeoff: ')}")


def _chosen(suite_file: Path | None, options: CompareOptions) -> Suite:
    """The suite as the command line narrows it."""
    suite = load_suite(suite_file)
    if options.quick:
        suite = quick(suite)
    if options.methods is not None:
        suite = choose_methods(suite, options.methods)
    if options.seeds is not None:
        suite = with_seeds(suite, options.seeds)
    return suite
