"""The tables of what was measured: every policy's metrics, every pair's difference."""

from collections.abc import Sequence
from dataclasses import asdict

from reports.comparison import Comparison, Pair, Result, winner_first
from reports.figures import Look
from reports.metrics import METRICS, PRIMARY
from reports.palette import display_name
from reports.statistics import Interval
from reports.tabular import SHOWN, Entry, Table, named, number, rows_left_out
from reports.verdict import claims, more_seeds

_SHARES = {m for m in METRICS if "@" in m} | {"greedy", "format_rate"}
_BEHAVIOUR = ("format_rate", "response_tokens", "kl_to_start")
_HEADINGS = {
    "format_rate": "answers in format",
    "response_tokens": "response tokens",
    "kl_to_start": "KL to the start, nats",
    "ood_pass@1": "OOD pass@1",
}


def final_table(comparison: Comparison, *, look: Look) -> Table:
    """Start and methods against every accuracy that some policy has, with intervals."""
    return _metric_table("final", comparison, look, [m for m in METRICS if m not in _BEHAVIOUR])


def behaviour_table(comparison: Comparison, *, look: Look) -> Table:
    """Start and methods against format, length and distance from the start, with intervals."""
    return _metric_table("behaviour", comparison, look, _BEHAVIOUR)


def _metric_table(name: str, comparison: Comparison, look: Look, metrics: Sequence[str]) -> Table:
    policies: dict[str, Result] = dict(comparison.methods)
    shown = [m for m in metrics if any(m in result.metrics for result in policies.values())]
    gained = PRIMARY in shown and any(comparison.gains.values())
    if comparison.start:
        policies = {"start": comparison.start, **policies}
    rows, raw = [], []
    for policy, result in policies.items():
        gain = comparison.gains.get(policy, {}).get(PRIMARY) if gained else None
        label = Entry(text="start") if result is comparison.start else named(policy, look[policy])
        row = [label, number(str(len(result.seeds)))]
        found = {metric: result.metrics[metric] for metric in shown if metric in result.metrics}
        for metric in shown:
            row.append(_interval(metric, found.get(metric)))
            if metric == PRIMARY and gained:
                row.append(_gain(gain))
            if metric == PRIMARY:
                row.append(_interval(metric, result.iqm))
        rows.append(tuple(row))
        if gain:
            found |= {f"gain in {PRIMARY}": gain}
        if PRIMARY in found and result.iqm:
            found |= {f"IQM of {PRIMARY}": result.iqm}
        raw += [
            {"policy": policy, "metric": metric, "n_seeds": len(result.seeds)} | asdict(interval)
            for metric, interval in found.items()
        ]
    headings = []
    for metric in shown:
        headings.append(_HEADINGS.get(metric, metric) + (", %" if metric in _SHARES else ""))
        if metric == PRIMARY and gained:
            headings.append("gain, points")
        if metric == PRIMARY:
            headings.append("IQM, %")
    return Table(
        name=name,
        columns=("policy", "seeds", *headings),
        rows=tuple(rows),
        records=tuple(raw),
    )


def pair_table(pairs: Sequence[Pair], comparison: Comparison, *, name: str) -> Table:
    """Paired differences with intervals, tests, the verdict, and what an open one would take."""
    planned = any(pair.seeds_needed for pair in pairs)
    powered = any(pair.detectable is not None for pair in pairs)
    rows = [
        (
            Entry(text=f"{display_name(p.a)} − {display_name(p.b)}"),
            Entry(text=p.metric),
            _points(p.difference, p.low, p.high),
            *([number(_detectable(p.detectable))] if powered else []),
            number(f"{p.probability_of_improvement:.2f}"),
            number(_p_value(p.p_value)),
            number(_p_value(p.p_value_holm)),
            Entry(text=claims(p), quiet=p.verdict == "inconclusive"),
            *([number(_more(more_seeds(p, comparison)))] if planned else []),
        )
        for p in (winner_first(pair) for pair in pairs[:SHOWN])
    ]
    return Table(
        name=name,
        columns=(
            "pair",
            "metric",
            "difference, points",
            *(["detectable, points"] if powered else []),
            "P(first > second)",
            "p",
            "p, Holm",
            "verdict",
            *(["more seeds, about"] if planned else []),
        ),
        rows=tuple(rows),
        records=tuple(asdict(pair) for pair in pairs),
        left_out=rows_left_out(name, len(pairs)),
    )


def _interval(metric: str, interval: Interval | None) -> Entry:
    if interval is None:
        return Entry(text="–", numeric=True)
    factor, digits = (100, 1) if metric in _SHARES else (1, 3 if metric == "kl_to_start" else 1)
    mean, low, high = (
        f"{factor * v:.{digits}f}" for v in (interval.mean, interval.low, interval.high)
    )
    return Entry(text=mean, detail=f"{low}–{high}", numeric=True)


def _gain(interval: Interval | None) -> Entry:
    if interval is None:
        return Entry(text="–", numeric=True)
    return _points(interval.mean, interval.low, interval.high)


def _points(mean: float, low: float, high: float) -> Entry:
    # Adding 0 turns a rounded -0.0 into 0.0.
    points = (round(100 * value, 1) + 0.0 for value in (mean, low, high))
    text, start, end = (f"{value:+.1f}".replace("-", "−") for value in points)
    return Entry(text=text, detail=f"{start} to {end}", numeric=True)


def _detectable(difference: float | None) -> str:
    return "–" if difference is None else f"{100 * difference:.1f}"


def _more(seeds: int | None) -> str:
    return "–" if seeds is None else str(seeds)


def _p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
