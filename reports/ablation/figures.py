"""The figures of an ablation beside its heat maps. Each is one pair of axes."""

from collections.abc import Callable, Mapping
from itertools import combinations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from reports.ablation.effects import MainEffect, Ranking
from reports.ablation.front import non_dominated
from reports.ablation.scales import axis_name, scale_of
from reports.ablation.trials import PEAK_BYTES, TOKENS_PER_SECOND, Setting, Sweep
from reports.canvas import (
    EndLabel,
    FigureFile,
    count_axis,
    draw,
    horizontal_grid,
    label_ends,
    names_inches,
    percent_axis,
    short_count,
    vertical_grid,
)
from reports.curves import learning_curve
from reports.figures import AXIS_NAMES
from reports.interval_marks import interval_rows
from reports.metrics import PRIMARY
from reports.palette import INK, MUTED, PAPER, marks
from reports.statistics import Interval
from reports.verdict import size

ROWS_DRAWN = 24  # settings against the baseline; the table has all of them
_COLOURS = 6  # levels that are told apart by colour and marker
_WIDE = (4.7, 3.1)
_AXES = {
    PRIMARY: f"{PRIMARY}, higher is better",
    PEAK_BYTES: "peak memory, lower is better",
    TOKENS_PER_SECOND: "sampled tokens a second, higher is better",
}


def effect_figure(effect: MainEffect) -> FigureFile:
    """pass@1 by the levels of a factor: means with intervals, a small dot for every setting."""
    scale = scale_of(effect)
    colour = marks(("value",))["value"].colour

    def paint(axes: Axes) -> None:
        dots = [(scale.at(s.trial.levels[effect.factor.name]), s.mean) for level in effect.levels
                for s in level.settings]  # fmt: skip
        axes.plot(*zip(*dots, strict=True), ".", color=MUTED, ms=5, alpha=0.6)
        places = [float(np.mean([scale.at(v) for v in level.values])) for level in effect.levels]
        means = [level.interval.mean for level in effect.levels]
        if scale.ordered:
            axes.plot(places, means, color=colour, lw=1.2, alpha=0.6)
        for level, place in zip(effect.levels, places, strict=True):
            _error_bar(axes, place, level.interval, colour)
            baseline = effect.factor.baseline in level.values
            axes.plot(place, level.interval.mean, "o", ms=8, color=colour, mec=colour, mew=1.4,
                      mfc=PAPER if baseline else colour)  # fmt: skip
        axes.set_xticks(*scale.ticks)
        axes.tick_params(axis="x", labelcolor=INK)
        axes.set_xlim(scale.low, scale.high)
        axes.yaxis.set_major_locator(MaxNLocator(5))
        percent_axis(axes, axis="y")
        horizontal_grid(axes)
        axes.set_xlabel(axis_name(effect.factor))

    listed = "; ".join(
        f"{level.text} {_percent(level.interval)} over {len(level.settings)} "
        f"{'setting' if len(level.settings) == 1 else 'settings'}"
        for level in effect.levels
    )
    kind = "Mean" if effect.balanced else "Conditional mean"
    return draw(
        f"effect-{effect.factor.name}".replace("_", "-"),
        paint,
        title=effect.factor.name + ("" if effect.balanced else ", conditional"),
        alt=f"{kind} {PRIMARY} by {effect.factor.name}: {listed}.",
        size=(4.7, 2.9),
        margins=(0.62, 0.15, 0.52, 0.36),
    )


def baseline_figure(sweep: Sweep, ranking: Ranking) -> FigureFile | None:
    """Every setting's difference to the baseline, best first; inconclusive ones hollow and grey."""
    labels = {s.trial.number: s.label for s in sweep.settings}
    found = sorted(ranking.against_baseline.items(), key=lambda item: -item[1].interval.mean)
    if not found:
        return None
    found = found[:ROWS_DRAWN]
    names = [labels[number] for number, _ in found]

    def paint(axes: Axes) -> None:
        interval_rows(
            axes,
            [(name, c.interval, c.verdict) for name, (_, c) in zip(names, found, strict=True)],
            ticks=5,
            label=f"{PRIMARY} minus the baseline's, points",
        )

    listed = "; ".join(
        f"{name} {100 * contrast.interval.mean:+.1f} points, {contrast.verdict}"
        for name, (_, contrast) in zip(names, found, strict=True)
    )
    return draw(
        "against-baseline",
        paint,
        alt=f"Differences in {PRIMARY} to the baseline: {listed}.",
        size=(6.4, 0.8 + 0.34 * len(found)),
        margins=(names_inches(names), 0.15, 0.52, 0.08),
    )


