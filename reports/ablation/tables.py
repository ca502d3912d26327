"""The tables of an ablation."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from reports.ablation.effects import Contrast, MainEffect, Ranking
from reports.ablation.load import FactorRecord, Trial
from reports.ablation.trials import PEAK_BYTES, TOKENS_PER_SECOND, Setting, Sweep, level_text
from reports.ablation.variance import Source
from reports.canvas import short_count
from reports.load import Cell, Study
from reports.metrics import PRIMARY
from reports.statistics import Interval
from reports.tabular import Entry, Table, number
from reports.verdict import duration, size

COSTS = ("device_seconds", "wall_seconds", "sampled_tokens", "flops")
_HEADINGS = {
    PRIMARY: f"{PRIMARY}, %",
    PEAK_BYTES: "peak memory",
    TOKENS_PER_SECOND: "tokens a second",
}
_NONE = Entry(text="–", numeric=True)


def trials_table(sweep: Sweep, ranking: Ranking | None) -> Table:
    """Every trial with what it measured and cost, best first; the last row is the bill."""
    measured = {s.trial.number: s for s in sweep.settings}
    trials = sorted(
        sweep.ablation.trials,
        key=lambda t: (-measured[t.number].mean if t.number in measured else 1, t.number),
    )
    objectives = [o for o in _HEADINGS if o in sweep.ablation.objectives or o == PRIMARY]
    factors = sweep.ablation.factors
    rows = [_trial_row(sweep, ranking, t, measured.get(t.number), objectives) for t in trials]
    bill = total_cost(sweep.ablation.trials)
    seeds = sum(len(s.seeds) for s in sweep.settings)
    rows.append(
        (
            Entry(text="all"),
            *(Entry(text="") for _ in factors),
            Entry(text=states(sweep.ablation.trials)),
            *(Entry(text="", numeric=True) for _ in range(len(objectives) + 2)),
            number(str(seeds)),
            number(duration(bill["device_seconds"])),
            number(short_count(bill["sampled_tokens"])),
        )
    )
    return Table(
        name="trials",
        columns=(
            "trial",
            *(f.name for f in factors),
            "state",
            *(_HEADINGS[o] for o in objectives),
            "KL, nats",
            "equal rewards, %",
            "seeds",
            "device time",
            "tokens",
        ),
        rows=tuple(rows),
        records=tuple(_trial_record(t, measured.get(t.number)) for t in trials),
    )


def _trial_row(
    sweep: Sweep,
    ranking: Ranking | None,
    trial: Trial,
    setting: Setting | None,
    objectives: Sequence[str],
) -> tuple[Entry, ...]:
    names = [str(trial.number)]
    names += ["best"] * (ranking is not None and setting is ranking.best)
    names += ["baseline"] * (setting is not None and setting is sweep.baseline)
    share = setting.zero_variance_share if setting else None
    return (
        Entry(text=", ".join(names)),
        *(
            Entry(text=level_text(trial.levels[f.name]), numeric=_numeric(f))
            for f in sweep.ablation.factors
        ),
        Entry(text=trial.state, detail=trial.reason, quiet=trial.state != "complete"),
        *(_objective(o, setting.objectives.get(o) if setting else None) for o in objectives),
        _kl(setting.kl_to_start if setting else None),
        _NONE if share is None else number(f"{100 * share:.0f}"),
        number(str(len(setting.seeds)) if setting else "0"),
        number(duration(trial.cost.get("device_seconds", 0.0))),
        number(short_count(trial.cost.get("sampled_tokens", 0.0))),
    )


def _trial_record(trial: Trial, setting: Setting | None) -> dict[str, Any]:
    record: dict[str, Any] = {"trial": trial.number, "arm": trial.arm} | dict(trial.levels)
    record |= {"state": trial.state, "reason": trial.reason}
    record["n_seeds"] = len(setting.seeds) if setting else 0
    for objective, interval in (setting.objectives if setting else {}).items():
        record |= {objective: interval.mean, f"{objective}_low": interval.low,
                   f"{objective}_high": interval.high}  # fmt: skip
    if setting and setting.kl_to_start:
        record["kl_to_start"] = setting.kl_to_start.mean
    if setting:
        record["zero_variance_share"] = setting.zero_variance_share
    return record | {key: trial.cost.get(key, 0.0) for key in COSTS}


def total_cost(trials: Sequence[Trial]) -> dict[str, float]:
    """What all trials spent, pruned and failed ones too."""
    return {key: sum(trial.cost.get(key, 0.0) for trial in trials) for key in COSTS}


def states(trials: Sequence[Trial]) -> str:
    """How many trials are in each state, the most frequent first."""
    found = [trial.state for trial in trials]
    counts = {state: found.count(state) for state in dict.fromkeys(found)}
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(f"{count} {state}" for state, count in ranked)


def factors_table(sweep: Sweep) -> Table:
    """What was varied, over what, and from where."""
    raw = [
        {
            "factor": f.name,
            "unit": f.unit or "–",
            "levels": _tried(f),
            "baseline": "–" if f.baseline is None else level_text(f.baseline),
        }
        for f in sweep.ablation.factors
    ]
    return _plain("factors", raw)


def _tried(factor: FactorRecord) -> str:
    if factor.low is not None and factor.high is not None:
        scale = ", log" if factor.log else ""
        return f"{level_text(factor.low)} to {level_text(factor.high)}{scale}"
    return ", ".join(level_text(level) for level in factor.levels) or "–"


def levels_table(effects: Sequence[MainEffect]) -> Table:
    """pass@1 by the levels of every factor."""
    rows, records = [], []
    for effect in effects:
        for level in effect.levels:
            baseline = effect.factor.baseline in level.values
            rows.append(
                (
                    Entry(text=effect.factor.name),
                    Entry(text=level.text + (", baseline" if baseline else "")),
                    number(str(len(level.settings))),
                    _objective(PRIMARY, level.interval),
                )
            )
            records.append(
                {
                    "factor": effect.factor.name,
                    "level": level.text,
                    "settings": len(level.settings),
                    "balanced": effect.balanced,
                }
                | _ends(level.interval)
            )
    return Table(
        name="levels",
        columns=("factor", "level", "settings", f"mean {PRIMARY}, %"),
        rows=tuple(rows),
        records=tuple(records),
    )


def effects_table(effects: Sequence[MainEffect], importances: Mapping[str, float] | None) -> Table:
    """Every factor's best level against its worst one, like for like."""
    rows, records = [], []
    for effect in effects:
        weight = (importances or {}).get(effect.factor.name)
        like = f"{effect.matched} of {effect.combinations}"
        if effect.span is None:
            tested = (Entry(text="not like for like", quiet=True), *[_NONE] * 2, Entry(text="–"))
        else:
            tested = _contrast(effect.span, name=f"{effect.span.a} − {effect.span.b}")
        row = (Entry(text=effect.factor.name), *tested, number(like))
        rows.append((*row, number(f"{weight:.2f}") if weight is not None else _NONE))
        records.append(
            {
                "factor": effect.factor.name,
                "matched": effect.matched,
                "combinations": effect.combinations,
                "importance": weight,
            }
            | (_contrast_record(effect.span) if effect.span else {})
        )
    return Table(
        name="effects",
        columns=(
            "factor",
            "best − worst level",
            "difference, points",
            "p, corrected",
            "verdict",
            "compared at",
            "importance",
        ),
        rows=tuple(rows),
        records=tuple(records),
    )


