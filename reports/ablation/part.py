"""An ablation's study as a part of the page."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from reports.ablation.effects import Contrast, MainEffect, Ranking, main_effects, ranking_of
from reports.ablation.figures import (
    baseline_figure,
    curve_figure,
    effect_figure,
    front_figures,
    importance_figure,
    kl_figure,
)
from reports.ablation.front import non_dominated
from reports.ablation.heat import heat_map_figure, heat_maps
from reports.ablation.tables import (
    baseline_table,
    effects_table,
    factors_table,
    levels_table,
    total_cost,
    trials_table,
    variance_table,
    varied_table,
)
from reports.ablation.trials import Sweep, sweep_of
from reports.ablation.variance import Source, variance_sources
from reports.ablation.verdict import caution, sentences
from reports.canvas import FigureFile, short_count
from reports.figures import AXIS_NAMES
from reports.load import Study
from reports.palette import GREY, marks
from reports.parts import Part
from reports.setting_tables import (
    cells_table,
    equivalence_table,
    frameworks_table,
    settings_table,
    skipped_table,
)
from reports.statistics import RESAMPLES, Interval
from reports.verdict import gate_line

SCHEMA = 1
_DESIGNS = {
    "grid": "every combination of the levels",
    "quasi_random": "quasi-random points of the ranges",
    "tpe": "points chosen by TPE from the trials before",
    "leave_one_out": "the baseline, and one factor at a time away from it",
}


def ablation_part(study: Study, *, rng: np.random.Generator) -> Part:
    """Everything that the page shows of an ablation."""
    sweep = sweep_of(study, rng=rng)
    ranking = ranking_of(sweep, rng=rng)
    effects = main_effects(sweep, rng=rng)
    sources = variance_sources(sweep)
    maps = heat_maps(sweep, rng=rng)
    ablation = sweep.ablation
    method = _as_method(sweep)
    figures: dict[str, Sequence[FigureFile]] = {
        "heat": [heat_map_figure(heat) for heat in maps],
        "effects": [effect_figure(effect) for effect in effects],
        "baseline": _shown(baseline_figure(sweep, ranking) if ranking else None),
        "importances": [importance_figure(ablation.importances)] if ablation.importances else [],
        "front": front_figures(sweep),
        "kl": _shown(kl_figure(sweep, _leading(effects, ablation.importances))),
        "curves": _shown(curve_figure(sweep, ranking, rng=rng)),
    }
    return Part(
        study=study,
        template="ablation",
        figures=figures,
        tables={
            "trials": trials_table(sweep, ranking),
            "factors": factors_table(sweep),
            "levels": levels_table(effects),
            "effects": effects_table(effects, ablation.importances),
            "variance": variance_table(sources, ablation.importances),
            "baseline": baseline_table(sweep, ranking),
            "varied": varied_table(study),
            "equivalence": equivalence_table(method, look=marks(method.methods)),
            "frameworks": frameworks_table(method, method.methods[0]),
            "settings": settings_table(study),
            "cells": cells_table(study, look=dict.fromkeys(study.methods, GREY)),
            "skipped": skipped_table(study),
        },
        context={
            "ablation": ablation,
            "gate": gate_line(study),
            "verdict": sentences(sweep, ranking, effects),
            "caution": caution(sweep, ranking),
            "design": _DESIGNS[ablation.design],
            "budget": f"{short_count(study.budget)} "
            f"{AXIS_NAMES.get(study.budget_axis, study.budget_axis)}",
            "seeds": len(sweep.seeds),
            "averaged": any(heat.averaged for heat in maps),
            "hatched": any(cell.trouble for heat in maps for cell in heat.cells),
            "conditional": [e.factor.name for e in effects if not e.balanced],
            "pruned": sum(not s.complete for s in sweep.settings),
            "resamples": RESAMPLES,
        },
        summary=_summary(sweep, ranking, effects, sources),
    )


def _shown(figure: FigureFile | None) -> list[FigureFile]:
    return [] if figure is None else [figure]


def _leading(
    effects: Sequence[MainEffect], importances: Mapping[str, float] | None
) -> MainEffect | None:
    """The factor that moved pass@1 most: by its importance, without any by its levels."""

    def weight(effect: MainEffect) -> float:
        if importances:
            return importances.get(effect.factor.name, 0.0)
        means = [level.interval.mean for level in effect.levels]
        return max(means) - min(means)

    return max(effects, key=weight, default=None)


def _as_method(sweep: Sweep) -> Study:
    """The baseline's cells, or the first setting's, under the name of their method."""
    study = sweep.study
    arm = (sweep.baseline or sweep.settings[0]).trial.arm
    cells = study.of(arm)
    method = str(cells[0].config.get("method", arm))
    return replace(
        study, methods=(method,), cells=tuple(replace(cell, method=method) for cell in cells)
    )


def _summary(
    sweep: Sweep,
    ranking: Ranking | None,
    effects: Sequence[MainEffect],
    sources: Sequence[Source],
) -> dict[str, Any]:
    """summary.json, schema 1: shares in [0, 1]; null for what one seed leaves unknown."""
    study, ablation = sweep.study, sweep.ablation
    settings = {s.trial.number: s for s in sweep.settings}
    objectives = ablation.objectives
    return {
        "schema": SCHEMA,
        "kind": "ablation",
        "study": study.name,
        "title": ablation.title,
        "question": ablation.question,
        "design": ablation.design,
        "pruner": ablation.pruner,
        "objectives": list(objectives),
        "split": study.split,
        "task": study.task,
        "model": study.model,
        "budget": {"axis": study.budget_axis, "value": study.budget},
        "gate": {"passed": study.gate.passed, "failed": list(study.gate.reasons)},
        "baseline": sweep.baseline.trial.number if sweep.baseline else None,
        "best": None
        if ranking is None
        else {
            "trial": ranking.best.trial.number,
            "candidates": ranking.candidates,
            "gain": _numbers(ranking.gain),
            "lead": _numbers(ranking.lead),
        },
        "trials": [
            {
                "number": t.number,
                "levels": dict(t.levels),
                "state": t.state,
                "reason": t.reason,
                "n_seeds": len(settings[t.number].seeds) if t.number in settings else 0,
                "metrics": {
                    name: _ends(interval)
                    for name, interval in settings[t.number].objectives.items()
                }
                if t.number in settings
                else {},
                "kl_to_start": _ends(settings[t.number].kl_to_start)
                if t.number in settings
                else None,
                "against_baseline": _numbers(ranking.against_baseline.get(t.number))
                if ranking
                else None,
                "cost": dict(t.cost),
            }
            for t in ablation.trials
        ],
        "effects": [
            {
                "factor": e.factor.name,
                "balanced": e.balanced,
                "levels": [
                    {"level": level.text, "settings": len(level.settings)}
                    | (_ends(level.interval) or {})
                    for level in e.levels
                ],
                "span": _numbers(e.span),
            }
            for e in effects
        ],
        "variance": [asdict(source) for source in sources],
        "importances": dict(ablation.importances) if ablation.importances else None,
        "front": [s.trial.number for s in non_dominated(sweep.complete, objectives)]
        if len(objectives) > 1
        else [],
        "cost": total_cost(ablation.trials),
    }


def _numbers(contrast: Contrast | None) -> dict[str, Any] | None:
    if contrast is None:
        return None
    return asdict(contrast) | {"interval": _ends(contrast.interval)}


def _ends(interval: Interval | None) -> dict[str, float | None] | None:
    if interval is None:
        return None
    return {name: v if np.isfinite(v) else None for name, v in asdict(interval).items()}