def importance_figure(importances: Mapping[str, float]) -> FigureFile:
    """Optuna's importances as bars, the largest first."""
    ranked = sorted(importances.items(), key=lambda item: -item[1])

    def paint(axes: Axes) -> None:
        colour = marks(("value",))["value"].colour
        axes.barh(range(len(ranked)), [value for _, value in ranked], height=0.55, color=colour)
        for row, (_, value) in enumerate(ranked):
            axes.annotate(
                f"{value:.2f}", xy=(value, row), xytext=(5, 0), textcoords="offset points",
                va="center_baseline",
            )  # fmt: skip
        axes.set_yticks(range(len(ranked)), [name for name, _ in ranked])
        axes.tick_params(axis="y", labelcolor=INK)
        axes.invert_yaxis()
        axes.set_xlim(0, 1.12 * max(1e-9, *(value for _, value in ranked), 0.0))
        axes.spines["left"].set_visible(False)
        vertical_grid(axes)
        axes.set_xlabel("share of the variance between trials")

    listed = "; ".join(f"{name} {value:.2f}" for name, value in ranked)
    return draw(
        "importances",
        paint,
        alt=f"Importances of the factors: {listed}.",
        size=(5.2, 0.8 + 0.4 * len(ranked)),
        margins=(names_inches([name for name, _ in ranked]), 0.15, 0.52, 0.1),
    )


def front_figures(sweep: Sweep) -> list[FigureFile]:
    """Every pair of objectives: the settings, and the line of those that none beats in both."""
    return [
        _front(sweep, across, up)
        for up, across in combinations(sweep.ablation.objectives, 2)
        if sum({up, across} <= s.objectives.keys() for s in sweep.complete) > 1
    ]


def _front(sweep: Sweep, across: str, up: str) -> FigureFile:
    known = [s for s in sweep.complete if {up, across} <= s.objectives.keys()]
    best = non_dominated(known, (across, up))
    look = marks(("value",))["value"]

    def paint(axes: Axes) -> None:
        for setting in known:
            x, y = setting.objectives[across], setting.objectives[up]
            colour = look.colour if setting in best else MUTED
            _error_bar(axes, x.mean, y, colour, alpha=0.45)
            _error_bar(axes, y.mean, x, colour, alpha=0.45, sideways=True)
            axes.plot(x.mean, y.mean, "o", ms=7 if setting in best else 5, color=colour, mec=PAPER)
        points = [(s.objectives[across].mean, s.objectives[up].mean) for s in best]
        axes.plot(*zip(*points, strict=True), "-", color=look.colour, lw=1.2, zorder=1.5)
        for index, (setting, point) in enumerate(zip(best, points, strict=True)):
            axes.annotate(
                str(setting.trial.number),
                xy=point,
                # Neighbours on a front are near each other: above and below by turns.
                xytext=(-3, 6) if index % 2 == 0 else (3, -13),
                textcoords="offset points",
                ha="right" if index % 2 == 0 else "left",
                fontsize=10,
                fontweight="bold",
                color=look.colour,
            )
        if across == PEAK_BYTES and sweep.ablation.fits_bytes:
            axes.axvline(sweep.ablation.fits_bytes, color=MUTED, lw=1.0, ls=(0, (4, 3)))
        for objective, axis in ((across, axes.xaxis), (up, axes.yaxis)):
            axis.set_major_locator(MaxNLocator(5))
            axis.set_major_formatter(FuncFormatter(_ticks(objective)))
        axes.margins(x=0.12, y=0.12)
        axes.set_xlabel(_AXES[across])

    listed = "; ".join(
        f"{s.label}: {_value(across, s.objectives[across].mean)}, "
        f"{_value(up, s.objectives[up].mean)}"
        for s in best
    )
    return draw(
        f"front-{up}-{across}".replace("_", "-").replace("@", "-at-"),
        paint,
        title=_AXES[up],
        alt=f"{up} against {across} of {len(known)} trials; none beats these in both: {listed}.",
        size=_WIDE,
        margins=(0.75, 0.3, 0.52, 0.36),
    )


