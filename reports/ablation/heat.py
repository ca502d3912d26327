"""Heat maps: two factors against each other, a cell for every pair of levels."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from textwrap import wrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from reports.ablation.effects import LEVELS_SHOWN, pooled
from reports.ablation.load import FactorRecord, Level, Trial
from reports.ablation.scales import axis_name
from reports.ablation.trials import SCORED, Sweep, level_text
from reports.canvas import FigureFile, draw
from reports.metrics import PRIMARY
from reports.palette import INK, MUTED, PAPER, marks
from reports.statistics import Interval, share_interval

_REASON = 20  # characters of a line in a cell
_FAINT, _FULL = 0.06, 0.5  # opacities: ink stays readable on the fullest, in light and in dark


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatCell:
    """A pair of levels."""

    row: Level
    column: Level
    interval: Interval | None  # of pass@1; None where nothing was measured
    trouble: str  # why the cell is hatched: a state with its reason; empty where complete
    best: bool
    baseline: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """A pair of factors."""

    rows: FactorRecord
    columns: FactorRecord
    row_levels: tuple[Level, ...]
    column_levels: tuple[Level, ...]
    averaged: tuple[str, ...]  # the other factors, over whose levels a cell is the mean
    cells: tuple[HeatCell, ...]

    @property
    def caption(self) -> str:
        """The rows and columns, and what the cells are means over."""
        names = f"{self.rows.name} × {self.columns.name}"
        if len(self.averaged) > 2:
            return f"{names}, mean over {len(self.averaged)} others"
        return f"{names}, mean over {' and '.join(self.averaged)}" if self.averaged else names


def heat_maps(sweep: Sweep, *, rng: np.random.Generator) -> tuple[HeatMap, ...]:
    """Every pair of factors with few enough levels, most of whose cells were tried.

    One factor at a time fills a row and a column only, so such a design has none.
    """
    if sweep.ablation.design == "leave_one_out":
        return ()
    levels = {f.name: _levels(f, sweep.ablation.trials) for f in sweep.ablation.factors}
    # The factor with more levels lies along the page.
    pairs = [
        sorted(pair, key=lambda f: len(levels[f.name]))
        for pair in combinations(sweep.ablation.factors, 2)
        if all(1 < len(levels[f.name]) <= LEVELS_SHOWN for f in pair)
    ]
    maps = (_map(sweep, rows, columns, levels, rng) for rows, columns in pairs)
    return tuple(m for m in maps if 2 * sum(c.trouble != "not run" for c in m.cells) > len(m.cells))


def _levels(factor: FactorRecord, trials: Sequence[Trial]) -> tuple[Level, ...]:
    """Declared levels and others that trials took; numbers ascending, names as declared."""
    found = dict.fromkeys([*factor.levels, *(t.levels[factor.name] for t in trials)])
    if any(isinstance(level, str) for level in found):
        return tuple(found)
    return tuple(sorted(found, key=float))


def _map(
    sweep: Sweep,
    rows: FactorRecord,
    columns: FactorRecord,
    levels: dict[str, tuple[Level, ...]],
    rng: np.random.Generator,
) -> HeatMap:
    cells = [
        _cell(sweep, {rows.name: row, columns.name: column}, rng)
        for row in levels[rows.name]
        for column in levels[columns.name]
    ]
    whole = [c.interval.mean for c in cells if c.interval and not c.trouble]
    top = max(whole, default=None)
    pair = (rows.name, columns.name)
    return HeatMap(
        rows=rows,
        columns=columns,
        row_levels=levels[rows.name],
        column_levels=levels[columns.name],
        averaged=tuple(f.name for f in sweep.ablation.factors if f.name not in pair),
        cells=tuple(
            HeatCell(
                row=cell.row,
                column=cell.column,
                interval=cell.interval,
                trouble=cell.trouble,
                best=not cell.trouble and cell.interval is not None and cell.interval.mean == top,
                baseline=(cell.row, cell.column) == (rows.baseline, columns.baseline),
            )
            for cell in cells
        ),
    )


def _cell(sweep: Sweep, place: dict[str, Level], rng: np.random.Generator) -> HeatCell:
    def here(trial: Trial) -> bool:
        return all(trial.levels[name] == level for name, level in place.items())

    settings = [s for s in sweep.settings if here(s.trial)]
    trials = [t for t in sweep.ablation.trials if here(t)]
    interval = None
    if len(settings) == 1:
        interval = settings[0].objectives[PRIMARY]
    elif settings:
        table = pooled(settings)
        interval = share_interval(table[np.isfinite(table).any(axis=1)], rng=rng)
    row, column = place.values()
    return HeatCell(
        row=row,
        column=column,
        interval=interval,
        trouble=_trouble(trials),
        best=False,
        baseline=False,
    )


def _trouble(trials: Sequence[Trial]) -> str:
    """What is wrong with a cell; nothing where a trial was completed."""
    if any(trial.state == "complete" for trial in trials):
        return ""
    if not trials:
        return "not run"
    scored = [trial for trial in trials if trial.state in SCORED]
    trial = (scored or list(trials))[-1]
    return f"{trial.state}: {trial.reason}" if trial.reason else trial.state


def heat_map_figure(heat: HeatMap) -> FigureFile:
    """Means with their intervals: the fuller the higher; hatched is not complete."""
    size = len(heat.column_levels), len(heat.row_levels)
    means = [c.interval.mean for c in heat.cells if c.interval]
    low, high = (min(means), max(means)) if means else (0.0, 0.0)

    def paint(axes: Axes) -> None:
        for cell in heat.cells:
            x, y = heat.column_levels.index(cell.column), heat.row_levels.index(cell.row)
            shade = (cell.interval.mean - low) / (high - low) if cell.interval and high > low else 0
            _tile(axes, cell, x, y, _FAINT + (_FULL - _FAINT) * shade)
        for cell in (c for c in heat.cells if c.baseline):
            x, y = heat.column_levels.index(cell.column), heat.row_levels.index(cell.row)
            axes.add_patch(
                Rectangle((x - 0.46, y - 0.45), 0.92, 0.9, fill=False, ec=INK, lw=1.6, zorder=3)
            )
        axes.set_xlim(-0.5, size[0] - 0.5)
        axes.set_ylim(-0.5, size[1] - 0.5)
        axes.set_xticks(range(size[0]), [level_text(level) for level in heat.column_levels])
        axes.set_yticks(range(size[1]), [level_text(level) for level in heat.row_levels])
        axes.tick_params(labelcolor=INK, length=0)
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.set_xlabel(axis_name(heat.columns))
        axes.set_ylabel(heat.rows.name)

    width = max(5.2, 1.05 + 0.82 * size[0])
    left = 0.65 + 0.082 * max(len(level_text(level)) for level in heat.row_levels)
    return draw(
        f"heat-{heat.rows.name}-{heat.columns.name}".replace("_", "-"),
        paint,
        title=heat.caption,
        alt=f"Heat map of pass@1, {heat.caption}: "
        + "; ".join(_said(heat, cell) for cell in heat.cells)
        + ".",
        size=(width, 0.95 + 0.74 * size[1]),
        margins=(left, 0.1, 0.55, 0.4),
    )


def _tile(axes: Axes, cell: HeatCell, x: int, y: int, opacity: float) -> None:
    colour = marks(("value",))["value"].colour
    box = (x - 0.5, y - 0.5)
    if cell.interval:
        axes.add_patch(Rectangle(box, 1, 1, fc=colour, alpha=opacity, lw=0))
    if cell.trouble:
        # The hatch has a patch of its own, for opacity would thin its lines too.
        axes.add_patch(Rectangle(box, 1, 1, fill=False, ec=MUTED, hatch="///", lw=0, alpha=0.45))
    axes.add_patch(Rectangle(box, 1, 1, fill=False, ec=PAPER, lw=2.0))
    if cell.interval:
        low, high = 100 * cell.interval.low, 100 * cell.interval.high
        axes.text(
            x,
            y + (0.3 if cell.trouble else 0.15),
            f"{'★ ' if cell.best else ''}{100 * cell.interval.mean:.1f}",
            ha="center",
            va="center",
            fontweight="bold",
            fontsize=11.5,
        )
        height = y + (0.06 if cell.trouble else -0.15)
        axes.text(x, height, f"{low:.1f}–{high:.1f}", ha="center", va="center", fontsize=9)
    lines = wrap(cell.trouble, _REASON, max_lines=2, placeholder="…")
    for index, line in enumerate(lines):
        height = y - 0.17 - 0.2 * index if cell.interval else y + 0.1 - 0.2 * index
        axes.text(x, height, line, ha="center", va="center", fontsize=8.5)


def _said(heat: HeatMap, cell: HeatCell) -> str:
    place = f"{level_text(cell.row)} and {level_text(cell.column)}"
    words = [place]
    if cell.interval:
        low, high = 100 * cell.interval.low, 100 * cell.interval.high
        words.append(f"{100 * cell.interval.mean:.1f} % ({low:.1f} to {high:.1f})")
    if cell.trouble:
        words.append(cell.trouble)
    words += ["the best"] * cell.best + ["the baseline"] * cell.baseline
    return ", ".join(words)
