"""The tables of a report."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from reports.canvas import short_count
from reports.comparison import Comparison, Pair, Result, winner_first
from reports.load import Cell, Study
from reports.metrics import METRICS, PRIMARY
from reports.palette import PHASES, display_name, marks
from reports.statistics import Interval
from reports.tabular import Entry, Table
from reports.verdict import claims, duration, size

SECTIONS = ("model", "task", "reward", "sampling", "optimizer", "training", "budget", "evaluation")
_SHARES = {m for m in METRICS if "@" in m} | {"greedy", "format_rate"}
_BEHAVIOUR = ("format_rate", "response_tokens", "kl_to_start")
_HEADINGS = {
    "format_rate": "answers in format",
    "response_tokens": "response tokens",
    "kl_to_start": "KL to the start, nats",
    "ood_pass@1": "OOD pass@1",
}
_SOURCES = {
    "current_policy": "current policy",
    "initial_policy": "starting policy, pool sampled first",
    "demonstrations": "demonstrations",
}


def final_table(study: Study, comparison: Comparison) -> Table:
    """Start and methods against every accuracy that some policy has, with intervals."""
    return _metric_table("final", study, comparison, [m for m in METRICS if m not in _BEHAVIOUR])


def behaviour_table(study: Study, comparison: Comparison) -> Table:
    """Start and methods against format, length and distance from the start, with intervals."""
    return _metric_table("behaviour", study, comparison, _BEHAVIOUR)


def _metric_table(name: str, study: Study, comparison: Comparison, metrics: Sequence[str]) -> Table:
    policies: dict[str, Result] = dict(comparison.methods)
    shown = [m for m in metrics if any(m in result.metrics for result in policies.values())]
    gained = PRIMARY in shown and any(comparison.gains.values())
    if comparison.start:
        policies = {"start": comparison.start, **policies}
    rows, raw = [], []
    for policy, result in policies.items():
        gain = comparison.gains.get(policy, {}).get(PRIMARY) if gained else None
        label = Entry(text="start") if result is comparison.start else _method(study, policy)
        row = [label, _number(str(len(result.seeds)))]
        found = {metric: result.metrics[metric] for metric in shown if metric in result.metrics}
        for metric in shown:
            row.append(_interval(metric, found.get(metric)))
            if metric == PRIMARY and gained:
                row.append(_gain(gain))
        rows.append(tuple(row))
        if gain:
            found |= {f"gain in {PRIMARY}": gain}
        raw += [
            {"policy": policy, "metric": metric, "n_seeds": len(result.seeds)} | asdict(interval)
            for metric, interval in found.items()
        ]
    headings = []
    for metric in shown:
        headings.append(_HEADINGS.get(metric, metric) + (", %" if metric in _SHARES else ""))
        if metric == PRIMARY and gained:
            headings.append("gain, points")
    return Table(
        name=name,
        columns=("policy", "seeds", *headings),
        rows=tuple(rows),
        records=tuple(raw),
    )


def pair_table(pairs: Sequence[Pair], *, name: str) -> Table:
    """Paired differences with intervals, tests and the verdict."""
    rows = [
        (
            Entry(text=f"{display_name(p.a)} − {display_name(p.b)}"),
            Entry(text=p.metric),
            _points(p.difference, p.low, p.high),
            _number(f"{p.probability_of_improvement:.2f}"),
            _number(_p_value(p.p_value)),
            _number(_p_value(p.p_value_holm)),
            Entry(text=claims(p), quiet=p.verdict == "inconclusive"),
        )
        for p in (winner_first(pair) for pair in pairs)
    ]
    return Table(
        name=name,
        columns=(
            "pair",
            "metric",
            "difference, points",
            "P(first > second)",
            "p",
            "p, Holm",
            "verdict",
        ),
        rows=tuple(rows),
        records=tuple(asdict(pair) for pair in pairs),
    )


def equivalence_table(study: Study) -> Table:
    """What each method's name means here, from its frozen config."""
    raw = []
    for method in study.methods:
        config = study.of(method)[0].config
        conventions = config.get("conventions", {})
        source = str(config.get("source", "?"))
        raw.append(
            {
                "method": method,
                "data source": _SOURCES.get(source, source),
                "reward": _reward(config.get("reward", {})),
                "advantage": conventions.get("advantage", "?"),
                "token loss": conventions.get("loss", "?"),
                "KL: place and estimator": conventions.get("kl", "?"),
                "aggregation": config.get("aggregation", "?"),
                "learning rate": config.get("optimizer", {}).get("learning_rate", "?"),
                "group size": config.get("method_settings", {}).get("group_size", "–"),
                "updates a batch": config.get("updates_per_batch", "?"),
            }
        )
    return _from_records("equivalence", study, raw)


