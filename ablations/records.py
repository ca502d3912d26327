"""What the trials left, as the one study.json that reports and MLflow read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ablations.designs import planned_points
from ablations.factors import plain_level
from ablations.space import arm_name
from ablations.study import FIXED_DESIGNS, Ablation
from ablations.trial import trial_file
from bakeoff.config import CellConfig
from bakeoff.records import RunDirectory, read_json

COSTS = ("device_seconds", "wall_seconds", "sampled_tokens", "flops")


def study_record(
    ablation: Ablation,
    folder: Path,
    *,
    config: CellConfig,
    importances: Mapping[str, float] | None,
    setup: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The part of study.json that says what was varied and how far it is.

    Args:
        ablation: what was declared.
        folder: of the study.
        config: of any cell; the world that all share.
        importances: factor -> share, once the study is over.
        setup: the commands that were run first and what they took.
    """
    points = planned_points(ablation)
    trials = [_trial(folder, number, point) for number, point in enumerate(points)]
    cells = _once(cell for trial in trials for cell in trial.pop("cells"))
    of_trial: dict[int, list[dict[str, Any]]] = {}
    for cell in cells:
        of_trial.setdefault(cell["trial"], []).append(cell)
    return {
        "kind": "ablation",
        "study": ablation.study,
        "task": config.task.task,
        "model": config.model.model,
        "budget": {"axis": config.budget.budget_axis.value, "value": config.budget.budget},
        "seeds": list(ablation.seeds),
        "methods": list(dict.fromkeys(trial["arm"] for trial in trials if trial["arm"])),
        "cells": cells,
        "ablation": {
            "title": ablation.title,
            "question": ablation.question,
            "design": ablation.design,
            "pruner": ablation.pruner,
            "objectives": list(ablation.objectives),
            "factors": [
                factor.record(name, sampled=ablation.design not in FIXED_DESIGNS)
                for name, factor in ablation.factors.items()
            ],
            "trials": [
                trial | {"cost": _cost(folder, of_trial.get(trial["number"], ()))}
                for trial in trials
            ],
            "importances": importances,
            "fits_bytes": ablation.fits_bytes,
            "setup": list(setup),
        },
    }


def _trial(folder: Path, number: int, point: Mapping[str, Any]) -> dict[str, Any]:
    file = trial_file(folder, number)
    if not file.exists():
        return {
            "number": number,
            "arm": arm_name(point),
            "levels": {name: plain_level(level) for name, level in point.items()},
            "state": "waiting",
            "reason": "",
            "values": None,
            "intermediate": [],
            "cells": [],
        }
    return read_json(file)


def _cost(folder: Path, cells: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """What the cells of a trial have spent, those that failed included."""
    ledgers = [
        read_json(ledger)
        for cell in cells
        if (ledger := RunDirectory(folder / cell["directory"]).ledger).exists()
    ]
    return {name: float(sum(ledger[name] for ledger in ledgers)) for name in COSTS}


def _once(cells: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Two trials at the same point share their cells, which are then the first one's to pay for."""
    found: dict[str, dict[str, Any]] = {}
    for cell in cells:
        found.setdefault(cell["directory"], cell)
    return list(found.values())
