"""A comparison from suite to report: gate, common start, cells, records."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from bakeoff import provenance
from bakeoff.errors import BakeoffError, ConfigError
from bakeoff.records import SCHEMA, RunDirectory, write_json
from bakeoff.tracking import Mirror
from benchmarks.cells import cell_job, write_settings
from benchmarks.launch import JobResult, run_jobs
from benchmarks.opening import Gate, closed_gate, open_study
from benchmarks.progress import MatrixProgress
from benchmarks.suite import Cell, Suite, choose_methods, load_suite, matrix, quick, with_seeds

RUNS = Path("runs")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompareOptions:
    """What the command line says beside settings."""

    quick: bool = False
    methods: tuple[str, ...] | None = None
    seeds: int | None = None
    workers: int | None = None  # None: as many as occupy every core
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
        processes = max(cell.config.engine.processes for cell in cells)
        self._workers = options.workers or max(1, (os.cpu_count() or 1) // processes)
        self.folder = study_folder(suite, options)
        self._gate = closed_gate(force=options.force)
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
        for cell in self._cells:
            write_settings(cell, self.folder)
        self._write_study("running")
        open_study(
            self.folder,
            arms=[cell for cell in self._cells if cell.seed == self._suite.seeds[0]],
            seeds=self._suite.seeds,
            workers=self._workers,
            force=self._options.force,
            console=self._console,
            on_gate=self._record_gate,
        )

    def run(self) -> list[JobResult]:
        """Runs the cells; those that failed."""
        folders = {cell.name: self.folder / cell.name for cell in self._cells}
        jobs = [
            cell_job(cell, self.folder)
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

    def _record_gate(self, gate: Gate) -> None:
        self._gate = gate
        self._write_study("running")

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
                "tuning": self._suite.tuning,
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