def _reward(reward: Mapping[str, Any]) -> str:
    """The reward function and what is taken off it."""
    shaped = {
        f"length penalty {reward.get('length_penalty')}": reward.get("length_penalty"),
        f"overlong buffer {reward.get('overlong_buffer_tokens')}": reward.get(
            "overlong_buffer_tokens"
        ),
        f"wrong {reward.get('wrong_reward')}": reward.get("wrong_reward"),
    }
    return ", ".join(
        [str(reward.get("reward", "?")), *(text for text, set_ in shaped.items() if set_)]
    )


def settings_table(study: Study) -> Table:
    """Every setting that is the same in all finished cells."""
    first, *rest = [_flat(cell) for cell in study.cells]
    common = {k: v for k, v in first.items() if all(other.get(k) == v for other in rest)}
    records = [{"setting": key, "value": _setting(value)} for key, value in common.items()]
    rows = [(Entry(text=r["setting"]), Entry(text=r["value"])) for r in records]
    return Table(
        name="settings", columns=("setting", "value"), rows=tuple(rows), records=tuple(records)
    )


def own_settings_table(study: Study) -> Table:
    """Every setting in which methods differ, and the methods' own ones."""
    by_method = {m: _flat(study.of(m)[0]) | _own(study.of(m)[0]) for m in study.methods}
    keys = list(dict.fromkeys(key for settings in by_method.values() for key in settings))
    records = []
    for key in keys:
        values = {m: settings[key] for m, settings in by_method.items() if key in settings}
        own = key.startswith("method.")
        if own or len(values) < len(by_method) or len({_setting(v) for v in values.values()}) > 1:
            records.append(
                {"setting": key.removeprefix("method.")}
                | {m: _setting(values[m]) if m in values else "" for m in study.methods}
            )
    rows = [
        (Entry(text=r["setting"]), *(Entry(text=r[m] or "–") for m in study.methods))
        for r in records
    ]
    return Table(
        name="own-settings",
        columns=("setting", *(display_name(m) for m in study.methods)),
        rows=tuple(rows),
        records=tuple(records),
    )


_COUNTS = (
    ("problems", "problems"),
    ("rollouts", "rollouts"),
    ("sampled_tokens", "sampled tokens"),
    ("trained_tokens", "trained tokens"),
    ("verifier_calls", "verifier calls"),
    ("verifier_errors", "verifier errors"),
    ("reward_model_tokens", "reward-model tokens"),
    ("optimizer_steps", "optimizer steps"),
    ("flops", "FLOPs"),
    ("tokens_per_second", "sampled tokens a second"),
)


