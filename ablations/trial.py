"""One trial: the cells of its seeds, one process each, judged after every seed."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import optuna

from ablations.designs import suggest
from ablations.factors import Point, plain_level
from ablations.space import arm_name, cells_of
from ablations.storage import INDEX
from ablations.study import Ablation
from bakeoff.records import RunDirectory, read_json, read_lines, write_json
from benchmarks.cells import cell_job
from benchmarks.launch import JobResult, run_jobs
from benchmarks.suite import Cell

State = Literal["complete", "pruned", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a trial ended."""

    state: State
    reason: str = ""  # why it was pruned or has failed
    values: tuple[float, ...] | None = None  # of the objectives, in their order


class TrialRunner:
    """Runs trials of a study and leaves a record of each in its folder."""

    def __init__(self, ablation: Ablation, *, folder: Path, overrides: Mapping[str, Any]) -> None:
        self._ablation = ablation
        self._folder = folder
        self._overrides = overrides

    def run(self, trial: optuna.Trial) -> Outcome:
        """Trains and judges the cells of a trial; cells that are finished are not run again."""
        point = suggest(trial, self._ablation)
        cells = cells_of(self._ablation, point, folder=self._folder, overrides=self._overrides)
        record = TrialRecord(self._folder, trial.user_attrs[INDEX], point)
        record.write("running")
        outcome = self._unfit(cells[0]) or self._cells(trial, cells, record)
        record.write(outcome.state, reason=outcome.reason, values=self._named(outcome.values))
        return outcome

    def _cells(self, trial: optuna.Trial, cells: Sequence[Cell], record: TrialRecord) -> Outcome:
        done: list[RunDirectory] = []
        for step, cell in enumerate(cells, start=1):
            record.begin(cell)
            directory = RunDirectory(self._folder / cell.name)
            failure = self._train(cell, directory)
            if failure is not None:
                return failure
            done.append(directory)
            record.intermediate.append(self._value(done))
            record.write("running")
            if len(self._ablation.objectives) > 1:
                continue
            # Wilcoxon's test pairs single seeds with the best trial's; the others compare means.
            paired = self._ablation.pruner == "wilcoxon"
            trial.report(self._value(done[-1:] if paired else done), step)
            if step < len(cells) and trial.should_prune():
                return Outcome(
                    state="pruned", reason=f"by {self._ablation.pruner} after {step} seeds"
                )
        return Outcome(
            state="complete",
            values=tuple(OBJECTIVES[name](done) for name in self._ablation.objectives),
        )

    def _train(self, cell: Cell, directory: RunDirectory) -> Outcome | None:
        """What kept a cell from its end; None when it is finished, now or earlier."""
        if directory.state != "finished":
            (result,) = run_jobs([cell_job(cell, self._folder)], workers=1)
            if result.returncode:
                return _failure(directory, result, study=self._folder)
        if not _final_verdicts(directory):
            return Outcome(state="failed", reason=f"{cell.name}: no response has a verdict")
        return None

    def _value(self, done: Sequence[RunDirectory]) -> float:
        return OBJECTIVES[self._ablation.objectives[0]](done)

    def _unfit(self, cell: Cell) -> Outcome | None:
        """Why the trial need not run at all; None when it may."""
        limit = self._ablation.fits_bytes
        if limit is None:
            return None
        # Only a study with a limit needs torch, which takes seconds to load.
        from ablations.memory import peak_bytes

        needed = peak_bytes(cell)
        if needed <= limit:
            return None
        return Outcome(
            state="pruned",
            reason=f"its tensors take {needed:,.0f} bytes at the least, above "
            f"fits_bytes {limit:,.0f}",
        )

    def _named(self, values: Sequence[float] | None) -> dict[str, float] | None:
        if values is None:
            return None
        return dict(zip(self._ablation.objectives, values, strict=True))


class TrialRecord:
    """``trials/<number>.json``: what a trial is and how far it has come."""

    def __init__(self, folder: Path, number: int, point: Point) -> None:
        self._path = trial_file(folder, number)
        levels = {name: plain_level(level) for name, level in point.items()}
        self._what = {"number": number, "arm": arm_name(point), "levels": levels}
        self._cells: list[dict[str, Any]] = []
        self.intermediate: list[float] = []  # the first objective after each seed

    def begin(self, cell: Cell) -> None:
        """Adds a cell, from when on its costs are the trial's."""
        what = self._what
        self._cells.append(
            {
                "method": what["arm"],
                "seed": cell.seed,
                "directory": cell.name,
                "trial": what["number"],
            }
        )
        self.write("running")

    def write(
        self, state: str, *, reason: str = "", values: Mapping[str, float] | None = None
    ) -> None:
        """Replaces the record."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        write_json(
            self._path,
            self._what
            | {
                "state": state,
                "reason": reason,
                "values": values,
                "intermediate": self.intermediate,
                "cells": self._cells,
            },
        )


def trial_file(folder: Path, number: int) -> Path:
    """Where the record of a trial is."""
    return folder / "trials" / f"{number:04d}.json"


def pass_rate(cells: Sequence[RunDirectory]) -> float:
    """Mean over cells of pass@1 at the end; responses without a verdict are left out."""
    return fmean(fmean(_final_verdicts(cell)) for cell in cells)


def peak_bytes(cells: Sequence[RunDirectory]) -> float:
    """The largest peak of any cell and phase."""
    return float(max(max(read_json(c.ledger)["peak_bytes"].values()) for c in cells))


def tokens_per_second(cells: Sequence[RunDirectory]) -> float:
    """Mean over cells of sampled tokens a charged second."""
    return fmean(read_json(cell.ledger)["tokens_per_second"] for cell in cells)


OBJECTIVES = {
    "pass@1": pass_rate,
    "peak_bytes": peak_bytes,
    "tokens_per_second": tokens_per_second,
}


def _final_verdicts(cell: RunDirectory) -> list[bool]:
    rows = [row for row in read_lines(cell.evaluations) if row["final"]]
    return [verdict for row in rows for verdict in row["correct"] if verdict is not None]


def _failure(cell: RunDirectory, result: JobResult, *, study: Path) -> Outcome:
    """Out of memory prunes, for these settings do not fit; anything else is a failure."""
    status = read_json(cell.status) if cell.status.exists() else {}
    # A study may be moved or sent, so its records name no place outside it.
    reason = result.reason.removeprefix("bakeoff: ").replace(f"{study}/", "")
    if status.get("failure") == "out_of_memory":
        return Outcome(state="pruned", reason=f"out of memory: {reason}")
    if result.returncode == -signal.SIGKILL:
        # The kernel ends what does not fit without a word.
        return Outcome(state="pruned", reason="killed twice, as for want of memory")
    return Outcome(state="failed", reason=reason)
