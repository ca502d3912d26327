"""Several studies as few: comparisons in the same world become one."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bakeoff.errors import BakeoffError
from reports.evaluations import Evaluation
from reports.load import Cell, Gate, Skipped, Study

# What a config says of the run beside its settings.
_NOT_SETTINGS = ("schema", "hash", "seeds", "versions", "git_revision", "machine")
# Settings that fit a run to a machine; no number is meant to depend on them.
_OF_MACHINE = {
    "model": ("device", "threads"),
    "training": ("micro_batch_tokens", "checkpoint_every"),
    "sampling": ("sampling_rows",),
}


def merge(studies: Sequence[Study]) -> list[Study]:
    """The studies, those comparisons pooled that share task, model, budget, evaluation and start.

    A pool has the methods and seeds of all its studies; a cell that several hold counts once.
    Whatever shares no world with another stays as it is, in the order given.

    Raises:
        BakeoffError: studies of a pool mean different settings by the same method.
    """
    pools: list[list[Study]] = []
    for study in studies:
        pool = next((pool for pool in pools if all(_same_world(study, o) for o in pool)), None)
        if pool is None:
            pools.append([study])
        else:
            pool.append(study)
    return [_pooled(pool) if len(pool) > 1 else pool[0] for pool in pools]


def _same_world(a: Study, b: Study) -> bool:
    return (
        a.kind == b.kind == "comparison"
        and _world(a) == _world(b)
        and _same_start(a.start, b.start)
    )


def _world(study: Study) -> tuple[Any, ...]:
    evaluated = {
        json.dumps([_section(cell, "model"), _section(cell, "evaluation")], sort_keys=True)
        for cell in study.cells
    }
    return study.task, study.model, study.budget_axis, study.budget, study.split, evaluated


def _same_start(
    a: Mapping[int, Mapping[str, Evaluation]], b: Mapping[int, Mapping[str, Evaluation]]
) -> bool:
    """Whether the starts answered alike; with no seed in common, whether they were asked alike."""
    asked_a, asked_b = (
        {s: e.problems for by in start.values() for s, e in by.items()} for start in (a, b)
    )
    return asked_a == asked_b and all(
        a[seed].keys() == b[seed].keys()
        and all(_same_answers(a[seed][split], b[seed][split]) for split in a[seed])
        for seed in a.keys() & b.keys()
    )


def _same_answers(a: Evaluation, b: Evaluation) -> bool:
    return a.problems == b.problems and all(
        np.array_equal(getattr(a, counts), getattr(b, counts))
        for counts in ("samples", "judged", "right")
    )


def _pooled(studies: Sequence[Study]) -> Study:
    paths = [study.path.absolute() for study in studies]
    path = Path(os.path.commonpath(paths))
    cells: dict[tuple[str, int], Cell] = {}
    skipped: dict[str, Skipped] = {}
    first_of: dict[str, Cell] = {}
    for study, own in zip(studies, paths, strict=True):
        inside = own.relative_to(path)
        for cell in study.cells:
            placed = replace(cell, directory=str(inside / cell.directory))
            _refuse_unlike(cells.setdefault((cell.method, cell.seed), placed), placed)
            _refuse_unlike(first_of.setdefault(cell.method, placed), placed)
        for lost in study.skipped:
            placed_loss = replace(lost, directory=str(inside / lost.directory))
            skipped.setdefault(placed_loss.directory, placed_loss)
    first = studies[0]
    return replace(
        first,
        path=path,
        name=" + ".join(_distinct(study.name for study in studies)),
        seeds=tuple(sorted({seed for study in studies for seed in study.seeds})),
        gate=_gate(studies),
        command="\n".join(_distinct(study.command for study in studies)),
        git_revision=", ".join(_distinct(study.git_revision for study in studies)),
        versions={
            name: ", ".join(_distinct(s.versions[name] for s in studies if name in s.versions))
            for name in _distinct(name for study in studies for name in study.versions)
        },
        machine="; ".join(_distinct(study.machine for study in studies)),
        cells=tuple(cells.values()),
        skipped=tuple(lost for lost in skipped.values() if (lost.method, lost.seed) not in cells),
        start={seed: splits for study in reversed(studies) for seed, splits in study.start.items()},
        start_transcripts=next((s.start_transcripts for s in studies if s.start_transcripts), ()),
        methods=tuple(_distinct(method for study in studies for method in study.methods)),
        tuning=tuple(_distinct(source for study in studies for source in study.tuning)),
    )


def _gate(studies: Sequence[Study]) -> Gate:
    reasons = [f"{s.path.absolute().name}: {why}" for s in studies for why in s.gate.reasons]
    return Gate(passed=all(s.gate.passed for s in studies), reasons=tuple(_distinct(reasons)))


def _refuse_unlike(a: Cell, b: Cell) -> None:
    """Refuses two cells that mean different settings by the same method."""
    twins = a.seed == b.seed
    if twins and a.config.get("hash") == b.config.get("hash"):
        return
    differences = _differences(a, b, everything=twins)
    if differences or twins:
        seed = f" with seed {a.seed}" if twins else ""
        raise BakeoffError(
            f"{a.directory} and {b.directory} are both {a.method}{seed}, but differ in "
            f"{'; '.join(differences) or 'their hash'}; report the studies apart, or run one of "
            "them under another name"
        )


def _differences(a: Cell, b: Cell, *, everything: bool) -> list[str]:
    """The settings that differ but for seeds, each with both values."""
    ours, theirs = _settings(a, everything=everything), _settings(b, everything=everything)
    return [
        f"{key} ({ours.get(key)} against {theirs.get(key)})"
        for key in sorted(ours.keys() | theirs.keys())
        if ours.get(key) != theirs.get(key)
    ]


def _settings(cell: Cell, *, everything: bool) -> dict[str, Any]:
    """Setting -> value; those of the machine only among `everything`."""
    flat: dict[str, Any] = {}
    for name, value in cell.config.items():
        if name in _NOT_SETTINGS:
            continue
        if isinstance(value, dict):
            section = value if everything else _section(cell, name)
            flat |= {f"{name}.{key}": one for key, one in section.items()}
        else:
            flat[name] = value
    return flat


def _section(cell: Cell, name: str) -> dict[str, Any]:
    left_out = _OF_MACHINE.get(name, ())
    section = cell.config.get(name) or {}
    return {key: value for key, value in section.items() if key not in left_out}


def _distinct(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(value for value in values if value))
