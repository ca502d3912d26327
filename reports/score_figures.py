"""How many problems a method solves how often: the performance profile of its pass rates."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from reports.aggregates import PerformanceProfile, performance_profile
from reports.canvas import (
    EndLabel,
    FigureFile,
    draw,
    horizontal_grid,
    label_ends,
    names_inches,
    percent_axis,
)
from reports.evaluations import Evaluation
from reports.figures import Look, labelled
from reports.load import Study
from reports.metrics import PRIMARY, SCORES, problems_of, score_table
from reports.palette import GREY, MUTED, display_name

_STEPS = 32  # thresholds between a pass rate of 0 and of 1
_DRAWS = 1_000_000  # scores drawn for one band: large studies need fewer resamples
_DOTTED = (0, (4, 3))


def score_profiles(
    study: Study, *, look: Look, rng: np.random.Generator
) -> Mapping[str, PerformanceProfile]:
    """Method -> the share of its runs and problems above each pass rate; "start" among them."""
    ends = {m: [e for c in study.of(m) if (e := c.final(study.split))] for m in study.methods}
    starts = [splits[study.split] for splits in study.start.values() if study.split in splits]
    shown = {m: found for m, found in ends.items() if look[m] is not GREY}
    profiles = {
        name: profile
        for name, evaluations in {"start": starts, **shown}.items()
        if (profile := _profile(evaluations, rng)) is not None
    }
    return profiles if any(method in profiles for method in study.methods) else {}


def score_figure(profiles: Mapping[str, PerformanceProfile], *, look: Look) -> FigureFile:
    """The profiles as curves that fall from the left, bands over runs."""

    def paint(axes: Axes) -> None:
        ends = []
        for name, profile in profiles.items():
            begun = name not in look
            colour = MUTED if begun else look[name].colour
            axes.step(
                profile.thresholds,
                profile.shares,
                where="post",
                color=colour,
                lw=1.2 if begun else 1.8,
                ls=_DOTTED if begun else "-",
            )
            axes.fill_between(
                profile.thresholds,
                profile.low,
                profile.high,
                step="post",
                color=colour,
                alpha=0.13,
                lw=0,
            )
            text = name if begun else display_name(name)
            ends.append(EndLabel(text=text, y=profile.shares[-1], colour=colour))
        axes.set_xlim(0, 1)
        percent_axis(axes, axis="x")
        percent_axis(axes, axis="y")
        horizontal_grid(axes)
        axes.set_xlabel(f"above this {PRIMARY}")
        label_ends(axes, ends)

    return draw(
        "score-profile",
        paint,
        title="Problems solved more often than",
        alt=f"Share of problems above a {PRIMARY}: {_listed(profiles)}.",
        size=(4.7, 3.1),
        margins=(0.62, names_inches([*labelled(look), "start"]), 0.52, 0.36),
    )


def _profile(
    evaluations: Sequence[Evaluation], rng: np.random.Generator
) -> PerformanceProfile | None:
    scores = score_table(evaluations, SCORES[PRIMARY], problems=problems_of(evaluations))
    complete = scores[:, np.isfinite(scores).all(axis=0)]
    if not complete.size:
        return None
    thresholds = np.arange(_STEPS) / _STEPS
    resamples = int(np.clip(_DRAWS // complete.size, 100, 1000))
    return performance_profile(complete, thresholds, rng=rng, resamples=resamples)


def _listed(profiles: Mapping[str, PerformanceProfile]) -> str:
    half = _STEPS // 2
    return "; ".join(
        f"{display_name(name)} {100 * profile.shares[half]:.0f} % of problems above one half"
        for name, profile in profiles.items()
    )
