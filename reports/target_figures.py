"""Time to target: the profile over methods, and the times themselves as a table."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MultipleLocator

from reports.canvas import (
    EndLabel,
    FigureFile,
    draw,
    horizontal_grid,
    label_ends,
    names_inches,
    percent_axis,
)
from reports.figures import Look, labelled
from reports.palette import GREY, MUTED, display_name
from reports.tabular import Entry, Table, named, number
from reports.target_times import TargetTimes
from reports.verdict import duration


def profile_figure(found: TargetTimes, *, look: Look) -> FigureFile:
    """The share of runs and targets that each method reaches within so many times the best."""

    def paint(axes: Axes) -> None:
        ends = []
        for method, shares in zip(found.methods, found.profile.shares, strict=True):
            mark = look[method]
            if mark is GREY:
                axes.step(
                    found.profile.factors, shares, where="post", color=MUTED, lw=0.8, alpha=0.45
                )
                continue
            axes.step(found.profile.factors, shares, where="post", color=mark.colour, lw=1.8)
            ends.append(EndLabel(text=display_name(method), y=shares[-1], colour=mark.colour))
        axes.set_xlim(found.profile.factors[0], found.profile.factors[-1])
        axes.set_ylim(-0.02, 1.04)
        axes.xaxis.set_major_locator(MultipleLocator(1))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g} ×"))
        percent_axis(axes, axis="y")
        horizontal_grid(axes)
        axes.set_xlabel("device seconds, times the best method's")
        label_ends(axes, ends)

    listed = "; ".join(
        f"{display_name(method)} {100 * shares[0]:.0f} % at once, {100 * shares[-1]:.0f} % within"
        f" {found.profile.factors[-1]:g} times"
        for method, shares in zip(found.methods, found.profile.shares, strict=True)
    )
    return draw(
        "time-to-target",
        paint,
        title="Runs that reach the target",
        alt=f"Time-to-target profile, share of runs and targets reached: {listed}.",
        size=(4.7, 3.1),
        margins=(0.62, names_inches(labelled(look)), 0.52, 0.36),
    )


def times_table(found: TargetTimes, *, look: Look) -> Table:
    """Median device time to each target and how many runs reached it, with the profile's score."""
    rows, records = [], []
    for method, times, score in zip(found.methods, found.times, found.profile.scores, strict=True):
        row: list[Entry] = [named(method, look[method]), number(f"{score:.2f}")]
        for share, target, runs in zip(found.shares, found.targets, times, strict=True):
            runs = runs[~np.isnan(runs)]
            reached = int(np.isfinite(runs).sum())
            # Of an even number the later of the two in the middle, since a mean of a time and a
            # miss is none.
            median = float(np.sort(runs)[len(runs) // 2])
            row.append(
                Entry(
                    text=duration(median) if np.isfinite(median) else "missed",
                    detail=f"{reached} of {len(runs)}",
                    numeric=True,
                )
            )
            records.append(
                {
                    "method": method,
                    "score": score,
                    "share": share,
                    "target": target,
                    "median_device_seconds": median if np.isfinite(median) else "",
                    "reached": reached,
                    "runs": len(runs),
                }
            )
        rows.append(tuple(row))
    return Table(
        name="time-to-target",
        columns=(
            "method",
            "score",
            *(
                f"to {100 * target:.1f} % ({100 * share:.0f} % of the way)"
                for share, target in zip(found.shares, found.targets, strict=True)
            ),
        ),
        rows=tuple(rows),
        records=tuple(records),
    )
