"""A comparison of methods as a part of a page."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reports.canvas import FigureFile, short_count
from reports.ceilings import ceilings_table
from reports.comparison import Comparison, Pair, compare, summary, winner_first
from reports.cost_figures import memory, seconds
from reports.cost_tables import cost_table, phase_table, ranking_table, set_up_table, tuning_table
from reports.figures import AXIS_NAMES, Look, curves, curves_over_k, is_offline, results
from reports.load import Study
from reports.memory import memory_meaning
from reports.metrics import PRIMARY
from reports.pair_figures import MATRIX_METHODS, differences, matrix
from reports.palette import GREY, display_name, marks
from reports.parts import Part
from reports.score_figures import score_figure, score_profiles
from reports.set_up import SetUp, set_up
from reports.setting_tables import (
    cells_table,
    collapsed_table,
    equivalence_table,
    frameworks_table,
    own_settings_table,
    settings_table,
    skipped_table,
)
from reports.stability_figures import never_clipped, stability
from reports.statistics import RESAMPLES
from reports.tables import behaviour_table, final_table, pair_table
from reports.tabular import Table
from reports.target_figures import profile_figure, times_table
from reports.target_times import target_times
from reports.transcripts import exhibits
from reports.tuning import tuning
from reports.verdict import gate_line, sentences

_BESIDE = 5  # methods whose matrix fits beside the other figure
_PAIRS = 15  # on one axis, so six methods; of more, those with the best method


def comparison_part(study: Study, *, rng: np.random.Generator) -> Part:
    """What a page shows of a comparison."""
    comparison = compare(study, rng=rng)
    ranked = _ranked(comparison)
    look = marks(study.methods, best=ranked)
    needed = set_up(study)
    times = target_times(study, comparison)
    figures = _figures(study, comparison, ranked, look, rng)
    tables = _tables(study, comparison, needed, look)
    # A stream of its own leaves every other interval as it is.
    profiles = score_profiles(study, look=look, rng=rng.spawn(1)[0])
    if profiles:
        figures["profile"] = [score_figure(profiles, look=look)]
    if times is not None:
        figures["targets"] = [profile_figure(times, look=look)]
        tables["targets"] = times_table(times, look=look)
    return Part(
        study=study,
        template="comparison",
        figures=figures,
        tables=tables,
        context=_context(study, comparison, needed, look),
        summary=summary(study, comparison),
    )


def _ranked(comparison: Comparison) -> list[str]:
    """Methods by final pass@1, best first; those without one last."""
    means = {
        method: result.metrics[PRIMARY].mean if PRIMARY in result.metrics else -np.inf
        for method, result in comparison.methods.items()
    }
    return sorted(means, key=lambda method: -means[method])


def _figures(
    study: Study,
    comparison: Comparison,
    ranked: Sequence[str],
    look: Look,
    rng: np.random.Generator,
) -> dict[str, list[FigureFile]]:
    pairs = comparison.pairs_of(PRIMARY)
    tested = [method for method in ranked if any(method in (p.a, p.b) for p in pairs)]
    shown = [winner_first(pair) for pair in _of_few(pairs, tested)]
    return {
        "results": [results(study, comparison, look=look)],
        "curves": curves(study, look=look, rng=rng),
        "matrix": [matrix(pairs, methods=tested)] if 2 < len(tested) <= MATRIX_METHODS else [],
        "differences": [differences(shown)] if shown else [],
        "over_k": curves_over_k(study, look=look, rng=rng),
        "memory": memory(study, look=look),
        "seconds": [seconds(study, look=look)],
        "stability": stability(study, look=look),
    }


def _of_few(pairs: Sequence[Pair], tested: Sequence[str]) -> Sequence[Pair]:
    if len(pairs) <= _PAIRS:
        return pairs
    return [pair for pair in pairs if tested[0] in (pair.a, pair.b)][:_PAIRS]


def _tables(
    study: Study, comparison: Comparison, needed: Sequence[SetUp], look: Look
) -> dict[str, Table]:
    primary = comparison.pairs_of(PRIMARY)
    others = [pair for pair in comparison.pairs if pair.metric != PRIMARY]
    return {
        "final": final_table(comparison, look=look),
        "behaviour": behaviour_table(comparison, look=look),
        "pairs": pair_table(primary, comparison, name="pairs"),
        "other_pairs": pair_table(others, comparison, name="pairs-other-metrics"),
        "equivalence": equivalence_table(study, look=look),
        "cost": cost_table(study),
        "phases": phase_table(study),
        "set_up": set_up_table(needed),
        "ranking": ranking_table(comparison, needed),
        "tuning": tuning_table(tuning(study)),
        "ceilings": ceilings_table(study, comparison, look=look),
        "settings": settings_table(study),
        "own_settings": own_settings_table(study),
        "cells": cells_table(study, look=look),
        "collapsed": collapsed_table(study),
        "skipped": skipped_table(study),
        **{
            table.name: table
            for method in study.methods
            if (table := frameworks_table(study, method)).rows
        },
    }


def _context(
    study: Study, comparison: Comparison, needed: Sequence[SetUp], look: Look
) -> Mapping[str, Any]:
    seeds = sorted({len(result.seeds) for result in comparison.methods.values()})
    coloured = [method for method in study.methods if look[method] is not GREY]
    return {
        "primary": PRIMARY,
        "gate": gate_line(study),
        "verdict": sentences(study, comparison),
        "budget": f"{short_count(study.budget)} "
        f"{AXIS_NAMES.get(study.budget_axis, study.budget_axis)}",
        "n_seeds": " to ".join(str(n) for n in dict.fromkeys((seeds[0], seeds[-1]))),
        "one_seed": seeds[0] == 1,
        "methods": [(display_name(m), look[m].variable) for m in coloured],
        "grey": len(study.methods) - len(coloured),
        "pairs_on_axis": _PAIRS,
        "wide_matrix": len(study.methods) > _BESIDE,
        "offline": [display_name(m) for m in study.methods if is_offline(study, m)],
        "unverified": _unverified(comparison),
        "collapsed": [
            f"{display_name(cell.method)}, seed {cell.seed}"
            for cell in study.cells
            if cell.collapsed
        ],
        "set_up_beside": any(not one.charged for one in needed),
        "memory_meaning": memory_meaning(study),
        "never_clipped": never_clipped(study),
        "exhibits": exhibits(study, look=look),
        "resamples": RESAMPLES,
    }


def _unverified(comparison: Comparison) -> Sequence[tuple[str, int]]:
    counts = [(display_name(m), result.unverified) for m, result in comparison.methods.items()]
    if comparison.start:
        counts.insert(0, ("start", comparison.start.unverified))
    return [(name, count) for name, count in counts if count]
