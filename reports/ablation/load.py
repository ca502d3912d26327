"""What study.json says of an ablation, as typed, validated values."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from bakeoff.errors import BakeoffError
from bakeoff.records import Row
from reports.fields import need

Design = Literal["grid", "quasi_random", "tpe", "leave_one_out"]
Pruner = Literal["none", "median", "wilcoxon", "hyperband"]
TrialState = Literal["complete", "pruned", "failed", "running", "waiting"]
Level = float | str  # a string names a compound level

_NUMBER = (int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorRecord:
    """What was varied."""

    name: str
    unit: str
    levels: tuple[Level, ...]  # empty where the design samples a range
    low: float | None  # of the range
    high: float | None
    log: bool  # whether steps are ratios
    baseline: Level | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A setting, run with one or more seeds."""

    number: int
    arm: str  # the method of its cells
    levels: Mapping[str, Level]  # by factor
    state: TrialState
    reason: str  # why it was pruned or failed; empty otherwise
    values: Mapping[str, float] | None  # by objective; None until it is complete
    intermediate: tuple[float, ...]  # running mean of the first objective after each seed
    cost: Mapping[str, float]  # device_seconds, wall_seconds, sampled_tokens, flops


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """Factors, the settings that were tried, and what the search made of them."""

    title: str
    question: str
    design: Design
    pruner: Pruner
    objectives: tuple[str, ...]
    factors: tuple[FactorRecord, ...]
    trials: tuple[Trial, ...]
    importances: Mapping[str, float] | None  # share by factor; None where there are too few trials
    fits_bytes: float | None  # peak memory that a setting may take


def read_ablation(record: Row, file: Path) -> Ablation:
    """The ablation that `file`, a study.json, describes.

    Raises:
        BakeoffError: a field is missing or malformed.
    """
    factors = [_factor(row, file) for row in need(record, "factors", file, list)]
    names = {factor.name for factor in factors}
    importances = _optional(record, "importances", file, dict)
    fits_bytes = _optional(record, "fits_bytes", file, _NUMBER)
    return Ablation(
        title=need(record, "title", file, str),
        question=need(record, "question", file, str),
        design=_one_of(record, "design", file, get_args(Design)),
        pruner=_one_of(record, "pruner", file, get_args(Pruner)),
        objectives=tuple(map(str, need(record, "objectives", file, list))),
        factors=tuple(factors),
        trials=tuple(
            _trial(row, names, file)
            for row in need(record, "trials", file, list)
            if row.get("levels") != {}  # a point that the sampler has not chosen yet
        ),
        importances=None if importances is None else _numbers(importances, file),
        fits_bytes=None if fits_bytes is None else float(fits_bytes),
    )


def _factor(row: Row, file: Path) -> FactorRecord:
    low, high = (_optional(row, key, file, _NUMBER) for key in ("low", "high"))
    return FactorRecord(
        name=need(row, "name", file, str),
        unit=need(row, "unit", file, str),
        levels=tuple(
            need({"levels": one}, "levels", file, (*_NUMBER, str))
            for one in need(row, "levels", file, list)
        ),
        low=None if low is None else float(low),
        high=None if high is None else float(high),
        log=need(row, "log", file, bool),
        baseline=_optional(row, "baseline", file, (*_NUMBER, str)),
    )


def _trial(row: Row, factors: set[str], file: Path) -> Trial:
    number = int(need(row, "number", file, int))
    levels = need(row, "levels", file, dict)
    if unknown := set(levels) - factors:
        raise BakeoffError(
            f"{file}: trial {number} has a level of {', '.join(sorted(unknown))}, expected only "
            f"{', '.join(sorted(factors))}; the record was written by another version or by hand"
        )
    values = _optional(row, "values", file, dict)
    return Trial(
        number=number,
        arm=need(row, "arm", file, str),
        levels={name: need(levels, name, file, (*_NUMBER, str)) for name in levels},
        state=_one_of(row, "state", file, get_args(TrialState)),
        reason=str(row.get("reason") or ""),
        values=None if values is None else _numbers(values, file),
        intermediate=tuple(map(float, row.get("intermediate") or ())),
        cost=_numbers(need(row, "cost", file, dict), file),
    )


def _optional(row: Row, key: str, file: Path, kind: type[Any] | tuple[type[Any], ...]) -> Any:
    return None if row.get(key) is None else need(row, key, file, kind)


def _one_of(row: Row, key: str, file: Path, allowed: tuple[str, ...]) -> Any:
    value = row.get(key)
    if value not in allowed:
        raise BakeoffError(
            f"{file}: {key!r} is {value!r}, expected one of {', '.join(allowed)}; the record was "
            "written by another version or by hand"
        )
    return value


def _numbers(row: Mapping[str, Any], file: Path) -> dict[str, float]:
    return {key: float(need(dict(row), key, file, _NUMBER)) for key in row}