def kl_figure(sweep: Sweep, effect: MainEffect | None) -> FigureFile | None:
    """Achieved KL against pass@1, a point a setting, coloured by the levels of one factor."""
    known = [(s, s.kl_to_start) for s in sweep.settings if s.kl_to_start is not None]
    if len(known) < 2:
        return None
    groups = _groups(sweep, effect)
    look = marks(list(groups))

    def paint(axes: Axes) -> None:
        for name, members in groups.items():
            mark, shown = look[name], [(s, kl) for s, kl in known if s in members]
            for setting, kl in shown:
                y = setting.objectives[PRIMARY]
                _error_bar(axes, kl.mean, y, mark.colour, alpha=0.35)
                _error_bar(axes, y.mean, kl, mark.colour, alpha=0.35, sideways=True)
            axes.plot(
                [kl.mean for _, kl in shown], [s.mean for s, _ in shown], mark.marker,
                color=mark.colour, ms=7, mec=PAPER, mew=0.8, ls="", label=name,
            )  # fmt: skip
        if len(groups) > 1 and effect is not None:
            axes.legend(
                title=effect.factor.name, loc="center left", bbox_to_anchor=(1.0, 0.5),
                frameon=False, fontsize=10, title_fontsize=10, alignment="left",
            )  # fmt: skip
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.margins(x=0.08, y=0.1)
        percent_axis(axes, axis="y")
        axes.set_xlabel("achieved KL to the start, nats")

    listed = "; ".join(f"{s.label}: {kl.mean:.3g} nats, {100 * s.mean:.1f} %" for s, kl in known)
    title = [effect.factor.name] if effect is not None and len(groups) > 1 else []
    return draw(
        "achieved-kl",
        paint,
        title=f"{PRIMARY} against achieved KL",
        alt=f"{PRIMARY} against the achieved KL to the start: {listed}.",
        size=_WIDE,
        margins=(0.62, names_inches([*groups, *title]) + 0.1, 0.52, 0.36),
    )


def curve_figure(
    sweep: Sweep, ranking: Ranking | None, *, rng: np.random.Generator
) -> FigureFile | None:
    """Learning curves of the baseline, the best and the worst setting."""
    chosen: dict[str, Setting] = {}
    if sweep.baseline is not None:
        chosen["baseline"] = sweep.baseline
    for name, setting in (
        ("best", ranking.best if ranking else None),
        ("worst", min(sweep.complete, key=lambda s: s.mean, default=None)),
    ):
        if setting is not None and setting not in chosen.values():
            chosen[name] = setting
    axis = sweep.study.budget_axis
    series = {
        name: learning_curve(sweep.study, setting.trial.arm, axis=axis, rng=rng)
        for name, setting in chosen.items()
    }
    series = {name: points for name, points in series.items() if len(points) > 1}
    if not series:
        return None
    look = marks(list(series))

    def paint(axes: Axes) -> None:
        ends = []
        for name, points in series.items():
            mark, x = look[name], [point.x for point in points]
            low, high = [p.interval.low for p in points], [p.interval.high for p in points]
            axes.fill_between(x, low, high, color=mark.colour, alpha=0.13, lw=0)
            means = [point.interval.mean for point in points]
            axes.plot(x, means, color=mark.colour, marker=mark.marker, ms=5.5, mec=PAPER, mew=0.7)
            ends.append(EndLabel(text=name, y=means[-1], colour=mark.colour))
        axes.set_xlim(left=0)
        count_axis(axes)
        percent_axis(axes, axis="y")
        horizontal_grid(axes)
        axes.set_xlabel(AXIS_NAMES.get(axis, axis))
        label_ends(axes, ends)

    listed = "; ".join(
        f"the {name} ({chosen[name].label}) ends at {100 * points[-1].interval.mean:.1f} %"
        for name, points in series.items()
    )
    return draw(
        "curves",
        paint,
        title=f"{PRIMARY} against {AXIS_NAMES.get(axis, axis)}",
        alt=f"Learning curves: {listed}.",
        size=_WIDE,
        margins=(0.62, names_inches(list(series)), 0.52, 0.36),
    )


def _groups(sweep: Sweep, effect: MainEffect | None) -> dict[str, tuple[Setting, ...]]:
    levels = effect.levels if effect is not None else ()
    grouped = sum(len(level.settings) for level in levels)
    # One factor at a time: a factor's levels are then not those of every setting.
    if len(levels) > _COLOURS or grouped < len(sweep.settings):
        return {"": sweep.settings}
    return {level.text: level.settings for level in levels}


def _error_bar(
    axes: Axes, place: float, interval: Interval, colour: str, *, alpha: float = 1.0,
    sideways: bool = False,
) -> None:  # fmt: skip
    """A bar from low to high; none where a single seed leaves the ends unknown."""
    if np.isfinite([interval.low, interval.high]).all():
        along, across = [interval.low, interval.high], [place, place]
        axes.plot(*((along, across) if sideways else (across, along)), color=colour, lw=1.6,
                  alpha=alpha)  # fmt: skip


def _ticks(objective: str) -> Callable[[float, int], str]:
    return lambda value, _: _value(objective, value)


def _value(objective: str, value: float) -> str:
    if objective == PRIMARY:
        return f"{100 * value:.3g} %"
    return size(value) if objective == PEAK_BYTES else short_count(value)


def _percent(interval: Interval) -> str:
    low, high = 100 * interval.low, 100 * interval.high
    return f"{100 * interval.mean:.1f} % ({low:.1f} to {high:.1f})"
