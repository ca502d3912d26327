"""The numbers of a report: metrics by method, gains over the start, paired differences."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any, Literal

import numpy as np

from reports.aggregates import interquartile_mean_interval
from reports.evaluations import Evaluation
from reports.load import Cell, Study
from reports.memory import peak_bytes
from reports.metrics import (
    METRICS,
    NO_SHARES,
    OOD,
    PRIMARY,
    SCORES,
    TESTED,
    pass_rate,
    problems_of,
    score_table,
    unverified_samples,
)
from reports.power import minimum_detectable_difference, seeds_needed
from reports.statistics import (
    RESAMPLES,
    FloatArray,
    Interval,
    holm,
    mean_interval,
    paired_p_value,
    probability_of_improvement,
    share_interval,
)

SCHEMA = 1
SIGNIFICANCE = 0.05
_IQM_DRAWS = 5_000_000
PLANNED_PAIRS = 28  # so many (8 methods) are told how many seeds they need; each takes a while

Verdict = Literal["better", "worse", "inconclusive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One policy at its end (or the start): what it scores and what it has spent."""

    seeds: tuple[int, ...]
    metrics: Mapping[str, Interval]
    by_seed: Mapping[str, float]  # seed as text -> pass@1
    iqm: Interval | None  # interquartile mean of pass@1 over seeds and problems
    unverified: int  # samples without a verdict, left out of the means
    ledger: Mapping[str, float]  # means over seeds; empty for the start


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Method a minus method b in one metric, paired by seed and problem."""

    a: str
    b: str
    metric: str
    difference: float
    low: float
    high: float
    probability_of_improvement: float  # of a over b, over all pairs of runs
    p_value: float
    p_value_holm: float  # over the pairs of the same metric
    verdict: Verdict  # on a
    # In all, to find a true difference of the observed size; None where no number to 1000 would,
    # where the verdict is in, or where nobody asked.
    seeds_needed: int | None = None
    # The smallest true difference that so many runs find four times in five; None likewise.
    detectable: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Every number of the report that carries an interval."""

    start: Result | None  # None when the start was not evaluated
    methods: Mapping[str, Result]
    gains: Mapping[str, Mapping[str, Interval]]  # method -> metric -> end minus start
    pairs: tuple[Pair, ...]

    def pairs_of(self, metric: str) -> tuple[Pair, ...]:
        """The pairs in one metric."""
        return tuple(pair for pair in self.pairs if pair.metric == metric)


