"""What a method spent before its policy's first update: pools, critics, reward models, labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bakeoff.errors import BakeoffError
from bakeoff.records import read_json
from reports.load import Cell, Study

# Beside the loader's keys; says what the batches of a critic's warm-up took.
WARMUP_KEY = "device_seconds"
_TRAINING, _ANNOTATION = "training.json", "annotation.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SetUp:
    """One thing that a method needs first; means over its cells."""

    method: str
    what: str
    seconds: float | None  # of the device; None where no record says
    sampled_tokens: float | None  # None where none were sampled, or no record says
    charged: bool  # whether the cell's own ledger, and so the budget, has it
    source: str  # the record that says so


def set_up(study: Study) -> tuple[SetUp, ...]:
    """The set-up of every method, in the order of the study; a reward model counts whole."""
    found: list[SetUp] = []
    for method in study.methods:
        cells = study.of(method)
        found += _pool(method, cells)
        found += _critic(method, cells)
        found += _reward_model(study, method, cells[0])
    return tuple(found)


def _pool(method: str, cells: Sequence[Cell]) -> list[SetUp]:
    offline = [cell for cell in cells if cell.config.get("source") == "initial_policy"]
    if not offline:
        return []
    seconds = [
        sum(float((cell.ledger.get("seconds") or {}).get(p, 0.0)) for p in ("sample", "score"))
        for cell in offline
    ]
    tokens = [float(cell.ledger.get("sampled_tokens") or 0.0) for cell in offline]
    return [
        SetUp(
            method=method,
            what="pool, sampled and scored",
            seconds=float(np.mean(seconds)),
            sampled_tokens=float(np.mean(tokens)),
            charged=True,
            source="ledger.json",
        )
    ]


def _critic(method: str, cells: Sequence[Cell]) -> list[SetUp]:
    settings = cells[0].config.get("method_settings") or {}
    batches = int(settings.get("critic_warmup_batches") or 0)
    if not batches:
        return []
    spent = [
        float(cell.metrics[WARMUP_KEY][batches - 1])
        for cell in cells
        if len(cell.metrics.get(WARMUP_KEY, ())) >= batches
    ]
    return [
        SetUp(
            method=method,
            what=f"critic, {batches} batches alone",
            seconds=float(np.mean(spent)) if spent else None,
            sampled_tokens=None,
            charged=True,
            source="metrics.jsonl",
        )
    ]


def _reward_model(study: Study, method: str, cell: Cell) -> list[SetUp]:
    reward = cell.config.get("reward") or {}
    named = reward.get("reward_model") if isinstance(reward, Mapping) else None
    if not named:
        return []
    folder = _first(
        _TRAINING,
        study.path / "reward_models" / Path(str(named)).name,
        study.path / str(named),
        Path(str(named)),
    )
    record = _read(folder, _TRAINING)
    training = SetUp(
        method=method,
        what="reward model, trained",
        seconds=_number(record.get("wall_seconds")),
        sampled_tokens=None,
        charged=False,
        source=f"{named}/{_TRAINING}",
    )
    labels = [_labels(study, method, Path(str(file))) for file in record.get("data") or {}]
    return [training, *(one for one in labels if one)]


def _labels(study: Study, method: str, file: Path) -> SetUp | None:
    """The annotation of a data file; None where the file was not annotated by us."""
    folder = _first(_ANNOTATION, study.path / file.parent, file.parent)
    ledger = _read(folder, _ANNOTATION).get("ledger") or {}
    if not ledger:
        return None
    return SetUp(
        method=method,
        what="step labels, annotated",
        seconds=_number(ledger.get("device_seconds")),
        sampled_tokens=_number(ledger.get("sampled_tokens")),
        charged=False,
        source=f"{file.parent}/{_ANNOTATION}",
    )


def _first(name: str, *folders: Path) -> Path | None:
    return next((folder for folder in folders if (folder / name).is_file()), None)


def _read(folder: Path | None, name: str) -> Mapping[str, Any]:
    """A record that lies outside the study; without it the report says "not recorded"."""
    if folder is None:
        return {}
    try:
        return read_json(folder / name)
    except BakeoffError:
        return {}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
