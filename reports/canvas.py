"""One figure: thin axes, direct labels, and SVG that follows the page into dark mode."""

import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from reports.palette import GRID, INK, MUTED, stylesheet, variables

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
_STYLE: dict[Any, Any] = {  # matplotlib's stubs spell out every key
    "svg.fonttype": "none",  # text stays text: selectable, and in the page's own font
    "svg.hashsalt": "bakeoff",  # the same records give the same file
    "font.size": 10.5,
    "text.color": INK,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3.0,
    "ytick.major.size": 0.0,
    "xtick.labelsize": 10,
    "ytick.labelsize": 10,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureFile:
    """A finished figure."""

    name: str  # of figures/<name>.svg; also prefixes every id inside
    alt: str  # what a reader who cannot see it should know
    inline: str  # <svg> for the page, whose stylesheet has the colours
    standalone: str  # the same as a file of its own

    def on_page(self, prefix: str) -> str:
        """The inline <svg> with every id prefixed once more, for a page of several studies."""
        return re.sub(
            rf'(\bid="|url\(#|\bhref="#){re.escape(self.name)}-',
            rf"\g<1>{prefix}-{self.name}-",
            self.inline,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EndLabel:
    """A direct label at the right edge."""

    text: str
    y: float  # where its series ends, in data units
    colour: str


def draw(
    name: str,
    paint: Callable[[Axes], None],
    *,
    alt: str,
    title: str = "",
    size: tuple[float, float],
    margins: tuple[float, float, float, float],
) -> FigureFile:
    """A figure of one pair of axes, painted by `paint`.

    Fixed margins, so that the plots of a row have one size.

    Args:
        name: see `FigureFile`.
        paint: draws on the axes.
        alt: see `FigureFile`.
        title: above the axes.
        size: width and height, inches of 72 points.
        margins: left, right, bottom and top, inches.
    """
    width, height = size
    left, right, bottom, top = margins
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, dpi=72)  # a pixel is a point, as in the SVG
        FigureCanvasSVG(figure)
        axes = figure.add_axes(
            (
                left / width,
                bottom / height,
                (width - left - right) / width,
                (height - bottom - top) / height,
            )
        )
        paint(axes)
        if title:
            axes.set_title(title, loc="left", fontsize=11.5, fontweight="bold", pad=9)
        buffer = io.StringIO()
        figure.savefig(
            buffer,
            format="svg",
            transparent=True,
            metadata={"Date": None},
        )
    inline = _page_svg(buffer.getvalue(), name, alt)
    style = f"<style>{stylesheet('svg')} text{{font-family:{FONT}!important}}</style>"
    head, body = inline.split(">", 1)
    head = head.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    return FigureFile(name=name, alt=alt, inline=inline, standalone=f"{head}>{style}{body}\n")


def _page_svg(svg: str, name: str, alt: str) -> str:
    """The <svg> element alone: ids prefixed, colours as CSS variables, no outside addresses."""
    body = svg[svg.index("<svg") :]
    opening, body = body.split(">", 1)
    box = re.search(r'viewBox="([^"]+)"', opening)
    assert box is not None
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r"<defs>\s*<style[^>]*>.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    body = re.sub(r'xlink:href="#([^"]+)"', rf'href="#{name}-\1"', body)
    for variable, (light, _) in variables().items():
        body = re.sub(re.escape(light), f"var({variable}, {light})", body, flags=re.IGNORECASE)
    body = re.sub(r"\n\s*", "\n", body).strip()
    width, height = box.group(1).split()[2:]
    label = (
        alt.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
    )
    return (
        f'<svg viewBox="{box.group(1)}" width="{float(width):.0f}pt" height="{float(height):.0f}pt"'
        f' role="img" aria-label="{label}" stroke-linejoin="round">{body}'
    )


def label_ends(axes: Axes, labels: Sequence[EndLabel]) -> None:
    """Writes each series' name at the right edge, apart from each other, in its colour.

    Call last: it reads the limits of the y axis.
    """
    low, high = axes.get_ylim()
    gap = 13 / axes.bbox.height  # of a line of text, both in points
    heights = [((label.y - low) / (high - low), label) for label in labels]
    heights.sort(key=lambda item: item[0])
    placed: list[float] = []
    for height, _ in heights:
        placed.append(max(height, placed[-1] + gap) if placed else height)
    # What was pushed over the top comes down again, taking its neighbours along.
    ceiling = 0.99
    for index in range(len(placed) - 1, -1, -1):
        placed[index] = min(placed[index], ceiling)
        ceiling = placed[index] - gap
    for height, (_, label) in zip(placed, heights, strict=True):
        axes.annotate(
            label.text,
            xy=(1.0, height),
            xycoords="axes fraction",
            xytext=(7, 0),
            textcoords="offset points",
            va="center_baseline",
            fontsize=10.5,
            fontweight="bold",
            color=label.colour,
            annotation_clip=False,
        )


def names_inches(names: Sequence[str]) -> float:
    """The margin that the longest of some names needs, in inches."""
    return 0.25 + 0.082 * max((len(name) for name in names), default=0)


def horizontal_grid(axes: Axes) -> None:
    """Keeps the grid that helps to read y."""
    axes.grid(visible=False, axis="x")


def vertical_grid(axes: Axes) -> None:
    """Keeps the grid that helps to read x."""
    axes.grid(visible=False, axis="y")


def percent_axis(axes: Axes, *, axis: str) -> None:
    """Shares on an axis as percentages."""
    chosen = axes.xaxis if axis == "x" else axes.yaxis
    chosen.set_major_formatter(FuncFormatter(lambda value, _: f"{round(100 * value, 6):.3g} %"))


def count_axis(axes: Axes) -> None:
    """Large counts on the x axis as 200k, 1.5M."""
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: short_count(value)))


def signed(share: float) -> str:
    """A difference of shares in points, with its sign: +8, −16, 0."""
    return f"{100 * share:+.0f}".replace("-", "−") if round(100 * share, 9) else "0"


def short_count(value: float) -> str:
    """A count in at most four characters and a unit: 950, 1.5k, 200k, 3M, 2.1e15."""
    for unit, name in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if unit <= abs(value) < 1000 * unit:
            return f"{value / unit:.3g}{name}"
    return f"{value:.3g}"
