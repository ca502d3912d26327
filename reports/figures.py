"""Accuracy in figures: at the end, against what was spent, and over K samples.

Every figure of a report is one pair of axes; the page lays them out. `look` is a mark for every
method (reports.palette.marks); a grey method is drawn thin and without a label.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import NullLocator

from reports.canvas import (
    EndLabel,
    FigureFile,
    count_axis,
    draw,
    horizontal_grid,
    label_ends,
    names_inches,
    percent_axis,
    vertical_grid,
)
from reports.comparison import Comparison
from reports.curves import Point, learning_curve, over_k
from reports.load import Study
from reports.metrics import PRIMARY
from reports.palette import GREY, INK, MUTED, PAPER, Mark, display_name

AXIS_NAMES = {
    "sampled_tokens": "sampled tokens",
    "device_seconds": "device seconds",
    "optimizer_steps": "optimizer steps",
    "flops": "FLOPs",
}
Look = Mapping[str, Mark]

_WIDE = (4.7, 3.1)
_ROWS = 24  # of the results; with more methods only those in colour have one
_DOTS = 20  # seeds that still show as dots of their own


def results(study: Study, comparison: Comparison, *, look: Look) -> FigureFile:
    """Final pass@1 of every method: interval, mean, a small dot per seed, the start dashed."""
    shown = [m for m in study.methods if PRIMARY in comparison.methods[m].metrics]
    if len(shown) > _ROWS:
        shown = [m for m in shown if look[m] is not GREY]
    dots = all(len(comparison.methods[m].by_seed) <= _DOTS for m in shown)

    def paint(axes: Axes) -> None:
        if comparison.start and PRIMARY in comparison.start.metrics:
            start = comparison.start.metrics[PRIMARY]
            axes.axvspan(start.low, start.high, color=MUTED, alpha=0.14, lw=0)
            axes.axvline(start.mean, color=MUTED, lw=1.2, ls=(0, (4, 3)))
            axes.annotate(
                "start",
                xy=(start.mean, 1.0),
                xycoords=("data", "axes fraction"),
                xytext=(0, 4),
                textcoords="offset points",
                ha="center",
                color=MUTED,
            )
        for row, method in enumerate(shown):
            result, mark = comparison.methods[method], look[method]
            interval = result.metrics[PRIMARY]
            axes.plot([interval.low, interval.high], [row, row], color=mark.colour, lw=2.4)
            seeds = list(result.by_seed.values()) if dots else []
            axes.plot(seeds, [row + 0.24] * len(seeds), ".", color=mark.colour, ms=5, alpha=0.75)
            axes.plot(interval.mean, row, mark.marker, color=mark.colour, ms=9, mec=PAPER, mew=1)
            axes.annotate(
                f"{100 * interval.mean:.1f} %",
                xy=(1.0, row),
                xycoords=("axes fraction", "data"),
                xytext=(7, 0),
                textcoords="offset points",
                va="center_baseline",
                fontweight="bold",
                color=mark.colour,
                annotation_clip=False,
            )
        axes.set_yticks(range(len(shown)), [display_name(m) for m in shown])
        axes.tick_params(axis="y", labelcolor=INK, labelsize=11)
        axes.set_ylim(len(shown) - 0.5, -0.5)
        axes.spines["left"].set_visible(False)
        axes.margins(x=0.08)
        percent_axis(axes, axis="x")
        vertical_grid(axes)
        seeds_are_dots = "; dots are seeds" if dots else ""
        axes.set_xlabel(f"{PRIMARY} on {study.split}, 95 % interval{seeds_are_dots}")

    listed = "; ".join(
        f"{display_name(m)} {100 * comparison.methods[m].metrics[PRIMARY].mean:.1f} %"
        for m in shown
    )
    return draw(
        "results",
        paint,
        alt=f"Final {PRIMARY} by method with 95 % intervals: {listed}.",
        size=(5.2, 0.9 + 0.52 * max(1, len(shown))),
        margins=(names_inches([display_name(m) for m in shown]), 0.75, 0.52, 0.3),
    )


def curves(study: Study, *, look: Look, rng: np.random.Generator) -> list[FigureFile]:
    """pass@1 against sampled tokens, device seconds and, where another, the budget's axis."""
    axes_shown = list(dict.fromkeys(["sampled_tokens", "device_seconds", study.budget_axis]))
    return [_curve(study, axis, look, rng) for axis in axes_shown if axis in AXIS_NAMES]


