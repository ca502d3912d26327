"""What a cell cost in figures: seconds by activity, peak bytes by phase."""

import numpy as np
from matplotlib.axes import Axes

from reports.canvas import FigureFile, draw, names_inches, vertical_grid
from reports.figures import Look
from reports.load import Study
from reports.memory import peak_bytes, peak_components
from reports.memory_figures import phase_figures
from reports.palette import (
    GREY,
    INK,
    PAPER,
    PHASE_COLOURS,
    PHASES,
    display_name,
)


def seconds(study: Study, *, look: Look) -> FigureFile:
    """Mean seconds of a cell by what it did, stacked by method."""
    spent = {m: seconds_by_activity(study, m) for m in study.methods if look[m] is not GREY}

    def paint(axes: Axes) -> None:
        left = np.zeros(len(spent))
        for activity in PHASES:
            values = np.array([by_activity[activity] for by_activity in spent.values()])
            axes.barh(
                range(len(spent)),
                values,
                left=left,
                height=0.55,
                color=PHASE_COLOURS[activity],
                edgecolor=PAPER,
                linewidth=0.8,
                label=activity,
            )
            left += values
        axes.set_yticks(range(len(spent)), [display_name(m) for m in spent])
        axes.tick_params(axis="y", labelcolor=INK, labelsize=11)
        axes.invert_yaxis()
        axes.spines["left"].set_visible(False)
        vertical_grid(axes)
        axes.set_xlabel("seconds of a cell, mean over seeds")
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(-0.02, 1.0),
            ncols=4,
            frameon=False,
            handlelength=0.9,
            handleheight=0.9,
            columnspacing=1.2,
            borderaxespad=0.2,
            fontsize=10,
        )

    listed = "; ".join(
        f"{display_name(m)} " + ", ".join(f"{name} {value:.0f} s" for name, value in by.items())
        for m, by in spent.items()
    )
    return draw(
        "seconds",
        paint,
        alt=f"Seconds of a cell by activity: {listed}.",
        size=(5.2, 0.9 + 0.45 * len(spent)),
        margins=(names_inches([display_name(m) for m in spent]), 0.15, 0.52, 0.3),
    )


def seconds_by_activity(study: Study, method: str) -> dict[str, float]:
    """Mean seconds over the seeds of a method, by activity."""
    cells = study.of(method)
    return {
        activity: float(
            np.mean([sum(c.ledger.get("seconds", {}).get(p, 0.0) for p in phases) for c in cells])
        )
        for activity, phases in PHASES.items()
    }


def memory(study: Study, *, look: Look) -> list[FigureFile]:
    """Peak bytes of every phase, one figure a method on one scale, components stacked.

    Where components were tracked they are the bars, and the machine's own mark is written beside
    them: a process is so much larger than the tensors of a small model that no bar could show both.
    """
    shown = [m for m in study.methods if look[m] is not GREY]
    marks = {m: by_phase for m in shown if (by_phase := peak_bytes(study.of(m)))}
    tracked = {m: by_phase for m in shown if (by_phase := peak_components(study.of(m)))}
    peaks = tracked or marks
    return phase_figures(peaks, marks=marks if tracked else {})