def variance_table(sources: Sequence[Source], importances: Mapping[str, float] | None) -> Table:
    """The shares of the spread between trials, beside what noise alone would give."""
    raw = [
        {
            "source": s.name,
            "share": s.share,
            "noise_share": s.noise_share,
            "p_value": s.p_value,
            "importance": (importances or {}).get(s.name),
        }
        for s in sources
    ]
    rows = [
        (
            Entry(text=s.name),
            number(f"{100 * s.share:.1f}"),
            _NONE if s.noise_share is None else number(f"{100 * s.noise_share:.1f}"),
            _NONE if s.p_value is None else number(p_text(s.p_value)),
            number(f"{weight:.2f}") if (weight := (importances or {}).get(s.name)) else _NONE,
        )
        for s in sources
    ]
    return Table(
        name="variance",
        columns=(
            "source",
            "share of variance, %",
            "noise alone, %",
            "p (F)",
            "Optuna's importance",
        ),
        rows=tuple(rows),
        records=tuple(raw),
    )


def baseline_table(sweep: Sweep, ranking: Ranking | None) -> Table:
    """Every setting against the baseline, best first."""
    found = sorted(
        (ranking.against_baseline if ranking else {}).items(),
        key=lambda item: -item[1].interval.mean,
    )
    trials = {s.trial.number: s.trial for s in sweep.settings}
    rows, records = [], []
    for index, contrast in found:
        difference, p_holm, verdict = _contrast(contrast)
        pruned = "pruned" if trials[index].state == "pruned" else ""
        rows.append(
            (
                Entry(text=contrast.a),
                number(str(contrast.seeds)),
                difference,
                _NONE if contrast.seeds < 2 else number(p_text(contrast.p_value)),
                p_holm,
                Entry(text=verdict.text, detail=pruned, quiet=verdict.quiet),
            )
        )
        records.append({"trial": index} | _contrast_record(contrast))
    return Table(
        name="against-baseline",
        columns=("setting", "seeds", "minus the baseline, points", "p", "p, Holm", "verdict"),
        rows=tuple(rows),
        records=tuple(records),
    )


