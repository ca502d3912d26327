"""Intervals around zero, one a row: a filled mark where the verdict is in, else a hollow one."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from reports.canvas import signed, vertical_grid
from reports.comparison import Verdict
from reports.palette import INK, MUTED, PAPER
from reports.statistics import Interval


def interval_rows(
    axes: Axes, rows: Sequence[tuple[str, Interval, Verdict]], *, ticks: int, label: str
) -> None:
    """Draws differences with their intervals, the first row on top.

    Args:
        axes: that nothing else is drawn on.
        rows: name, difference as a share, verdict on it.
        ticks: at most so many along the axis.
        label: of the axis, which is in points.
    """
    axes.axvline(0, color=MUTED, lw=1.0)
    for row, (_, interval, verdict) in enumerate(rows):
        clear = verdict != "inconclusive"
        colour = INK if clear else MUTED
        axes.plot([interval.low, interval.high], [row, row], color=colour, lw=2.4 if clear else 1.4)
        axes.plot(
            interval.mean, row, "o", ms=8, mec=colour, mfc=colour if clear else PAPER, mew=1.4
        )
    axes.set_yticks(range(len(rows)), [name for name, *_ in rows])
    axes.tick_params(axis="y", labelcolor=INK)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(ticks))
    axes.xaxis.set_major_formatter(lambda value, _: signed(value))
    vertical_grid(axes)
    axes.set_xlabel(label)
