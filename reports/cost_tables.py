"""The tables of what it cost: the ledger, set-up beside it, and a ranking with both."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from reports.canvas import short_count
from reports.comparison import Comparison
from reports.load import Cell, Study
from reports.memory import peak_bytes
from reports.metrics import PRIMARY
from reports.palette import PHASES, display_name
from reports.set_up import SetUp
from reports.tabular import Entry, Table, number
from reports.tuning import Tuning
from reports.verdict import duration, size

_COUNTS = {
    "device_seconds": "device time, charged",
    "wall_seconds": "wall time",
    "problems": "problems",
    "rollouts": "rollouts",
    "sampled_tokens": "sampled tokens",
    "trained_tokens": "trained tokens",
    "verifier_calls": "verifier calls",
    "verifier_errors": "verifier errors",
    "reward_model_tokens": "reward-model tokens",
    "optimizer_steps": "optimizer steps",
    "flops": "FLOPs",
    "tokens_per_second": "sampled tokens a second",
}


def cost_table(study: Study) -> Table:
    """What a cell of each method spent, means over its seeds; methods are columns."""
    return _spending_table("cost", study, _counts)


def phase_table(study: Study) -> Table:
    """Seconds and peak memory of a cell by phase, means over its seeds; methods are columns."""
    return _spending_table("phases", study, _by_phase)


def _spending_table(name: str, study: Study, spending: Callable[[Cell], dict[str, float]]) -> Table:
    by_method = {m: [spending(cell) for cell in study.of(m)] for m in study.methods}
    keys = list(dict.fromkeys(k for spent in by_method.values() for cell in spent for k in cell))
    phases = [phase for group in PHASES.values() for phase in group]
    order = [f"{what}: {phase}" for what in ("seconds", "peak memory") for phase in phases]
    keys.sort(key=lambda key: order.index(key) if key in order else len(order))
    means = {
        m: {k: float(np.mean([cell.get(k, 0.0) for cell in spent])) for k in keys}
        for m, spent in by_method.items()
    }
    shown = [key for key in keys if any(means[m][key] for m in study.methods)]
    rows = [
        (
            Entry(text=_COUNTS.get(key, key)),
            *(number(_amount(key, means[m][key])) for m in study.methods),
        )
        for key in shown
    ]
    return Table(
        name=name,
        columns=("mean of a cell", *(display_name(m) for m in study.methods)),
        rows=tuple(rows),
        records=tuple({"method": m, "n_seeds": len(by_method[m])} | means[m] for m in means),
    )


def _counts(cell: Cell) -> dict[str, float]:
    return {key: float(cell.ledger.get(key) or 0.0) for key in _COUNTS}


def _by_phase(cell: Cell) -> dict[str, float]:
    seconds = (cell.ledger.get("seconds") or {}).items()
    return {f"seconds: {phase}": float(spent) for phase, spent in seconds} | {
        f"peak memory: {phase}": sum(parts.values()) for phase, parts in peak_bytes([cell]).items()
    }


def _amount(key: str, value: float) -> str:
    if key.startswith("peak memory"):
        return size(value) if value else "–"
    if key.startswith("seconds: ") or key in ("device_seconds", "wall_seconds"):
        return duration(value) if value else "–"
    return f"{value:.2e}" if key == "flops" else short_count(value) if value else "–"


def set_up_table(rows: Sequence[SetUp]) -> Table:
    """What was spent before the first update of the policy, and whether the budget knows of it."""
    return Table(
        name="set-up",
        columns=(
            "method",
            "set-up",
            "device time",
            "sampled tokens",
            "in the budget",
            "recorded by",
        ),
        rows=tuple(
            (
                Entry(text=display_name(one.method)),
                Entry(text=one.what),
                number("not recorded" if one.seconds is None else duration(one.seconds)),
                number("–" if one.sampled_tokens is None else short_count(one.sampled_tokens)),
                Entry(text="yes" if one.charged else "no"),
                Entry(text=one.source),
            )
            for one in rows
        ),
        records=tuple(asdict(one) for one in rows),
    )


def tuning_table(rows: Sequence[Tuning]) -> Table:
    """What choosing the settings took, apart from what the methods spent with them."""
    return Table(
        name="tuning",
        columns=(
            "method",
            "tuned in",
            "settings tried",
            "cells",
            "device time",
            "sampled tokens",
        ),
        rows=tuple(
            (
                Entry(text=display_name(one.method) if one.method else "all"),
                Entry(text=one.source),
                number("–" if one.settings is None else str(one.settings)),
                number("–" if one.cells is None else str(one.cells)),
                number(_recorded(one.device_seconds, duration)),
                number(_recorded(one.sampled_tokens, short_count)),
            )
            for one in rows
        ),
        records=tuple(asdict(one) for one in rows),
    )


def _recorded(value: float | None, text: Callable[[float], str]) -> str:
    return "not recorded" if value is None else text(value)


def ranking_table(comparison: Comparison, rows: Sequence[SetUp]) -> Table:
    """Gain in pass@1 a minute of device time, without and with what the budget leaves out.

    Empty where every set-up is in the budget, or where the start was not evaluated.
    """
    beside: dict[str, float] = {}
    for one in rows:
        if not one.charged and one.seconds is not None:
            beside[one.method] = beside.get(one.method, 0.0) + one.seconds
    found = [
        _Efficiency(
            method=method,
            gain=gain[PRIMARY].mean,
            device_seconds=seconds,
            set_up_seconds=beside.get(method, 0.0),
        )
        for method, gain in comparison.gains.items()
        if PRIMARY in gain
        and (seconds := comparison.methods[method].ledger.get("device_seconds", 0.0)) > 0
        and beside
    ]
    found.sort(key=lambda one: -one.gain_a_minute_with_set_up)
    before = sorted((one.gain_a_minute for one in found), reverse=True)
    return Table(
        name="ranking-with-set-up",
        columns=(
            "method",
            "gain, points",
            "charged",
            "set-up beside it",
            "points a minute",
            "with set-up",
        ),
        rows=tuple(
            (
                Entry(text=display_name(one.method)),
                number(f"{100 * one.gain:+.1f}".replace("-", "−")),
                number(duration(one.device_seconds)),
                number(duration(one.set_up_seconds) if one.set_up_seconds else "–"),
                _rate(one.gain_a_minute, rank=1 + before.index(one.gain_a_minute)),
                _rate(one.gain_a_minute_with_set_up, rank=rank),
            )
            for rank, one in enumerate(found, start=1)
        ),
        records=tuple(
            asdict(one)
            | {
                "gain_a_minute": one.gain_a_minute,
                "gain_a_minute_with_set_up": one.gain_a_minute_with_set_up,
            }
            for one in found
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Efficiency:
    method: str
    gain: float  # in pass@1, a share
    device_seconds: float  # of a cell, charged
    set_up_seconds: float  # beside the budget

    @property
    def gain_a_minute(self) -> float:
        return 60 * self.gain / self.device_seconds

    @property
    def gain_a_minute_with_set_up(self) -> float:
        return 60 * self.gain / (self.device_seconds + self.set_up_seconds)


def _rate(gain: float, *, rank: int) -> Entry:
    return Entry(text=f"{100 * gain:.2f}", detail=f"rank {rank}", numeric=True)
