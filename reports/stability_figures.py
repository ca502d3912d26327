"""What training did, by rollout batch: small multiples."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from reports.canvas import (
    EndLabel,
    FigureFile,
    draw,
    horizontal_grid,
    label_ends,
    names_inches,
    percent_axis,
)
from reports.curves import Trace, trace
from reports.figures import Look, labelled
from reports.load import Study
from reports.palette import GREY, MUTED, display_name

STABILITY = (
    ("pass_rate", "Pass rate of rollouts"),
    ("entropy", "Entropy, nats per token"),
    ("kl_to_start", "KL to the start, nats"),
    ("response_tokens", "Response tokens (wrong: dashed)"),
    ("clip_fraction", "Clipped tokens"),
    ("zero_variance_share", "Groups with equal rewards"),
    ("grad_norm", "Gradient norm"),
)
_SHARES = {"pass_rate", "zero_variance_share", "clip_fraction"}
_BY_VERDICT = {"response_tokens"}  # recorded apart for correct and wrong responses
_SMALL = (3.6, 2.3)


def stability(study: Study, *, look: Look) -> list[FigureFile]:
    """Mean of seeds, band their range; what nobody recorded or what stayed 0 has no figure."""
    figures = []
    for key, title in STABILITY:
        found = _traces(study, key)
        if any(one.high.any() for _, _, one in found):
            figures.append(_figure(key, title, found, look))
    return figures


def never_clipped(study: Study) -> bool:
    """Whether the clip fraction was recorded and is 0 in every batch of every method."""
    found = _traces(study, "clip_fraction")
    return bool(found) and not any(one.high.any() for _, _, one in found)


def _traces(study: Study, key: str) -> list[tuple[str, bool, Trace]]:
    """(method, whether of wrong responses, its trace)."""
    keys = [f"{key}_correct", f"{key}_wrong"] if key in _BY_VERDICT else [key]
    return [
        (method, index == 1, found)
        for method in study.methods
        for index, name in enumerate(keys)
        if (found := trace(study.of(method), name))
    ]


def _figure(
    key: str, title: str, traces: Sequence[tuple[str, bool, Trace]], look: Look
) -> FigureFile:
    def paint(axes: Axes) -> None:
        ends = []
        for method, wrong, found in traces:
            mark, style = look[method], (0, (3, 2)) if wrong else "-"
            if mark is GREY:
                axes.plot(found.batches, found.mean, color=MUTED, lw=0.7, alpha=0.4, ls=style)
                continue
            axes.plot(found.batches, found.mean, color=mark.colour, lw=1.4, ls=style)
            if not wrong:
                axes.fill_between(
                    found.batches, found.low, found.high, color=mark.colour, alpha=0.13, lw=0
                )
                text = display_name(method)
                ends.append(EndLabel(text=text, y=found.mean[-1], colour=mark.colour))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        if key in _SHARES:
            percent_axis(axes, axis="y")
        horizontal_grid(axes)
        axes.set_xlabel("rollout batch")
        label_ends(axes, ends)

    listed = "; ".join(
        f"{display_name(m)} {t.mean[0]:.3g} to {t.mean[-1]:.3g}"
        for m, wrong, t in traces
        if not wrong
    )
    return draw(
        f"stability-{key.replace('_', '-')}",
        paint,
        title=title,
        alt=f"{title} by rollout batch: {listed}.",
        size=_SMALL,
        margins=(0.6, names_inches(labelled(look)), 0.5, 0.36),
    )
