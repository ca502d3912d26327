"""How much of the spread of a grid's trials each of two factors and their interaction explain."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from reports.ablation.effects import distinct_levels
from reports.ablation.trials import Sweep, mean_known
from reports.statistics import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A part of the variance of the trials' means."""

    name: str
    share: float  # of the sum of squares
    noise_share: float | None  # what the noise of the seeds would give it; None with one seed
    p_value: float | None  # of that noise alone, an F test; None with one seed


def variance_sources(sweep: Sweep) -> tuple[Source, ...]:
    """Both factors and their interaction; nothing but for a grid of two, complete on all seeds."""
    if len(sweep.ablation.factors) != 2:
        return ()
    rows, columns = sweep.ablation.factors
    first = distinct_levels(rows, sweep.settings)
    second = distinct_levels(columns, sweep.settings)
    if len(first) < 2 or len(second) < 2:
        return ()
    means = np.full((len(first), len(second), len(sweep.seeds)), np.nan)
    for setting in sweep.complete:
        levels = setting.trial.levels
        place = first.index(levels[rows.name]), second.index(levels[columns.name])
        means[place] = mean_known(setting.scores, axis=1)
    if not np.isfinite(means).all():
        return ()
    return two_way(means, (rows.name, columns.name))


def two_way(means: FloatArray, names: tuple[str, str]) -> tuple[Source, ...]:
    """The two-way decomposition of [A, B, S] trial means, seeds being blocks.

    The noise is what is left of a trial's mean at a seed after the trial's own mean and the seed's:
    the trials share their seeds and problems, so a lucky seed is no difference between trials.
    With equal means throughout, every share is 0.

    Args:
        means: every trial at every seed.
        names: of the factors along A and B.
    """
    a, b, seeds = means.shape
    trials = means.mean(axis=2)
    grand = trials.mean()
    by_a, by_b = trials.mean(axis=1) - grand, trials.mean(axis=0) - grand
    rest = trials - grand - by_a[:, None] - by_b[None, :]
    squares = (
        (names[0], b * float((by_a**2).sum()), a - 1),
        (names[1], a * float((by_b**2).sum()), b - 1),
        (f"{names[0]} × {names[1]}", float((rest**2).sum()), (a - 1) * (b - 1)),
    )
    total = sum(square for _, square, _ in squares)
    noise = None  # variance of a trial's mean, as far as seeds make it
    freedom = (a * b - 1) * (seeds - 1)
    if seeds > 1:
        left = means - trials[:, :, None] - means.mean(axis=(0, 1)) + grand
        noise = float((left**2).sum()) / freedom / seeds
    return tuple(
        Source(
            name=name,
            share=square / total if total else 0.0,
            noise_share=None if noise is None else degrees * noise / total if total else 0.0,
            p_value=None
            if noise is None
            else float(stats.f.sf(square / degrees / noise, degrees, freedom))
            if noise
            else float(square == 0),
        )
        for name, square, degrees in squares
    )
