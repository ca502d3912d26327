"""The figures of a report. Each is one pair of axes; the page lays them out."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullLocator

from reports.canvas import (
    EndLabel,
    FigureFile,
    count_axis,
    draw,
    horizontal_grid,
    label_ends,
    percent_axis,
    signed,
    vertical_grid,
)
from reports.comparison import Comparison, Pair
from reports.curves import Point, Trace, learning_curve, over_k, trace
from reports.load import Study
from reports.metrics import PRIMARY
from reports.palette import INK, MUTED, PAPER, PHASE_COLOURS, PHASES, display_name, marks

AXIS_NAMES = {
    "sampled_tokens": "sampled tokens",
    "device_seconds": "device seconds",
    "optimizer_steps": "optimizer steps",
    "flops": "FLOPs",
}
STABILITY = (
    ("pass_rate", "Pass rate of rollouts"),
    ("entropy", "Entropy, nats per token"),
    ("kl_to_start", "KL to the start, nats"),
    ("response_tokens", "Response tokens (wrong: dashed)"),
    ("zero_variance_share", "Groups with equal rewards"),
    ("grad_norm", "Gradient norm"),
)
_SHARES = {"pass_rate", "zero_variance_share"}
_WIDE = (4.7, 3.1)
_SMALL = (3.6, 2.3)


def results(study: Study, comparison: Comparison) -> FigureFile:
    """Final pass@1 of every method: interval, mean, a small dot per seed, the start dashed."""
    look = marks(study.methods)
    shown = [m for m in study.methods if PRIMARY in comparison.methods[m].metrics]

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
            seeds = list(result.by_seed.values())
            axes.plot(seeds, [row + 0.24] * len(seeds), ".", color=mark.colour, ms=5, alpha=0.75)
            axes.plot(interval.mean, row, mark.marker, color=mark.colour, ms=9, mec=PAPER, mew=1.0)
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
        axes.set_xlabel(f"{PRIMARY} on {study.split}, 95 % interval; dots are seeds")

    listed = "; ".join(
        f"{display_name(m)} {100 * comparison.methods[m].metrics[PRIMARY].mean:.1f} %"
        for m in shown
    )
    return draw(
        "results",
        paint,
        alt=f"Final {PRIMARY} by method with 95 % intervals: {listed}.",
        size=(5.2, 0.9 + 0.52 * max(1, len(shown))),
        margins=(_names_inches([display_name(m) for m in shown]), 0.75, 0.52, 0.3),
    )


def differences(pairs: Sequence[Pair]) -> FigureFile:
    """Every paired difference in pass@1 with its interval; inconclusive ones hollow and grey."""
    names = [f"{display_name(p.a)} − {display_name(p.b)}" for p in pairs]

    def paint(axes: Axes) -> None:
        axes.axvline(0, color=MUTED, lw=1.0)
        for row, pair in enumerate(pairs):
            clear = pair.verdict != "inconclusive"
            colour = INK if clear else MUTED
            axes.plot([pair.low, pair.high], [row, row], color=colour, lw=2.4 if clear else 1.4)
            axes.plot(
                pair.difference, row, "o", ms=8, mec=colour, mfc=colour if clear else PAPER, mew=1.4
            )
        axes.set_yticks(range(len(pairs)), names)
        axes.tick_params(axis="y", labelcolor=INK)
        axes.set_ylim(len(pairs) - 0.4, -0.6)
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(6))
        axes.xaxis.set_major_formatter(lambda value, _: signed(value))
        vertical_grid(axes)
        axes.set_xlabel(f"difference in {PRIMARY}, points, 95 % interval")

    listed = "; ".join(
        f"{display_name(p.a)} minus {display_name(p.b)} {100 * p.difference:+.1f} points,"
        f" {p.verdict}"
        for p in pairs
    )
    return draw(
        "differences",
        paint,
        alt=f"Paired differences in {PRIMARY}: {listed}.",
        size=(5.2, 0.8 + 0.36 * len(pairs)),
        margins=(_names_inches(names), 0.15, 0.52, 0.08),
    )


def curves(study: Study, *, rng: np.random.Generator) -> list[FigureFile]:
    """pass@1 against sampled tokens, device seconds and, where another, the budget's axis."""
    axes_shown = list(dict.fromkeys(["sampled_tokens", "device_seconds", study.budget_axis]))
    return [_curve(study, axis, rng) for axis in axes_shown if axis in AXIS_NAMES]


