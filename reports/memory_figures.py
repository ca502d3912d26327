"""Figures of memory: bytes by phase and component, and over the time of a batch."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports.canvas import FigureFile, draw, horizontal_grid, names_inches, vertical_grid
from reports.memory import WHOLE
from reports.palette import COMPONENT_COLOURS, INK, MUTED, PAPER, PHASES, display_name
from reports.verdict import size

_SHORT_NAME = 14  # characters of a component; longer ones stand in two columns
_LABELLED = 0.09  # share of a batch's seconds from which a phase has room for its name
_ORDER = tuple(phase for group in PHASES.values() for phase in group)

# Phase -> component -> bytes.
ByPhase = Mapping[str, Mapping[str, float]]


def phase_figures(
    peaks: Mapping[str, ByPhase], *, marks: Mapping[str, ByPhase]
) -> list[FigureFile]:
    """Bytes of every phase, one figure a method, all on one scale, components stacked.

    Args:
        peaks: by method.
        marks: by method, of the whole process or device, written beside the bars; may be empty.
    """
    if not peaks:
        return []
    totals = [sum(parts.values()) for parts in _parts_of(peaks)]
    phases = [p for p in _ORDER if any(p in by_phase for by_phase in peaks.values())]
    phases += sorted({p for by_phase in peaks.values() for p in by_phase} - set(phases))
    colours = {WHOLE: COMPONENT_COLOURS[0]} | component_colours(_parts_of(peaks))
    return [
        _phases(
            f"memory-{index}",
            method,
            by_phase,
            phases=phases,
            colours=colours,
            limit=(1.9 if marks else 1.2) * max(totals),
            marks={p: sum(whole.values()) for p, whole in marks.get(method, {}).items()},
        )
        for index, (method, by_phase) in enumerate(peaks.items())
    ]


def component_colours(found: Iterable[Mapping[str, float]]) -> dict[str, str]:
    """A colour for each component, the largest first."""
    # One order for all methods, so that a component has one colour.
    sizes: dict[str, float] = {}
    for parts in found:
        for component, count in parts.items():
            sizes[component] = max(count, sizes.get(component, 0.0))
    components = sorted((one for one in sizes if one != WHOLE), key=lambda one: -sizes[one])
    return dict(zip(components, cycle(COMPONENT_COLOURS), strict=False))


def timeline_figure(
    name: str, method: str, runs: Sequence[Mapping[str, Any]], *, colours: Mapping[str, str]
) -> FigureFile:
    """Bytes by component over the seconds of a batch, phase after phase.

    Args:
        name: of the figure.
        method: whose batch it is.
        runs: of phases in order: `phase`, `seconds` from its start, and `bytes` by component.
        colours: of the components.
    """
    seconds, starts = [np.zeros(0)], []
    for run in runs:
        starts.append(seconds[-1][-1] if len(seconds[-1]) else 0.0)
        seconds.append(starts[-1] + np.asarray(run["seconds"], dtype=np.float64))
    moments = np.concatenate(seconds)
    stacked = {
        one: np.concatenate(
            [
                np.asarray(run["bytes"].get(one, np.zeros(len(run["seconds"]))), dtype=np.float64)
                for run in runs
            ]
        )
        for one in colours
        if any(one in run["bytes"] for run in runs)
    }
    # What stays lies at the bottom, so that what comes and goes does not shake it.
    components = sorted(stacked, key=lambda one: -stacked[one].min())
    stacks = [stacked[one] for one in components]
    rows = -(-len(components) // 4)
    legend = 0.3 + 0.2 * rows
    end = float(moments[-1]) if len(moments) else 1.0

    highest = float(np.sum(stacks, axis=0).max()) if stacks else 1.0

    def paint(axes: Axes) -> None:
        axes.stackplot(
            moments,
            *stacks,
            colors=[colours[one] for one in components],
            labels=components,
            linewidth=0,
        )
        for run, start, stop in zip(runs, starts, [*starts[1:], end], strict=True):
            axes.axvline(start, color=MUTED, linewidth=0.6)
            if stop - start >= _LABELLED * end:
                axes.annotate(
                    run["phase"],
                    xy=(start, 1.0),
                    xycoords=("data", "axes fraction"),
                    xytext=(3, -10),
                    textcoords="offset points",
                    fontsize=9,
                    color=MUTED,
                )
        axes.set_xlim(0, end)
        axes.set_ylim(0, 1.2 * highest)
        axes.set_xlabel("seconds of a tracked batch")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: size(value)))
        horizontal_grid(axes)
        axes.legend(
            loc="upper left",
            bbox_to_anchor=(0.0, -0.34),
            ncols=4,
            frameon=False,
            handlelength=0.9,
            handleheight=0.9,
            columnspacing=1.0,
            borderaxespad=0.0,
            fontsize=9,
        )

    return draw(
        name,
        paint,
        title=display_name(method),
        alt=f"Bytes of {display_name(method)} over the seconds of a batch, by component; "
        f"at most {size(highest)}.",
        size=(7.2, 2.6 + legend),
        margins=(0.8, 0.2, 0.5 + legend, 0.5),
    )


def write_profile_figures(record: Mapping[str, Any], folder: Path) -> list[Path]:
    """The files of a measured profile's figures: a stacked bar and a timeline per method."""
    methods: Mapping[str, Mapping[str, Any]] = record["methods"]
    peaks = {method: found["peak_components"] for method, found in methods.items()}
    marks = {
        method: {phase: {WHOLE: count} for phase, count in found["peak_bytes"].items()}
        for method, found in methods.items()
    }
    colours = component_colours(_parts_of(peaks))
    bars = phase_figures(peaks, marks=marks)
    timelines = [
        timeline_figure(f"timeline-{index}", method, found["timeline"], colours=colours)
        for index, (method, found) in enumerate(methods.items())
    ]
    files = []
    for kind, figures in (("memory", bars), ("timeline", timelines)):
        for method, figure in zip(methods, figures, strict=True):
            # A user's own method is FILE.py:NAME.
            files.append(folder / f"{kind}-{Path(method).name.replace(':', '-')}.svg")
            files[-1].write_text(figure.standalone, encoding="utf-8")
    return files


def _parts_of(peaks: Mapping[str, ByPhase]) -> list[Mapping[str, float]]:
    """Every stack of bytes of all methods and phases."""
    return [parts for by_phase in peaks.values() for parts in by_phase.values()]


def _phases(
    name: str,
    method: str,
    by_phase: Mapping[str, Mapping[str, float]],
    *,
    phases: Sequence[str],
    colours: Mapping[str, str],
    limit: float,
    marks: Mapping[str, float],
) -> FigureFile:
    components = [one for one in colours if any(one in parts for parts in by_phase.values())]
    by_component = components != [WHOLE]
    columns = 3 if max(map(len, components)) <= _SHORT_NAME else 2
    legend = 0.3 + 0.2 * (-(-len(components) // columns)) if by_component else 0.0

    def told(phase: str, total: float) -> str:
        return size(total) + (f" of {size(marks[phase])}" if marks.get(phase) else "")

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
        for row, (phase, total) in enumerate(zip(phases, left, strict=True)):
            if total:
                axes.annotate(
                    told(phase, total),
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
                ncols=columns,
                frameon=False,
                handlelength=0.9,
                handleheight=0.9,
                columnspacing=1.0,
                borderaxespad=0.0,
                fontsize=9,
            )

    listed = "; ".join(
        f"{phase} {told(phase, sum(parts.values()))}"
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
