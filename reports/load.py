"""A study's records as typed, validated values. Nothing past this file opens a record."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bakeoff import records
from bakeoff.errors import BakeoffError
from bakeoff.records import Row

T = TypeVar("T")

AXES = ("sampled_tokens", "device_seconds", "optimizer_steps", "flops")


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """A policy at one moment on one split."""

    batch: int  # rollout batches trained on; 0 for the start
    final: bool
    spent: Mapping[str, float]  # by budget axis, up to this moment
    rows: Mapping[str, Row]  # problem id -> its line of evaluations.jsonl


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """A finished run."""

    method: str
    seed: int
    directory: str  # relative to the study
    config: Row
    ledger: Row
    metrics: tuple[Row, ...]  # by batch
    evaluations: Mapping[str, tuple[Evaluation, ...]]  # split -> by batch, the final one last
    transcripts: tuple[Row, ...]

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

    path: Path
    name: str
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

    def of(self, method: str) -> tuple[Cell, ...]:
        """The finished cells of a method, by seed."""
        return tuple(
            sorted((c for c in self.cells if c.method == method), key=lambda cell: cell.seed)
        )


def load_study(path: Path) -> Study:
    """The records of a study directory.

    Raises:
        BakeoffError: a record is missing or malformed, or no cell has finished.
    """
    file = path / "study.json"
    study = records.read_json(file)
    budget = _need(study, "budget", file, dict)
    cells: list[Cell] = []
    skipped: list[Skipped] = []
    warnings: list[str] = []
    for entry in _need(study, "cells", file, list):
        loaded = _cell(path, entry, file, warnings)
        if isinstance(loaded, Cell):
            cells.append(loaded)
        else:
            skipped.append(loaded)
    if not cells:
        states = ", ".join(f"{s.directory} ({s.state})" for s in skipped) or "no cells at all"
        raise BakeoffError(
            f"{path} has no finished cell to report on: {states}; "
            "run the study's command again, it continues where it stopped"
        )
    _refuse_twins(cells, path)
    start_rows = tuple(records.read_lines(path / records.START / "evaluations.jsonl"))
    done = {cell.method for cell in cells}
    asked = [str(method) for method in study.get("methods", ())]
    return Study(
        path=path,
        name=str(_need(study, "study", file, str)),
        task=str(_need(study, "task", file, str)),
        model=str(_need(study, "model", file, str)),
        budget_axis=str(_need(budget, "axis", file, str)),
        budget=float(_need(budget, "value", file, (int, float))),
        seeds=tuple(study.get("seeds", ())),
        gate=_gate(_need(study, "gate", file, dict), warnings),
        command=str(study.get("command", "")),
        git_revision=str(study.get("git_revision", "")),
        versions=study.get("versions", {}),
        machine=str(study.get("machine", "")),
        split=_main_split(cells),
        cells=tuple(cells),
        skipped=tuple(skipped),
        start={
            seed: {split: points[0] for split, points in _evaluations(rows, path).items()}
            for seed, rows in _grouped(start_rows, lambda row: int(row.get("seed", 0))).items()
        },
        start_transcripts=tuple(records.read_lines(path / records.START / "transcripts.jsonl")),
        methods=tuple(dict.fromkeys([m for m in asked if m in done] + [c.method for c in cells])),
    )


def _cell(study: Path, entry: Row, file: Path, warnings: list[str]) -> Cell | Skipped:
    method = str(_need(entry, "method", file, str))
    seed = int(_need(entry, "seed", file, int))
    directory = str(_need(entry, "directory", file, str))
    run = records.RunDirectory(study / directory)
    status = records.read_json(run.status) if run.status.exists() else {"state": "pending"}
    state, message = str(status.get("state", "pending")), str(status.get("message", ""))
    warnings += [f"{directory}: {_reason(canary)}" for canary in status.get("canaries", ())]

    def skip(why: str) -> Skipped:
        return Skipped(method=method, seed=seed, directory=directory, state=state, message=why)

    if state != "finished":
        return skip(message)
    evaluations = _evaluations(records.read_lines(run.evaluations), run.evaluations)
    if not any(points[-1].final for points in evaluations.values()):
        return skip("finished, but evaluations.jsonl has no final evaluation")
    return Cell(
        method=method,
        seed=seed,
        directory=directory,
        config=records.read_json(run.config),
        ledger=records.read_json(run.ledger),
        metrics=tuple(records.read_lines(run.metrics)),
        evaluations=evaluations,
        transcripts=tuple(records.read_lines(run.transcripts)),
    )


def _evaluations(rows: Iterable[Row], file: Path) -> dict[str, tuple[Evaluation, ...]]:
    splits: dict[str, tuple[Evaluation, ...]] = {}
    for split, lines in _grouped(rows, lambda row: str(_need(row, "split", file, str))).items():
        points = _grouped(lines, lambda row: (bool(row.get("final")), int(row["batch"])))
        splits[split] = tuple(
            Evaluation(
                batch=batch,
                final=final,
                spent={axis: float(point[0].get(axis) or 0.0) for axis in AXES},
                rows={str(_need(row, "problem", file, str)): row for row in point},
            )
            for (final, batch), point in sorted(points.items(), key=lambda item: item[0])
        )
    return splits


def _gate(gate: Row, warnings: list[str]) -> Gate:
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


def _main_split(cells: list[Cell]) -> str:
    finals = {
        split for cell in cells for split, points in cell.evaluations.items() if points[-1].final
    }
    return next((split for split in ("test", "validation", "ood") if split in finals), "test")


def _refuse_twins(cells: list[Cell], path: Path) -> None:
    seen: dict[tuple[str, int], str] = {}
    for cell in cells:
        twin = seen.setdefault((cell.method, cell.seed), cell.directory)
        if twin != cell.directory:
            raise BakeoffError(
                f"{path}/study.json lists {cell.method} with seed {cell.seed} twice: {twin} and "
                f"{cell.directory}; a study has one cell per method and seed"
            )


K = TypeVar("K")


def _grouped(rows: Iterable[Row], key: Callable[[Row], K]) -> dict[K, list[Row]]:
    groups: dict[K, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def _need(row: Row, key: str, file: Path, kind: type[T] | tuple[type[Any], ...]) -> Any:
    value = row.get(key)
    if not isinstance(value, kind):
        raise BakeoffError(
            f"{file}: {key!r} is {value!r}, expected {getattr(kind, '__name__', 'a number')}; "
            "the record was written by another version or by hand"
        )
    return value