def cost_table(study: Study) -> Table:
    """What a cell of each method spent, means over its seeds; methods are columns."""
    by_method = {m: [_spending(cell) for cell in study.of(m)] for m in study.methods}
    keys = list(dict.fromkeys(k for spent in by_method.values() for cell in spent for k in cell))
    phases = [phase for group in PHASES.values() for phase in group]
    order = [key for key, _ in _COUNTS] + ["device_seconds", "wall_seconds"]
    order += [f"{what}: {phase}" for what in ("seconds", "peak memory") for phase in phases]
    keys.sort(key=lambda key: order.index(key) if key in order else len(order))
    means = {
        m: {k: float(np.mean([cell.get(k, 0.0) for cell in spent])) for k in keys}
        for m, spent in by_method.items()
    }
    names = dict(_COUNTS) | {"device_seconds": "device time, charged", "wall_seconds": "wall time"}
    shown = [key for key in keys if any(means[m][key] for m in study.methods)]
    rows = [
        (
            Entry(text=names.get(key, key)),
            *(_number(_amount(key, means[m][key])) for m in study.methods),
        )
        for key in shown
    ]
    return Table(
        name="cost",
        columns=("mean of a cell", *(display_name(m) for m in study.methods)),
        rows=tuple(rows),
        records=tuple({"method": m, "n_seeds": len(by_method[m])} | means[m] for m in means),
    )


def skipped_table(study: Study) -> Table:
    """The cells that no number includes."""
    records = [asdict(cell) for cell in study.skipped]
    rows = [
        (
            _method_name(c.method),
            _number(str(c.seed)),
            Entry(text=c.state),
            Entry(text=c.message or "–"),
            Entry(text=c.directory),
        )
        for c in study.skipped
    ]
    return Table(
        name="skipped",
        columns=("method", "seed", "state", "message", "directory"),
        rows=tuple(rows),
        records=tuple(records),
    )


def cells_table(study: Study) -> Table:
    """Every finished run with its identity and final pass@1."""
    records = [
        {
            "method": cell.method,
            "seed": cell.seed,
            "hash": cell.config.get("hash", ""),
            "git_revision": cell.config.get("git_revision", ""),
            "directory": cell.directory,
        }
        for method in study.methods
        for cell in study.of(method)
    ]
    rows = [
        (
            _method(study, r["method"]),
            _number(str(r["seed"])),
            *(Entry(text=str(r[key])[:12] or "–") for key in ("hash", "git_revision")),
            Entry(text=r["directory"]),
        )
        for r in records
    ]
    return Table(
        name="cells",
        columns=("method", "seed", "config hash", "git revision", "directory"),
        rows=tuple(rows),
        records=tuple(records),
    )


def _from_records(name: str, study: Study, raw: Sequence[Mapping[str, Any]]) -> Table:
    return Table(
        name=name,
        columns=tuple(raw[0]),
        rows=tuple(
            (
                _method(study, record["method"]),
                *(Entry(text=_setting(value)) for value in list(record.values())[1:]),
            )
            for record in raw
        ),
        records=tuple(raw),
    )


def _spending(cell: Cell) -> dict[str, float]:
    ledger = cell.ledger
    spent = {key: float(ledger.get(key) or 0.0) for key, _ in _COUNTS}
    for key in ("device_seconds", "wall_seconds"):
        spent[key] = float(ledger.get(key) or 0.0)
    spent |= {f"seconds: {phase}": float(s) for phase, s in ledger.get("seconds", {}).items()}
    spent |= {
        f"peak memory: {phase}": float(b) for phase, b in ledger.get("peak_bytes", {}).items()
    }
    return spent


def _amount(key: str, value: float) -> str:
    if key.startswith("peak memory"):
        return size(value) if value else "–"
    if key.startswith("seconds: ") or key in ("device_seconds", "wall_seconds"):
        return duration(value) if value else "–"
    return f"{value:.2e}" if key == "flops" else short_count(value) if value else "–"


def _flat(cell: Cell) -> dict[str, Any]:
    return {
        key: value
        for section in SECTIONS
        for key, value in (cell.config.get(section) or {}).items()
    }


def _own(cell: Cell) -> dict[str, Any]:
    return {f"method.{k}": v for k, v in (cell.config.get("method_settings") or {}).items()}


def _setting(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


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


def _method(study: Study, method: str) -> Entry:
    return Entry(text=display_name(method), variable=marks(study.methods)[method].variable)


def _method_name(method: str) -> Entry:
    return Entry(text=display_name(method))


def _number(text: str) -> Entry:
    return Entry(text=text, numeric=True)


def _p_value(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"