def compare(study: Study, *, rng: np.random.Generator) -> Comparison:
    """The comparison of a study's finished cells."""
    tables = {method: _tables(study, study.of(method)) for method in study.methods}
    start_seeds = tuple(sorted(study.start))
    start_tables = _start_tables(study, start_seeds)
    methods = {}
    for method in study.methods:
        cells = study.of(method)
        methods[method] = _result(
            tables[method],
            seeds=tuple(cell.seed for cell in cells),
            evaluations=[e for cell in cells if (e := cell.final(study.split))],
            ledger=_mean_ledger(cells),
            rng=rng,
        )
    start = _result(
        start_tables,
        seeds=start_seeds,
        evaluations=[s[study.split] for s in study.start.values() if study.split in s],
        ledger={},
        rng=rng,
    )
    return Comparison(
        start=start if start.metrics else None,
        methods=methods,
        gains=_gains(tables, start_tables, rng),
        pairs=_pairs(study.methods, tables, rng),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scores:
    """[S, P] scores with their labels."""

    seeds: tuple[int, ...]
    problems: tuple[str, ...]
    values: FloatArray

    def at(self, seeds: Sequence[int], problems: Sequence[str]) -> FloatArray:
        row = {seed: index for index, seed in enumerate(self.seeds)}
        rows = [row[seed] for seed in seeds]
        place = {problem: index for index, problem in enumerate(self.problems)}
        return self.values[np.ix_(rows, [place[problem] for problem in problems])]


def _tables(study: Study, cells: Sequence[Cell]) -> dict[str, _Scores]:
    at_end = {cell.seed: cell.final(study.split) for cell in cells}
    ood = {cell.seed: cell.final("ood") for cell in cells}
    return _score_all(at_end, ood)


def _start_tables(study: Study, seeds: Sequence[int]) -> dict[str, _Scores]:
    return _score_all(
        {seed: study.start[seed].get(study.split) for seed in seeds},
        {seed: study.start[seed].get("ood") for seed in seeds},
    )


def _score_all(
    main: Mapping[int, Evaluation | None], ood: Mapping[int, Evaluation | None]
) -> dict[str, _Scores]:
    tables = {}
    for metric in METRICS:
        chosen = ood if metric == OOD else main
        score = pass_rate if metric == OOD else SCORES[metric]
        present = {seed: point for seed, point in chosen.items() if point is not None}
        problems = problems_of(list(present.values()))
        values = score_table(list(present.values()), score, problems=problems)
        if np.isfinite(values).any():
            tables[metric] = _Scores(seeds=tuple(present), problems=problems, values=values)
    return tables


def _result(
    tables: Mapping[str, _Scores],
    *,
    seeds: tuple[int, ...],
    evaluations: Sequence[Evaluation],
    ledger: Mapping[str, float],
    rng: np.random.Generator,
) -> Result:
    primary = tables.get(PRIMARY)
    return Result(
        seeds=seeds,
        metrics={
            metric: (mean_interval if metric in NO_SHARES else share_interval)(
                table.values, rng=rng
            )
            for metric, table in tables.items()
        },
        by_seed={}
        if primary is None
        else {
            str(seed): float(np.nanmean(row))
            for seed, row in zip(primary.seeds, primary.values, strict=True)
            if np.isfinite(row).any()
        },
        iqm=None if primary is None else _interquartile_mean(primary.values, rng=rng),
        unverified=unverified_samples(evaluations),
        ledger=ledger,
    )


def _interquartile_mean(scores: FloatArray, *, rng: np.random.Generator) -> Interval | None:
    """That of the problems which every seed has a score for; its interval is over seeds."""
    complete = scores[:, np.isfinite(scores).all(axis=0)]
    if not complete.size:
        return None
    # All resamples are in memory at once, and large studies need fewer of them.
    resamples = int(np.clip(_IQM_DRAWS // complete.size, 200, RESAMPLES))
    # A stream of its own leaves every other interval as it is.
    return interquartile_mean_interval(complete, rng=rng.spawn(1)[0], resamples=resamples)


def _gains(
    tables: Mapping[str, Mapping[str, _Scores]],
    start: Mapping[str, _Scores],
    rng: np.random.Generator,
) -> dict[str, dict[str, Interval]]:
    gains: dict[str, dict[str, Interval]] = {}
    for method, metrics in tables.items():
        gains[method] = {}
        if PRIMARY in metrics and PRIMARY in start:
            difference = _difference(metrics[PRIMARY], start[PRIMARY])
            if np.isfinite(difference).any():
                gains[method][PRIMARY] = mean_interval(difference, rng=rng)
    return gains


def _difference(a: _Scores, b: _Scores) -> FloatArray:
    """[shared seeds, shared problems] a - b."""
    seeds = [seed for seed in a.seeds if seed in b.seeds]
    problems = sorted(set(a.problems) & set(b.problems))
    return np.asarray(a.at(seeds, problems) - b.at(seeds, problems), dtype=np.float64)


def _pairs(
    methods: Sequence[str],
    tables: Mapping[str, Mapping[str, _Scores]],
    rng: np.random.Generator,
) -> tuple[Pair, ...]:
    pairs: list[Pair] = []
    for metric in TESTED:
        found = []
        for a, b in combinations([m for m in methods if metric in tables[m]], 2):
            difference = _difference(tables[a][metric], tables[b][metric])
            if np.isfinite(difference).any():
                found.append((a, b, difference, paired_p_value(difference)))
        adjusted = holm([p for *_, p in found])
        for (a, b, difference, p), p_holm in zip(found, adjusted, strict=True):
            interval = mean_interval(difference, rng=rng)
            verdict = verdict_of(interval, p_holm)
            planned = (
                metric == PRIMARY
                and len(found) <= PLANNED_PAIRS
                # One problem cannot say how much problems differ.
                and np.isfinite(difference).any(axis=0).sum() > 1
            )
            pairs.append(
                Pair(
                    a=a,
                    b=b,
                    metric=metric,
                    difference=interval.mean,
                    low=interval.low,
                    high=interval.high,
                    probability_of_improvement=probability_of_improvement(
                        _by_seed(tables[a][metric]), _by_seed(tables[b][metric])
                    ),
                    p_value=p,
                    p_value_holm=p_holm,
                    verdict=verdict,
                    seeds_needed=seeds_needed(difference)
                    if planned and verdict == "inconclusive"
                    else None,
                    detectable=minimum_detectable_difference(difference) if planned else None,
                )
            )
    return tuple(pairs)


def winner_first(pair: Pair) -> Pair:
    """The same pair with a difference of 0 or more, as a reader says it."""
    if pair.difference >= 0:
        return pair
    opposite: dict[Verdict, Verdict] = {"better": "worse", "worse": "better"}
    return replace(
        pair,
        a=pair.b,
        b=pair.a,
        difference=-pair.difference,
        low=-pair.high,
        high=-pair.low,
        probability_of_improvement=1 - pair.probability_of_improvement,
        verdict=opposite.get(pair.verdict, "inconclusive"),
    )


def verdict_of(interval: Interval, p_value_holm: float) -> Verdict:
    """Better or worse only when the interval excludes 0 and the adjusted p is below 0.05."""
    if p_value_holm < SIGNIFICANCE and interval.low > 0:
        return "better"
    if p_value_holm < SIGNIFICANCE and interval.high < 0:
        return "worse"
    return "inconclusive"


def _by_seed(table: _Scores) -> FloatArray:
    known = np.isfinite(table.values).any(axis=1)
    return np.asarray(np.nanmean(table.values[known], axis=1), dtype=np.float64)


LEDGER_MEANS = (
    "sampled_tokens",
    "trained_tokens",
    "optimizer_steps",
    "wall_seconds",
    "device_seconds",
    "tokens_per_second",
    "flops",
)


def _mean_ledger(cells: Sequence[Cell]) -> dict[str, float]:
    means = {}
    for key in LEDGER_MEANS:
        values = [cell.ledger[key] for cell in cells if cell.ledger.get(key) is not None]
        if values:
            means[key] = float(np.mean(values))
    peaks = [
        max(sum(parts.values()) for parts in by_phase.values())
        for cell in cells
        if (by_phase := peak_bytes([cell]))
    ]
    if peaks:
        means["peak_bytes"] = float(np.mean(peaks))
    return means


def summary(study: Study, comparison: Comparison) -> dict[str, Any]:
    """summary.json, schema 1. Accuracies are shares in [0, 1], `peak_bytes` the highest phase."""
    start = comparison.start
    return {
        "schema": SCHEMA,
        "study": study.name,
        "budget": {"axis": study.budget_axis, "value": study.budget},
        "task": study.task,
        "model": study.model,
        "gate": {"passed": study.gate.passed, "failed": list(study.gate.reasons)},
        "start": {"metrics": _intervals(start.metrics) if start else {}},
        "methods": {
            method: {
                "n_seeds": len(result.seeds),
                "metrics": _intervals(result.metrics),
                "iqm": None if result.iqm is None else asdict(result.iqm),
                "ledger": dict(result.ledger),
            }
            for method, result in comparison.methods.items()
        },
        "pairs": [asdict(pair) for pair in comparison.pairs],
        "gains": {method: _intervals(gain) for method, gain in comparison.gains.items()},
    }


def _intervals(metrics: Mapping[str, Interval]) -> dict[str, dict[str, float]]:
    return {metric: asdict(interval) for metric, interval in metrics.items()}