def varied_table(study: Study) -> Table:
    """Every setting that is not the same in all finished cells: the factors, and what they set."""
    found: dict[str, dict[str, None]] = {}
    for cell in study.cells:
        for key, value in _settings(cell).items():
            found.setdefault(key, {})[_words(value)] = None
    raw = [
        {"setting": key, "values": ", ".join(values)}
        for key, values in found.items()
        if len(values) > 1
    ]
    return _plain("varied-settings", raw, columns=("setting", "values"))


def _settings(cell: Cell) -> dict[str, Any]:
    """A cell's flat settings but for its seeds."""
    sections = [
        section
        for name, section in cell.config.items()
        if isinstance(section, Mapping) and name not in ("seeds", "versions", "conventions")
    ]
    return {key: value for section in sections for key, value in section.items()}


def _words(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "none"}[value]
    return level_text(value) if isinstance(value, int | float) else str(value)


def p_text(p: float) -> str:
    """A p value as tables write it."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def points_text(share: float) -> str:
    """A difference of shares in points, with its sign."""
    # Adding 0 turns a rounded -0.0 into 0.0.
    return f"{round(100 * share, 1) + 0.0:+.1f}".replace("-", "−")


def _contrast(contrast: Contrast, *, name: str = "") -> tuple[Entry, ...]:
    interval = contrast.interval
    verdict = "one seed: not known" if contrast.seeds < 2 else contrast.verdict
    return (
        *([Entry(text=name)] if name else []),
        Entry(
            text=points_text(interval.mean),
            detail=f"{points_text(interval.low)} to {points_text(interval.high)}",
            numeric=True,
        ),
        _NONE if contrast.seeds < 2 else number(p_text(contrast.p_value_holm)),
        Entry(text=verdict, quiet=contrast.verdict == "inconclusive"),
    )


def _contrast_record(contrast: Contrast) -> dict[str, Any]:
    return {
        "a": contrast.a,
        "b": contrast.b,
        "n_seeds": contrast.seeds,
        "difference": contrast.interval.mean,
        "low": contrast.interval.low,
        "high": contrast.interval.high,
        "p_value": contrast.p_value,
        "p_value_holm": contrast.p_value_holm,
        "verdict": contrast.verdict,
    }


def _objective(objective: str, interval: Interval | None) -> Entry:
    if interval is None:
        return _NONE
    texts = [_amount(objective, v) for v in (interval.mean, interval.low, interval.high)]
    known = np.isfinite([interval.low, interval.high]).all()
    return Entry(text=texts[0], detail=f"{texts[1]}–{texts[2]}" if known else "", numeric=True)


def _amount(objective: str, value: float) -> str:
    if not np.isfinite(value):
        return "?"
    if objective == PRIMARY:
        return f"{100 * value:.1f}"
    return size(value) if objective == PEAK_BYTES else short_count(value)


def _kl(interval: Interval | None) -> Entry:
    if interval is None:
        return _NONE
    return Entry(
        text=f"{interval.mean:.3f}", detail=f"{interval.low:.3f}–{interval.high:.3f}", numeric=True
    )


def _ends(interval: Interval) -> dict[str, float]:
    return {"mean": interval.mean, "low": interval.low, "high": interval.high}


def _numeric(factor: FactorRecord) -> bool:
    return not any(isinstance(level, str) for level in factor.levels)


def _plain(name: str, raw: Sequence[Mapping[str, Any]], *, columns: tuple[str, ...] = ()) -> Table:
    return Table(
        name=name,
        columns=columns or tuple(raw[0]),
        rows=tuple(tuple(Entry(text=str(value)) for value in row.values()) for row in raw),
        records=tuple(raw),
    )
