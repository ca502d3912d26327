"""A study's records as typed, validated values. Nothing past this file opens a record."""

import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

from bakeoff import records
from bakeoff.errors import BakeoffError
from bakeoff.records import Row
from reports.ablation.load import Ablation, read_ablation
from reports.evaluations import Evaluation, read_evaluations, read_start
from reports.fields import need
from reports.lines import read_columns, read_lines
from reports.statistics import FloatArray

# What a report draws of metrics.jsonl; who needs another key names it to `load_study`.
METRIC_KEYS = (
    "pass_rate",
    "entropy",
    "kl_to_start",
    "response_tokens_correct",
    "response_tokens_wrong",
    "zero_variance_share",
    "clip_fraction",
    "grad_norm",
)
# So many cells repay the second or two that processes take to start.
PARALLEL_FROM = 64
_CHUNK = 16  # cells a process takes at a time

Kind = Literal["comparison", "ablation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A finished run."""

    method: str
    seed: int
    directory: str  # relative to the study
    config: Row
    ledger: Row
    metrics: Mapping[str, FloatArray]  # key -> [B] by batch; the loader's keys and "batch"
    evaluations: Mapping[str, tuple[Evaluation, ...]]  # split -> by batch, the final one last
    transcripts: tuple[Row, ...]  # of a method's first seed, the one that is shown; else none
    collapsed: str = ""  # when and how training destroyed the policy; empty where it did not

    def final(self, split: str) -> Evaluation | None:
        """The evaluation at the end of the budget; None where the split was not evaluated."""
        points = self.evaluations.get(split, ())
        return points[-1] if points and points[-1].final else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """A cell of the matrix that is left out of every number."""

    method: str
    seed: int
    directory: str
    state: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """Whether differences may be read as differences between methods."""

    passed: bool
    reasons: tuple[str, ...]  # why not; empty when passed


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """Everything a report is made from."""

    path: Path  # of which the directories of cells are a part
    name: str
    kind: Kind = "comparison"
    task: str
    model: str
    budget_axis: str
    budget: float  # in units of the axis
    seeds: tuple[int, ...]  # asked for
    gate: Gate
    command: str
    git_revision: str
    versions: Mapping[str, str]
    machine: str
    split: str  # the one that pass@1 is of: "test", or "validation" while tuning
    cells: tuple[Cell, ...]
    skipped: tuple[Skipped, ...]
    start: Mapping[int, Mapping[str, Evaluation]]  # seed -> split -> common starting policy
    start_transcripts: tuple[Row, ...]
    methods: tuple[str, ...]  # with a finished cell, in the order asked for
    ablation: Ablation | None = None  # what the methods are settings of; of an ablation alone
    tuning: tuple[str, ...] = ()  # folders of the studies that settings were chosen by, as named

    # A report asks for a method's cells hundreds of times: a search each would take a minute.
    _by_method: Mapping[str, tuple[Cell, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        groups: dict[str, list[Cell]] = {}
        for cell in sorted(self.cells, key=lambda cell: cell.seed):
            groups.setdefault(cell.method, []).append(cell)
        by_method = {method: tuple(cells) for method, cells in groups.items()}
        object.__setattr__(self, "_by_method", by_method)

    def of(self, method: str) -> tuple[Cell, ...]:
        """The finished cells of a method, by seed."""
        return self._by_method.get(method, ())


def load_study(path: Path, *, metrics: Sequence[str] = METRIC_KEYS) -> Study:
    """The records of a study directory.

    Many cells are read by processes of their own, so that a script which calls this needs the
    usual ``if __name__ == "__main__"``.

    Args:
        path: of a folder with a study.json.
        metrics: keys of metrics.jsonl to load beside "batch".

    Raises:
        BakeoffError: a record is missing or malformed, or no cell has finished.
    """
    file = path / "study.json"
    study = records.read_json(file)
    budget = need(study, "budget", file, dict)
    loaded, warnings = _load_cells(path, need(study, "cells", file, list), file, metrics)
    cells = [cell for cell in loaded if isinstance(cell, Cell)]
    skipped = [cell for cell in loaded if isinstance(cell, Skipped)]
    if not cells:
        states = ", ".join(f"{s.directory} ({s.state})" for s in skipped) or "no cells at all"
        raise BakeoffError(
            f"{path} has no finished cell to report on: {states}; "
            "run the study's command again, it continues where it stopped"
        )
    _refuse_twins(cells, path)
    done = {cell.method for cell in cells}
    asked = [str(method) for method in study.get("methods", ())]
    ablation = need(study, "ablation", file, dict) if study.get("kind") == "ablation" else None
    return Study(
        path=path,
        name=str(need(study, "study", file, str)),
        kind="comparison" if ablation is None else "ablation",
        task=str(need(study, "task", file, str)),
        model=str(need(study, "model", file, str)),
        budget_axis=str(need(budget, "axis", file, str)),
        budget=float(need(budget, "value", file, (int, float))),
        seeds=tuple(study.get("seeds", ())),
        gate=_gate(need(study, "gate", file, dict), warnings),
        command=str(study.get("command", "")),
        git_revision=str(study.get("git_revision", "")),
        versions=study.get("versions", {}),
        machine=str(study.get("machine", "")),
        split=_main_split(cells),
        cells=tuple(_with_transcripts(cells, path)),
        skipped=tuple(skipped),
        start=read_start(path / records.START / "evaluations.jsonl"),
        start_transcripts=tuple(read_lines(path / records.START / "transcripts.jsonl")),
        methods=tuple(dict.fromkeys([m for m in asked if m in done] + [c.method for c in cells])),
        ablation=None if ablation is None else read_ablation(ablation, file),
        tuning=(str(study["tuning"]),) if study.get("tuning") else (),
    )


def _load_cells(
    path: Path, entries: Sequence[Row], file: Path, metrics: Sequence[str]
) -> tuple[list[Cell | Skipped], list[str]]:
    """The cells, and what their canaries found."""
    # Trials at the same point share their folders.
    listed = {str(need(entry, "directory", file, str)): entry for entry in entries}
    read = partial(_cell, path, file=file, metrics=tuple(metrics))
    if len(listed) < PARALLEL_FROM:
        found = [read(entry) for entry in listed.values()]
    else:
        with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
            found = list(pool.map(read, listed.values(), chunksize=_CHUNK))
    return [cell for cell, _ in found], [warning for _, canaries in found for warning in canaries]


def _cell(
    study: Path, entry: Row, *, file: Path, metrics: Sequence[str]
) -> tuple[Cell | Skipped, list[str]]:
    method = str(need(entry, "method", file, str))
    seed = int(need(entry, "seed", file, int))
    directory = str(need(entry, "directory", file, str))
    run = records.RunDirectory(study / directory)
    status = records.read_json(run.status) if run.status.exists() else {"state": "pending"}
    state, message = str(status.get("state", "pending")), str(status.get("message", ""))
    canaries = [f"{directory}: {_reason(canary)}" for canary in status.get("canaries", ())]

    def skip(why: str) -> tuple[Skipped, list[str]]:
        cell = Skipped(method=method, seed=seed, directory=directory, state=state, message=why)
        return cell, canaries

    if state != "finished":
        return skip(message)
    evaluations = read_evaluations(run.evaluations)
    if not any(points[-1].final for points in evaluations.values()):
        return skip("finished, but evaluations.jsonl has no final evaluation")
    cell = Cell(
        method=method,
        seed=seed,
        directory=directory,
        config=records.read_json(run.config),
        ledger=records.read_json(run.ledger),
        metrics=read_columns(run.metrics, ("batch", *metrics)),
        evaluations=evaluations,
        transcripts=(),
        collapsed=(message or "collapsed") if status.get("collapsed") else "",
    )
    return cell, canaries


def _with_transcripts(cells: Iterable[Cell], path: Path) -> list[Cell]:
    """The cells, those of each method's first seed with their transcripts."""
    cells = list(cells)
    first: dict[str, int] = {}
    for cell in cells:
        first[cell.method] = min(cell.seed, first.get(cell.method, cell.seed))
    return [
        replace(
            cell,
            transcripts=tuple(read_lines(records.RunDirectory(path / cell.directory).transcripts)),
        )
        if cell.seed == first[cell.method]
        else cell
        for cell in cells
    ]


def _gate(gate: Row, warnings: Sequence[str]) -> Gate:
    reasons = [_reason(failure) for failure in gate.get("failed", ())]
    if gate.get("forced"):
        reasons.append("the gate was overridden when the study was started")
    if not gate.get("passed") and not reasons:
        reasons.append("the conformance gate did not pass")
    reasons += warnings
    return Gate(passed=not reasons, reasons=tuple(reasons))


def _reason(failure: Any) -> str:
    if isinstance(failure, Mapping):
        return f"{failure.get('check', 'check')}: {failure.get('reason', 'failed')}"
    return str(failure)


def _main_split(cells: Sequence[Cell]) -> str:
    finals = {
        split for cell in cells for split, points in cell.evaluations.items() if points[-1].final
    }
    return next((split for split in ("test", "validation", "ood") if split in finals), "test")


def _refuse_twins(cells: Sequence[Cell], path: Path) -> None:
    seen: dict[tuple[str, int], str] = {}
    for cell in cells:
        twin = seen.setdefault((cell.method, cell.seed), cell.directory)
        if twin != cell.directory:
            raise BakeoffError(
                f"{path}/study.json lists {cell.method} with seed {cell.seed} twice: {twin} and "
                f"{cell.directory}; a study has one cell per method and seed"
            )
