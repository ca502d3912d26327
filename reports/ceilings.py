"""Where each method's learning curve is going: a sigmoid over compute, or why there is none."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from reports.comparison import Comparison
from reports.compute_fit import (
    ComputeFit,
    Extrapolation,
    Unidentifiable,
    checked_extrapolation,
    fit_compute,
)
from reports.figures import Look
from reports.load import Study
from reports.metrics import PRIMARY, SCORES
from reports.statistics import FloatArray
from reports.tabular import Entry, Table, named, number

COMPUTE = "flops"  # the one axis on which pools, critics and reward models all count


def ceilings_table(study: Study, comparison: Comparison, *, look: Look) -> Table:
    """A row a method with its fit; no rows without a start to rise from."""
    if comparison.start is None or PRIMARY not in comparison.start.metrics:
        return Table(name="ceilings", columns=_COLUMNS, rows=(), records=())
    start = comparison.start.metrics[PRIMARY].mean
    rows, records = [], []
    for method in study.methods:
        compute, accuracy = _course(study, method)
        if not len(compute):
            continue
        fit = fit_compute(compute, accuracy, start=start)
        held_out = checked_extrapolation(compute, accuracy, start=start)
        rows.append((named(method, look[method]), *_entries(fit, held_out)))
        records.append({"method": method, **_record(fit, held_out)})
    return Table(name="ceilings", columns=_COLUMNS, rows=tuple(rows), records=tuple(records))


_COLUMNS = ("method", "ceiling, %", "efficiency", "midpoint, FLOPs", "late points, off by")


def _course(study: Study, method: str) -> tuple[FloatArray, FloatArray]:
    """[E] compute and accuracy of a method: the i-th evaluations of all its seeds make a point."""
    series = [
        [
            (point.spent[COMPUTE], float(np.nanmean(SCORES[PRIMARY](point))))
            for point in cell.evaluations.get(study.split, ())
            if point.judged.any() and point.spent[COMPUTE] > 0
        ]
        for cell in study.of(method)
    ]
    points = [np.mean(moment, axis=0) for moment in zip(*series, strict=False)]
    table = np.array(points, dtype=np.float64).reshape(len(points), 2)
    return table[:, 0], table[:, 1]


def _entries(
    fit: ComputeFit | Unidentifiable, held_out: Extrapolation | Unidentifiable
) -> tuple[Entry, ...]:
    if isinstance(fit, Unidentifiable):
        refused = Entry(text="not identifiable", detail=f"{fit.reason}: {fit.detail}", quiet=True)
        return (refused, Entry(text="–"), Entry(text="–"), Entry(text="–"))
    late = (
        Entry(text="–", detail=held_out.reason, quiet=True)
        if isinstance(held_out, Unidentifiable)
        else number(f"{held_out.largest_error_points:.1f} points")
    )
    return (
        Entry(text=f"{100 * fit.ceiling:.1f}", detail=f"± {100 * fit.ceiling_error:.1f}"),
        Entry(text=f"{fit.efficiency:.2f}", detail=f"± {fit.efficiency_error:.2f}"),
        number(f"{fit.midpoint:.3g}"),
        late,
    )


def _record(
    fit: ComputeFit | Unidentifiable, held_out: Extrapolation | Unidentifiable
) -> Mapping[str, Any]:
    if isinstance(fit, Unidentifiable):
        return {"refused": fit.reason, "detail": fit.detail}
    late = {} if isinstance(held_out, Unidentifiable) else {"late": held_out.largest_error_points}
    return {
        "ceiling": fit.ceiling,
        "ceiling_error": fit.ceiling_error,
        "efficiency": fit.efficiency,
        "efficiency_error": fit.efficiency_error,
        "midpoint_flops": fit.midpoint,
        "residual": fit.residual,
        **late,
    }