def _curve(study: Study, axis: str, rng: np.random.Generator) -> FigureFile:
    look = marks(study.methods)
    series = {m: learning_curve(study, m, axis=axis, rng=rng) for m in study.methods}

    def paint(axes: Axes) -> None:
        ends = []
        for method, points in series.items():
            if not points:
                continue
            # A pool is paid before the first update: nothing was measured on the way there, so
            # nothing is drawn between the start and it.
            pool = is_offline(study, method) and points[0].x == 0
            drawn = points[1:] if pool else points
            _line(axes, drawn, look[method].colour, look[method].marker)
            ends.append(_end(method, drawn or points, look[method].colour))
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
        margins=(0.62, _names_inches([display_name(m) for m in study.methods]), 0.52, 0.36),
    )


def curves_over_k(study: Study, *, rng: np.random.Generator) -> list[FigureFile]:
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
            figures.append(_over_k(study, kind, series, begun))
    return figures


def _over_k(
    study: Study, kind: str, series: dict[str, tuple[Point, ...]], start: tuple[Point, ...]
) -> FigureFile:
    look = marks(study.methods)
    label = f"{kind}@K"

    def paint(axes: Axes) -> None:
        ends = []
        if start:
            _line(axes, start, MUTED, ".", dashed=True)
            ends.append(EndLabel(text="start", y=start[-1].interval.mean, colour=MUTED))
        for method, points in series.items():
            if points:
                _line(axes, points, look[method].colour, look[method].marker)
                ends.append(_end(method, points, look[method].colour))
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
        margins=(0.62, _names_inches([display_name(m) for m in study.methods]), 0.52, 0.36),
    )


def stability(study: Study) -> list[FigureFile]:
    """Small multiples of what training did, by rollout batch: mean of seeds, band their range."""
    look = marks(study.methods)
    figures = []
    for key, title in STABILITY:
        keys = [f"{key}_correct", f"{key}_wrong"] if key == "response_tokens" else [key]
        traces = [
            (method, index, found)
            for method in study.methods
            for index, name in enumerate(keys)
            if (found := trace(study.of(method), name))
        ]
        if not traces:
            continue

        def paint(
            axes: Axes, traces: Sequence[tuple[str, int, Trace]] = traces, key: str = key
        ) -> None:
            ends = []
            for method, index, found in traces:
                colour = look[method].colour
                style = (0, (3, 2)) if index else "-"
                axes.plot(found.batches, found.mean, color=colour, lw=1.4, ls=style)
                if index == 0:
                    axes.fill_between(
                        found.batches, found.low, found.high, color=colour, alpha=0.13, lw=0
                    )
                    ends.append(
                        EndLabel(text=display_name(method), y=found.mean[-1], colour=colour)
                    )
            axes.yaxis.set_major_locator(MaxNLocator(5))
            axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            if key in _SHARES:
                percent_axis(axes, axis="y")
            horizontal_grid(axes)
            axes.set_xlabel("rollout batch")
            label_ends(axes, ends)

        listed = "; ".join(
            f"{display_name(m)} {t.mean[0]:.3g} to {t.mean[-1]:.3g}" for m, i, t in traces if not i
        )
        figures.append(
            draw(
                f"stability-{key.replace('_', '-')}",
                paint,
                title=title,
                alt=f"{title} by rollout batch: {listed}.",
                size=_SMALL,
                margins=(0.6, _names_inches([display_name(m) for m in study.methods]), 0.5, 0.36),
            )
        )
    return figures


def seconds(study: Study) -> FigureFile:
    """Mean seconds of a cell by what it did, stacked by method."""
    spent = {method: seconds_by_activity(study, method) for method in study.methods}

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
        margins=(_names_inches([display_name(m) for m in spent]), 0.15, 0.52, 0.3),
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


def is_offline(study: Study, method: str) -> bool:
    """Whether the method trains on a pool that the start sampled before training."""
    return any(cell.config.get("source") == "initial_policy" for cell in study.of(method))


def _names_inches(names: Sequence[str]) -> float:
    return 0.25 + 0.082 * max((len(name) for name in names), default=0)


def _line(
    axes: Axes, points: Sequence[Point], colour: str, marker: str, *, dashed: bool = False
) -> None:
    x = [point.x for point in points]
    low, high = [p.interval.low for p in points], [p.interval.high for p in points]
    axes.fill_between(x, low, high, color=colour, alpha=0.13, lw=0)
    axes.plot(
        x,
        [point.interval.mean for point in points],
        color=colour,
        marker=marker,
        ms=5.5,
        mec=PAPER,
        mew=0.7,
        ls=(0, (4, 3)) if dashed else "-",
        lw=1.3 if dashed else 1.8,
    )


def _end(method: str, points: Sequence[Point], colour: str) -> EndLabel:
    return EndLabel(text=display_name(method), y=points[-1].interval.mean, colour=colour)
