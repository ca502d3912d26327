"""Differences between methods: every pair on one axis, and all methods against each other."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from reports.canvas import FigureFile, draw, names_inches
from reports.comparison import Pair
from reports.interval_marks import interval_rows
from reports.metrics import PRIMARY
from reports.palette import BETTER, INK, OPEN, PAPER, WORSE, display_name
from reports.statistics import Interval

MATRIX_METHODS = 12  # of more, a cell would be too small to read
_GROUNDS = {"better": BETTER, "worse": WORSE, "inconclusive": OPEN}
_CELL = (0.84, 0.5)  # inches


def differences(pairs: Sequence[Pair]) -> FigureFile:
    """Every paired difference in pass@1 with its interval; inconclusive ones hollow and grey."""
    names = [f"{display_name(p.a)} − {display_name(p.b)}" for p in pairs]

    rows = [
        (name, Interval(mean=pair.difference, low=pair.low, high=pair.high), pair.verdict)
        for name, pair in zip(names, pairs, strict=True)
    ]

    def paint(axes: Axes) -> None:
        label = f"difference in {PRIMARY}, points, 95 % interval"
        interval_rows(axes, rows, ticks=6, label=label)

    return draw(
        "differences",
        paint,
        alt=f"Paired differences in {PRIMARY}: {_listed(pairs)}.",
        size=(5.2, 0.8 + 0.36 * len(pairs)),
        margins=(names_inches(names), 0.15, 0.52, 0.08),
    )


def matrix(pairs: Sequence[Pair], *, methods: Sequence[str]) -> FigureFile:
    """Row minus column in pass@1, in points, on a ground that says the verdict.

    Args:
        pairs: of one metric, either way round.
        methods: rows and columns, in this order.
    """
    places = {method: index for index, method in enumerate(methods)}
    names = [display_name(method) for method in methods]

    def paint(axes: Axes) -> None:
        for pair in pairs:
            a, b = places[pair.a], places[pair.b]
            opposite = {"better": "worse", "worse": "better"}.get(pair.verdict, pair.verdict)
            _cell(axes, a, b, (pair.difference, pair.low, pair.high), pair.verdict)
            _cell(axes, b, a, (-pair.difference, -pair.high, -pair.low), opposite)
        axes.set_xlim(-0.5, len(methods) - 0.5)
        axes.set_ylim(len(methods) - 0.5, -0.5)
        # Long names would run into each other.
        slanted = max(map(len, names)) > 10
        axes.set_xticks(
            range(len(methods)),
            names,
            rotation=30 if slanted else 0,
            ha="left" if slanted else "center",
        )
        axes.set_yticks(range(len(methods)), names)
        axes.xaxis.tick_top()
        axes.tick_params(axis="both", length=0, labelcolor=INK)
        axes.grid(visible=False)
        for spine in axes.spines.values():
            spine.set_visible(False)

    left = names_inches(names)
    top = 0.3 if max(map(len, names)) <= 10 else 0.3 + 0.5 * left
    return draw(
        "pair-matrix",
        paint,
        alt=f"Matrix of paired differences in {PRIMARY}, row minus column: {_listed(pairs)}.",
        size=(left + _CELL[0] * len(methods) + top, top + _CELL[1] * len(methods) + 0.05),
        margins=(left, top, 0.05, top),
    )


def _cell(
    axes: Axes, row: int, column: int, found: tuple[float, float, float], verdict: str
) -> None:
    axes.add_patch(
        Rectangle(
            (column - 0.5, row - 0.5),
            1,
            1,
            facecolor=_GROUNDS[verdict],
            edgecolor=PAPER,
            linewidth=2,
        )
    )
    mean, low, high = (f"{100 * value + 0.0:+.1f}".replace("-", "−") for value in found)
    strong = verdict != "inconclusive"
    axes.text(
        column,
        row - 0.06,
        mean,
        ha="center",
        va="bottom",
        fontsize=10.5,
        fontweight="bold" if strong else "normal",
        color=INK,
    )
    axes.text(
        column, row + 0.02, f"{low} to {high}", ha="center", va="top", fontsize=7.1, color=INK
    )


def _listed(pairs: Sequence[Pair]) -> str:
    return "; ".join(
        f"{display_name(p.a)} minus {display_name(p.b)} {100 * p.difference:+.1f} points,"
        f" {p.verdict}"
        for p in pairs
    )