def _curve(study: Study, axis: str, look: Look, rng: np.random.Generator) -> FigureFile:
    series = {m: learning_curve(study, m, axis=axis, rng=rng) for m in study.methods}

    def paint(axes: Axes) -> None:
        ends: list[EndLabel] = []
        for method, points in series.items():
            # A pool is paid before the first update: nothing was measured on the way there, so
            # nothing is drawn between the start and it.
            pool = bool(points) and is_offline(study, method) and points[0].x == 0
            drawn = points[1:] if pool else points
            ends += _line(axes, method, drawn, look[method], band=_band(look)) if drawn else []
        starts = [points[0] for points in series.values() if points and points[0].x == 0]
        if starts:
            mean = float(np.mean([point.interval.mean for point in starts]))
            axes.axhline(mean, color=MUTED, lw=1.0, ls=(0, (4, 3)), zorder=0.9)
            axes.plot(0, mean, "o", color=MUTED, ms=5, zorder=4)
        axes.set_xlim(left=0)
        count_axis(axes)
        percent_axis(axes, axis="y")
        horizontal_grid(axes)
        axes.set_xlabel(AXIS_NAMES[axis])
        label_ends(axes, ends)

    listed = "; ".join(
        f"{display_name(m)} ends at {100 * points[-1].interval.mean:.1f} %"
        f" after {points[-1].x:,.0f}"
        for m, points in series.items()
        if points
    )
    return draw(
        f"curve-{axis}",
        paint,
        title=f"{PRIMARY} against {AXIS_NAMES[axis]}",
        alt=f"Learning curves of {PRIMARY} against {AXIS_NAMES[axis]}: {listed}.",
        size=_WIDE,
        margins=(0.62, names_inches(labelled(look)), 0.52, 0.36),
    )


def curves_over_k(study: Study, *, look: Look, rng: np.random.Generator) -> list[FigureFile]:
    """maj@K and pass@K at the end of every method, and at the start (dashed)."""
    finals = {
        m: [e for cell in study.of(m) if (e := cell.final(study.split))] for m in study.methods
    }
    start = [splits[study.split] for splits in study.start.values() if study.split in splits]
    figures = []
    for kind in ("maj", "pass"):
        series = {m: over_k(evaluations, kind=kind, rng=rng) for m, evaluations in finals.items()}
        begun = over_k(start, kind=kind, rng=rng) if start else ()
        if any(len(points) > 1 for points in series.values()):
            figures.append(_over_k(kind, series, begun, look))
    return figures


def _over_k(
    kind: str, series: dict[str, tuple[Point, ...]], start: tuple[Point, ...], look: Look
) -> FigureFile:
    label = f"{kind}@K"

    def paint(axes: Axes) -> None:
        ends: list[EndLabel] = []
        if start:
            x, mean = [point.x for point in start], [point.interval.mean for point in start]
            axes.plot(x, mean, color=MUTED, marker=".", ls=(0, (4, 3)), lw=1.3)
            ends.append(EndLabel(text="start", y=mean[-1], colour=MUTED))
        for method, points in series.items():
            ends += _line(axes, method, points, look[method], band=_band(look)) if points else []
        ks = sorted({int(point.x) for points in (*series.values(), start) for point in points})
        axes.set_xscale("log", base=2)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xticks(ks, [str(k) for k in ks])
        percent_axis(axes, axis="y")
        horizontal_grid(axes)
        axes.set_xlabel("K samples a problem")
        label_ends(axes, ends)

    listed = "; ".join(
        f"{display_name(m)} from {100 * points[0].interval.mean:.1f} % at K = {points[0].x:.0f}"
        f" to {100 * points[-1].interval.mean:.1f} % at K = {points[-1].x:.0f}"
        for m, points in {**series, "the start": start}.items()
        if points
    )
    title = "Majority vote" if kind == "maj" else "At least one correct"
    return draw(
        f"{kind}-at-k",
        paint,
        title=f"{title}: {label}",
        alt=f"{label}: {listed}.",
        size=_WIDE,
        margins=(0.62, names_inches(labelled(look)), 0.52, 0.36),
    )


def is_offline(study: Study, method: str) -> bool:
    """Whether the method trains on a pool that the start sampled before training."""
    return any(cell.config.get("source") == "initial_policy" for cell in study.of(method))


def _band(look: Look) -> float:
    """The opacity of a band: many of them would hide the lines."""
    return 0.13 if len(labelled(look)) <= 5 else 0.05


def labelled(look: Look) -> list[str]:
    """The names that a figure writes beside its series."""
    return [display_name(method) for method, mark in look.items() if mark is not GREY]


def _line(
    axes: Axes, method: str, points: Sequence[Point], mark: Mark, *, band: float
) -> list[EndLabel]:
    """Draws a method's means and band; its label, or nothing where it is grey."""
    x, means = [point.x for point in points], [point.interval.mean for point in points]
    if mark is GREY:
        axes.plot(x, means, color=MUTED, lw=0.8, alpha=0.45, zorder=1.5)
        return []
    low, high = [p.interval.low for p in points], [p.interval.high for p in points]
    axes.fill_between(x, low, high, color=mark.colour, alpha=band, lw=0)
    axes.plot(x, means, color=mark.colour, marker=mark.marker, ms=5.5, mec=PAPER, mew=0.7, lw=1.8)
    return [EndLabel(text=display_name(method), y=means[-1], colour=mark.colour)]
