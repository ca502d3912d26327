"""What a cell cost in figures: seconds by activity, peak bytes by phase and component."""

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports.canvas import FigureFile, draw, names_inches, vertical_grid
from reports.figures import Look
from reports.load import Study
from reports.memory import WHOLE, peak_bytes
from reports.palette import (
    COMPONENT_COLOURS,
    GREY,
    INK,
    MUTED,
    PAPER,
    PHASE_COLOURS,
    PHASES,
    display_name,
)
from reports.verdict import size

_ORDER = tuple(phase for group in PHASES.values() for phase in group)


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
    """Peak bytes of every phase, one figure a method on one scale, components stacked."""
    peaks = {m: peak_bytes(study.of(m)) for m in study.methods if look[m] is not GREY}
    peaks = {method: by_phase for method, by_phase in peaks.items() if by_phase}
    if not peaks:
        return []
    totals = [sum(parts.values()) for by_phase in peaks.values() for parts in by_phase.values()]
    phases = [p for p in _ORDER if any(p in by_phase for by_phase in peaks.values())]
    phases += sorted({p for by_phase in peaks.values() for p in by_phase} - set(phases))
    # One order for all methods, so that a component has one colour.
    sizes: dict[str, float] = {}
    for parts in (parts for by_phase in peaks.values() for parts in by_phase.values()):
        for component, count in parts.items():
            sizes[component] = max(count, sizes.get(component, 0.0))
    components = sorted((one for one in sizes if one != WHOLE), key=lambda one: -sizes[one])
    colours = dict(zip(components, cycle(COMPONENT_COLOURS), strict=False))
    return [
        _memory(
            f"memory-{index}",
            method,
            peaks[method],
            phases=phases,
            colours={WHOLE: COMPONENT_COLOURS[0]} | colours,
            limit=1.2 * max(totals),
        )
        for index, method in enumerate(peaks)
    ]


def _memory(
    name: str,
    method: str,
    by_phase: Mapping[str, Mapping[str, float]],
    *,
    phases: Sequence[str],
    colours: Mapping[str, str],
    limit: float,
) -> FigureFile:
    components = [one for one in colours if any(one in parts for parts in by_phase.values())]
    by_component = components != [WHOLE]
    legend = 0.3 + 0.2 * (-(-len(components) // 3)) if by_component else 0.0

    def paint(axes: Axes) -> None:
        left = np.zeros(len(phases))
        for component in components:
            values = np.array([by_phase.get(phase, {}).get(component, 0.0) for phase in phases])
            axes.barh(
                range(len(phases)),
                values,
                left=left,
                height=0.6,
                color=colours[component],
                edgecolor=PAPER,
                linewidth=0.8,
                label=component.replace("_", " "),
            )
            left += values
        for row, total in enumerate(left):
            if total:
                axes.annotate(
                    size(total),
                    xy=(total, row),
                    xytext=(4, 0),
                    textcoords="offset points",
                    va="center_baseline",
                    fontsize=9,
                    color=MUTED,
                )
        axes.set_yticks(range(len(phases)), phases)
        axes.tick_params(axis="y", labelcolor=INK)
        axes.invert_yaxis()
        axes.set_xlim(0, limit)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: size(value)))
        vertical_grid(axes)
        if by_component:
            axes.legend(
                loc="upper left",
                bbox_to_anchor=(0.0, -0.36 / (0.24 * len(phases))),
                ncols=3,
                frameon=False,
                handlelength=0.9,
                handleheight=0.9,
                columnspacing=1.0,
                borderaxespad=0.0,
                fontsize=9,
            )

    listed = "; ".join(
        f"{phase} {size(sum(parts.values()))}"
        + "".join(f", {one} {size(count)}" for one, count in parts.items() if one != WHOLE)
        for phase, parts in by_phase.items()
    )
    return draw(
        name,
        paint,
        title=display_name(method),
        alt=f"Peak bytes of {display_name(method)} by phase: {listed}.",
        size=(3.6, 0.72 + 0.24 * len(phases) + legend),
        margins=(names_inches(phases), 0.3, 0.36 + legend, 0.36),
    )
