"""An ablation's first words: three sentences that follow from the numbers and from nothing else."""

from collections.abc import Sequence

from reports.ablation.effects import Contrast, MainEffect, Ranking
from reports.ablation.tables import p_text, points_text, total_cost
from reports.ablation.trials import Sweep
from reports.canvas import short_count
from reports.metrics import PRIMARY
from reports.verdict import duration

NAMED = 4  # factors that still read as a sentence


def sentences(
    sweep: Sweep, ranking: Ranking | None, effects: Sequence[MainEffect]
) -> tuple[str, str, str]:
    """The best setting, the factor that mattered most, and what the search cost."""
    return (_best(sweep, ranking), _factors(sweep, effects), _cost(sweep))


def _best(sweep: Sweep, ranking: Ranking | None) -> str:
    if ranking is None:
        return "No trial is complete, so there is no best setting."
    best = ranking.best
    score = best.objectives[PRIMARY]
    number = (
        f"{100 * score.mean:.1f} % (95 % interval {100 * score.low:.1f} to {100 * score.high:.1f})"
    )
    place = f"On the {sweep.study.split} split, {_named(sweep, best.label)}"
    limit = "" if sweep.ablation.fits_bytes is None else " of the settings that fit into memory"
    if not sweep.study.gate.passed:
        return f"{place} has the highest mean {PRIMARY}, which does not rank it: {number}."
    if best is sweep.baseline:
        rest = "no setting has a higher mean than the baseline"
        text = f"{place} is the baseline, and {rest}{limit}: {number}"
    elif ranking.gain is not None:
        text = f"{place} has the highest mean {PRIMARY}{limit}, {number}, {_gain(ranking)}"
    else:
        text = (
            f"{place} has the highest mean {PRIMARY}{limit}, {number}; no trial has the "
            "baseline's setting, so its gain is not known"
        )
    return f"{text}."


def _gain(ranking: Ranking) -> str:
    gain = ranking.gain
    assert gain is not None
    what = f"{points_text(gain.interval.mean)} points against the baseline ({_ends(gain)}"
    if gain.seeds < 2:
        return f"{what}, of problems alone): with one seed it cannot be known whether it is better"
    family = f" after Holm's correction over {ranking.tests} settings" if ranking.tests > 1 else ""
    p = p_text(gain.p_value_holm)
    return f"{what}; p {'' if p.startswith('<') else '= '}{p}{family}): {gain.verdict}"


def caution(sweep: Sweep, ranking: Ranking | None) -> str:
    """How far the runner-up is, and what choosing the best does to its number."""
    if ranking is None or ranking.lead is None:
        return ""
    lead = ranking.lead
    if lead.seeds < 2:
        known = "rests on one seed"
    elif lead.verdict == "inconclusive":
        known = "is inconclusive"
    else:
        known = "stands out before any correction for choosing it"
    return (
        f"The best setting's lead of {points_text(lead.interval.mean)} points over "
        f"{_named(sweep, lead.b)} ({_ends(lead)}) {known}. As the best of {ranking.candidates} it "
        f"was chosen on the very {sweep.study.split} problems and seeds that it is judged on: part "
        "of its score is luck, and a new run will tend to fall short of it (winner's curse)."
    )


def _factors(sweep: Sweep, effects: Sequence[MainEffect]) -> str:
    if not effects:
        return "No factor was completed at two levels, so no effect is known."
    tested = [(e, e.span) for e in effects if e.span is not None]
    if not tested:
        return (
            f"{_importance(sweep)}no factor was completed at two levels with all else equal, so "
            "none can be told from noise."
        )
    effect, span = max(tested, key=lambda pair: abs(pair[1].interval.mean))
    noise = [e.factor.name for e, s in tested if s.verdict == "inconclusive"]
    named = effect.factor.name
    head = f"The largest effect is {named}'s" if named in noise else f"{named} mattered most"
    most = (
        f"{head}: {span.a} instead of {span.b} is "
        f"{points_text(span.interval.mean)} points ({_ends(span)})"
    )
    if not effect.balanced:
        most += (
            f", compared at {effect.matched} of {effect.combinations} combinations of the others, "
            "which every level completed"
        )
    if span.seeds < 2:
        return f"{most}; with one seed no factor can be told from noise."
    untested = [e.factor.name for e in effects if e.span is None]
    parts = [most]
    if noise:
        parts.append(f"{_listed(noise)} could not be told from noise")
    elif len(tested) > 1:
        parts.append("every factor that was compared like for like stands out from noise")
    else:
        parts.append("it stands out from noise")
    if untested:
        parts.append(f"{_listed(untested)} had no levels with all else equal")
    return "; ".join(parts) + "."


def _importance(sweep: Sweep) -> str:
    importances = sweep.ablation.importances
    if not importances:
        return "There are no importances, and "
    most = max(importances, key=lambda name: importances[name])
    return (
        f"By Optuna's importances {most} mattered most ({importances[most]:.2f} of the variance "
        "between trials), but "
    )


def _cost(sweep: Sweep) -> str:
    trials = sweep.ablation.trials
    bill = total_cost(trials)
    counts = {
        words: sum(trial.state == state for trial in trials)
        for state, words in (
            ("pruned", "pruned"),
            ("failed", "failed"),
            ("running", "still running"),
            ("waiting", "still waiting"),
        )
    }
    told = [f"{count} {words}" for words, count in counts.items() if count]
    seeds = {len(setting.seeds) for setting in sweep.complete}
    each = f", at {_range(seeds)} a complete trial" if seeds else ""
    return (
        f"The {len(trials)} {'trial' if len(trials) == 1 else 'trials'} took "
        f"{duration(bill['device_seconds'])} of device time and "
        f"{short_count(bill['sampled_tokens'])} sampled tokens{each}; "
        f"{_listed(told) if told else 'none was pruned and none failed'}."
    )


def _range(seeds: set[int]) -> str:
    low, high = min(seeds), max(seeds)
    if low == high:
        return f"{low} {'seed' if low == 1 else 'seeds'}"
    return f"{low} to {high} seeds"


def _ends(contrast: Contrast) -> str:
    return f"{points_text(contrast.interval.low)} to {points_text(contrast.interval.high)}"


def _named(sweep: Sweep, label: str) -> str:
    """A label that is a number alone, with the levels it stands for."""
    if label == "baseline":
        return "the baseline"
    for setting in sweep.settings:
        if setting.label == label and label.startswith("trial "):
            return f"{label} ({setting.trial.arm})"
    return label


def _listed(names: Sequence[str]) -> str:
    if len(names) > NAMED:
        return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} others"
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
