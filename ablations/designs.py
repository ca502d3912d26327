"""The points of a design, and how a trial asks for its own."""

from __future__ import annotations

import math
from itertools import product

import optuna
from scipy.stats import qmc

from ablations.factors import Factor, Level, Point
from ablations.study import FIXED_DESIGNS, Ablation

SEED = 0  # of Sobol points and of TPE: the same file asks for the same points
STARTUP_SHARE = 3  # TPE models what a first third of the trials, by Sobol points, has shown


def planned_points(ablation: Ablation) -> list[Point]:
    """A point for every trial; an empty one is left for the sampler to choose."""
    match ablation.design:
        case "grid":
            levels = [factor.level_names for factor in ablation.factors.values()]
            return [dict(zip(ablation.factors, point, strict=True)) for point in product(*levels)]
        case "leave_one_out":
            return _one_at_a_time(ablation)
        case "quasi_random":
            return _sobol(ablation, ablation.trials or 0)
        case "tpe":
            trials = ablation.trials or 0
            first = _sobol(ablation, math.ceil(trials / STARTUP_SHARE))
            return [*first, *({} for _ in range(trials - len(first)))]


def sampler(ablation: Ablation, *, index: int = 0) -> optuna.samplers.BaseSampler:
    """What chooses the points that the design leaves open, for the trial with that index."""
    startup = math.ceil((ablation.trials or 0) / STARTUP_SHARE)
    # Without the liar, workers that ask at the same time would be sent to the same place.
    # They would also draw the same candidates, if it were not for the index.
    seed = SEED + index
    return optuna.samplers.TPESampler(seed=seed, n_startup_trials=startup, constant_liar=True)


def pruner(ablation: Ablation) -> optuna.pruners.BasePruner:
    """What may end a trial between two seeds; its steps are the seeds done."""
    match ablation.pruner:
        case "none":
            return optuna.pruners.NopPruner()
        case "median":
            return optuna.pruners.MedianPruner(n_startup_trials=4)
        case "wilcoxon":
            return optuna.pruners.WilcoxonPruner(p_threshold=0.1)
        case "hyperband":
            return optuna.pruners.HyperbandPruner(
                min_resource=1, max_resource=len(ablation.seeds), reduction_factor=2
            )


def suggest(trial: optuna.Trial, ablation: Ablation) -> Point:
    """The trial's point: what was queued for it, or else what the sampler chooses."""
    ranges = ablation.design not in FIXED_DESIGNS
    return {
        name: _suggest(trial, name, factor, in_range=ranges and factor.has_range)
        for name, factor in ablation.factors.items()
    }


def _suggest(trial: optuna.Trial, name: str, factor: Factor, *, in_range: bool) -> Level:
    if not in_range or factor.low is None or factor.high is None:
        level = trial.suggest_categorical(name, factor.level_names)
        assert level is not None, "the levels are ours, and none of them is None"
        return level
    if factor.is_integer:
        return int(trial.suggest_int(name, int(factor.low), int(factor.high), log=factor.log))
    return float(trial.suggest_float(name, factor.low, factor.high, log=factor.log))


def _one_at_a_time(ablation: Ablation) -> list[Point]:
    baseline = ablation.baseline
    others = [
        {**baseline, name: level}
        for name, factor in ablation.factors.items()
        for level in factor.level_names
        if level != baseline[name]
    ]
    return [baseline, *others]


def _sobol(ablation: Ablation, count: int) -> list[Point]:
    if not count:
        return []
    engine = qmc.Sobol(d=len(ablation.factors), seed=SEED)
    places = engine.random_base2(math.ceil(math.log2(count)))[:count]
    return [
        {
            name: _level_at(factor, float(place))
            for (name, factor), place in zip(ablation.factors.items(), row, strict=True)
        }
        for row in places
    ]


def _level_at(factor: Factor, place: float) -> Level:
    """The level at a place in [0, 1) of the factor's range, or of its levels in order."""
    if factor.low is None or factor.high is None:
        return factor.level_names[int(place * len(factor.level_names))]
    low, high = factor.low, factor.high
    if factor.is_integer:
        high += 1  # every whole number gets an equal share
    value = low * (high / low) ** place if factor.log else low + (high - low) * place
    return math.floor(value) if factor.is_integer else value
