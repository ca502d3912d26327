"""What the levels of the factors and the settings are worth, paired by seed and problem."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from reports.ablation.load import FactorRecord, Level
from reports.ablation.trials import (
    PEAK_BYTES,
    Setting,
    Sweep,
    away_from_baseline,
    level_text,
    mean_known,
)
from reports.comparison import Verdict, verdict_of
from reports.statistics import (
    FloatArray,
    Interval,
    holm,
    mean_interval,
    paired_p_value,
    share_interval,
)

LEVELS_SHOWN = 8  # a factor with more distinct values is shown in bins of them
_BINS, _TRIALS_A_BIN = 4, 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Contrast:
    """a minus b in pass@1, paired by the seeds and problems that both have."""

    a: str
    b: str
    seeds: int  # shared; with one, the interval and the p value know problems only
    interval: Interval
    p_value: float
    p_value_holm: float  # over the family it was tested in
    verdict: Verdict  # on a; inconclusive with one seed


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The best setting, and how sure that is."""

    best: Setting
    candidates: int  # it is the best of so many
    against_baseline: Mapping[int, Contrast]  # trial number -> setting minus baseline
    tests: int  # of those: Holm's family, the ones with two seeds or more
    lead: Contrast | None  # the best minus the runner-up, not adjusted; None without a second

    @property
    def gain(self) -> Contrast | None:
        """The best minus the baseline; None where it is the baseline, or there is none."""
        return self.against_baseline.get(self.best.trial.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelMean:
    """The settings that have a level, together."""

    text: str
    values: tuple[Level, ...]  # one; several in a bin
    settings: tuple[Setting, ...]
    interval: Interval  # of pass@1, the settings weighing equally


@dataclass(frozen=True, slots=True, kw_only=True)
class MainEffect:
    """A factor's levels."""

    factor: FactorRecord
    levels: tuple[LevelMean, ...]  # in the factor's order, numbers ascending
    combinations: int  # of the other factors' levels
    matched: int  # those that were completed at every level: there, levels differ in nothing else
    span: Contrast | None  # best level minus worst one over the matched; None without any

    @property
    def balanced(self) -> bool:
        """Whether the means of the levels differ by the factor alone."""
        return self.matched == self.combinations


def pooled(settings: Sequence[Setting]) -> FloatArray:
    """[S, P] mean of the settings' scores, each weighing the same; NaN at seeds that none has.

    A setting that lacks a seed stands in with its mean over the seeds it has, problem by problem:
    left out, it would flatter its company at that seed, for what is pruned is poor.
    """
    tables = np.array([setting.scores for setting in settings])
    missing = ~np.isfinite(tables).any(axis=2)
    own = mean_known(tables, axis=1)
    filled = np.where(missing[:, :, None], own[:, None, :], tables)
    mean = mean_known(filled, axis=0)
    mean[missing.all(axis=0)] = np.nan
    return mean


def contrast_of(
    a: FloatArray, b: FloatArray, names: tuple[str, str], *, rng: np.random.Generator
) -> Contrast | None:
    """[S, P] scores a minus b, its p value not adjusted; None where no seed is shared."""
    difference = a - b
    difference = difference[np.isfinite(difference).any(axis=1)]
    if not difference.size:
        return None
    found = Contrast(
        a=names[0],
        b=names[1],
        seeds=len(difference),
        interval=mean_interval(difference, rng=rng),
        p_value=paired_p_value(difference),
        p_value_holm=1.0,
        verdict="inconclusive",
    )
    return adjusted(found, found.p_value)


def adjusted(contrast: Contrast, p_value_holm: float) -> Contrast:
    """The contrast judged by an adjusted p value."""
    verdict = verdict_of(contrast.interval, p_value_holm)
    if contrast.seeds < 2:
        verdict = "inconclusive"
    return replace(contrast, p_value_holm=p_value_holm, verdict=verdict)


def ranking_of(sweep: Sweep, *, rng: np.random.Generator) -> Ranking | None:
    """The best of the completed settings that fit into memory, and every setting's difference.

    None where no trial is complete.
    """
    candidates = [s for s in sweep.complete if fits(s, sweep.ablation.fits_bytes)]
    if not candidates:
        return None
    first, *others = sorted(candidates, key=lambda s: -s.mean)
    lead = None
    if others:
        second = others[0]
        lead = contrast_of(first.scores, second.scores, (first.label, second.label), rng=rng)
    found: dict[int, Contrast] = {}
    if sweep.baseline is not None:
        for setting in sweep.settings:
            names = (setting.label, sweep.baseline.label)
            if setting is not sweep.baseline and (
                contrast := contrast_of(setting.scores, sweep.baseline.scores, names, rng=rng)
            ):
                found[setting.trial.number] = contrast
    # A difference of one seed claims nothing, so it takes no place in the family either.
    family = [number for number, contrast in found.items() if contrast.seeds > 1]
    p_values = holm([found[number].p_value for number in family])
    return Ranking(
        best=first,
        candidates=len(candidates),
        against_baseline=found
        | {n: adjusted(found[n], p) for n, p in zip(family, p_values, strict=True)},
        tests=len(family),
        lead=lead,
    )


def fits(setting: Setting, limit: float | None) -> bool:
    """Whether its measured peak is within the limit; without either, yes."""
    peak = setting.objectives.get(PEAK_BYTES)
    return limit is None or peak is None or peak.mean <= limit


def main_effects(sweep: Sweep, *, rng: np.random.Generator) -> tuple[MainEffect, ...]:
    """The effect of every factor that took two levels or more, spans adjusted for each other."""
    effects = [
        effect
        for factor in sweep.ablation.factors
        if (effect := _main_effect(sweep, factor, rng)) is not None
    ]
    tested = [effect for effect in effects if effect.span is not None]
    p_values = holm([_chosen(effect) for effect in tested])
    by_name = dict(zip((e.factor.name for e in tested), p_values, strict=True))
    return tuple(
        replace(e, span=adjusted(e.span, by_name[e.factor.name])) if e.span else e for e in effects
    )


def _chosen(effect: MainEffect) -> float:
    """The span's p value times the pairs of levels it was picked from (Bonferroni)."""
    assert effect.span is not None
    levels = len({s.trial.levels[effect.factor.name] for s in _comparable(effect)})
    return min(1.0, effect.span.p_value * levels * (levels - 1) / 2)


def _comparable(effect: MainEffect) -> list[Setting]:
    return [s for level in effect.levels for s in level.settings if s.complete]


def _main_effect(sweep: Sweep, factor: FactorRecord, rng: np.random.Generator) -> MainEffect | None:
    settings = list(sweep.settings)
    if sweep.ablation.design == "leave_one_out":
        # The others moved too, elsewhere: what differs from the baseline in this factor alone.
        settings = [
            s for s in settings if set(away_from_baseline(s.trial, sweep.ablation)) <= {factor}
        ]
    groups = _levels(factor, settings)
    if len(groups) < 2:
        return None
    levels = []
    for values in groups:
        members = tuple(s for s in settings if s.trial.levels[factor.name] in values)
        table = pooled(members)
        interval = share_interval(table[np.isfinite(table).any(axis=1)], rng=rng)
        levels.append(
            LevelMean(text=_group_text(values), values=values, settings=members, interval=interval)
        )
    combinations, matched = _matched(factor, settings)
    return MainEffect(
        factor=factor,
        levels=tuple(levels),
        combinations=combinations,
        matched=len(next(iter(matched.values()), ())),
        span=_span(matched, rng) if matched else None,
    )


def distinct_levels(factor: FactorRecord, settings: Sequence[Setting]) -> tuple[Level, ...]:
    """The levels that were tried: numbers ascending, names in the declared order."""
    tried = {s.trial.levels[factor.name] for s in settings}
    if any(isinstance(level, str) for level in tried):
        declared = list(factor.levels)
        return tuple(sorted(tried, key=lambda v: declared.index(v) if v in declared else 99))
    return tuple(sorted(tried, key=float))


def _levels(factor: FactorRecord, settings: Sequence[Setting]) -> list[tuple[Level, ...]]:
    """The values of each level; of a sampled range, bins of equally many trials."""
    tried = distinct_levels(factor, settings)
    if len(tried) <= LEVELS_SHOWN and not _sampled(factor, tried):
        return [(value,) for value in tried]
    bins = max(1, min(_BINS, len(tried) // _TRIALS_A_BIN))
    edges = np.linspace(0, len(tried), bins + 1).round().astype(int)
    return [tried[start:end] for start, end in pairwise(edges)]


def _sampled(factor: FactorRecord, tried: Sequence[Level]) -> bool:
    """Whether values were drawn between the declared levels, more of them than bins."""
    return len(tried) > _BINS and not set(tried) <= set(factor.levels)


def _group_text(values: tuple[Level, ...]) -> str:
    if len(values) == 1:
        return level_text(values[0])
    return f"{level_text(values[0])} to {level_text(values[-1])}"


def _matched(
    factor: FactorRecord, settings: Sequence[Setting]
) -> tuple[int, dict[Level, list[Setting]]]:
    """How many combinations of the other factors there are, and level -> its matched settings.

    Matched are the combinations that were completed on the same seeds at every level.
    """

    def company(setting: Setting) -> tuple[tuple[str, Level], ...]:
        others = setting.trial.levels.items()
        return tuple(sorted((name, level) for name, level in others if name != factor.name))

    combinations = list(dict.fromkeys(company(s) for s in settings))
    most = max(len(setting.seeds) for setting in settings)
    full = {
        (s.trial.levels[factor.name], company(s)): s
        for s in settings
        if s.complete and len(s.seeds) == most
    }
    levels = distinct_levels(factor, list(full.values()))
    shared = [one for one in combinations if all((level, one) in full for level in levels)]
    if len(levels) < 2 or not shared:
        return len(combinations), {}
    # A level that was never completed keeps the factor from being balanced.
    missing = len(distinct_levels(factor, settings)) > len(levels)
    return len(combinations) + missing, {
        level: [full[level, one] for one in shared] for level in levels
    }


def _span(matched: dict[Level, list[Setting]], rng: np.random.Generator) -> Contrast | None:
    tables = {level: pooled(settings) for level, settings in matched.items()}
    means = {level: float(np.nanmean(table)) for level, table in tables.items()}
    best, worst = max(means, key=lambda v: means[v]), min(means, key=lambda v: means[v])
    names = (level_text(best), level_text(worst))
    return contrast_of(tables[best], tables[worst], names, rng=rng)
