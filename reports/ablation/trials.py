"""What each trial of an ablation measured. S seeds, P problems."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from reports.ablation.load import Ablation, FactorRecord, Level, Trial
from reports.load import Cell, Study
from reports.metrics import PRIMARY, SCORES, problems_of, score_table
from reports.seed_statistics import seed_interval
from reports.statistics import FloatArray, Interval, mean_interval, share_interval

PEAK_BYTES = "peak_bytes"
TOKENS_PER_SECOND = "tokens_per_second"
# A trial that failed has numbers of some seeds, but it is no setting that anyone could choose.
SCORED = ("complete", "pruned")
_LONGEST = 44  # characters of a label; beyond it the trial's number says more


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Setting:
    """A trial with final scores."""

    trial: Trial
    label: str  # the levels in words, or the trial's number
    seeds: tuple[int, ...]  # with a final evaluation
    scores: FloatArray  # [S, P] pass@1 at every seed and problem of the study; NaN where absent
    objectives: Mapping[str, Interval]  # with one seed, what no problem tells has infinite ends
    kl_to_start: Interval | None  # achieved, nats
    zero_variance_share: float | None  # of groups, mean over batches and seeds

    @property
    def complete(self) -> bool:
        """Whether no pruner ended it."""
        return self.trial.state == "complete"

    @property
    def mean(self) -> float:
        """pass@1 over its seeds and problems."""
        return self.objectives[PRIMARY].mean


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The trials of a study on common seeds and problems."""

    study: Study
    ablation: Ablation
    seeds: tuple[int, ...]
    problems: tuple[str, ...]
    settings: tuple[Setting, ...]  # by trial number
    baseline: Setting | None  # None where no trial with its levels has scores

    @property
    def complete(self) -> tuple[Setting, ...]:
        """The settings that no pruner ended."""
        return tuple(setting for setting in self.settings if setting.complete)


def sweep_of(study: Study, *, rng: np.random.Generator) -> Sweep:
    """The measured trials of an ablation's study."""
    ablation = study.ablation
    assert ablation is not None
    finals = {
        trial.number: {
            cell.seed: point
            for cell in study.of(trial.arm)
            if (point := cell.final(study.split)) is not None
        }
        for trial in ablation.trials
        if trial.state in SCORED and _speaks_for_its_arm(trial, ablation)
    }
    seeds = tuple(sorted({*study.seeds, *(s for points in finals.values() for s in points)}))
    problems = problems_of([point for points in finals.values() for point in points.values()])
    settings = []
    for trial in ablation.trials:
        points = finals.get(trial.number, {})
        found = score_table(list(points.values()), SCORES[PRIMARY], problems=problems)
        scores = np.full((len(seeds), len(problems)), np.nan)
        for seed, row in zip(points, found, strict=True):
            scores[seeds.index(seed)] = row
        if np.isfinite(scores).any():
            cells = [cell for cell in study.of(trial.arm) if cell.seed in points]
            kl = score_table(list(points.values()), SCORES["kl_to_start"], problems=problems)
            settings.append(
                Setting(
                    trial=trial,
                    label=label_of(trial, ablation),
                    seeds=tuple(points),
                    scores=scores,
                    objectives=_objectives(scores, cells, rng),
                    kl_to_start=mean_interval(kl, rng=rng) if np.isfinite(kl).any() else None,
                    zero_variance_share=_mean_of_batches(cells, "zero_variance_share"),
                )
            )
    return Sweep(
        study=study,
        ablation=ablation,
        seeds=seeds,
        problems=problems,
        settings=tuple(settings),
        baseline=next((s for s in settings if is_baseline(s.trial, ablation)), None),
    )


def is_baseline(trial: Trial, ablation: Ablation) -> bool:
    """Whether every factor is at its baseline."""
    return all(trial.levels[f.name] == f.baseline for f in ablation.factors)


def away_from_baseline(trial: Trial, ablation: Ablation) -> tuple[FactorRecord, ...]:
    """The factors that the trial moves."""
    return tuple(f for f in ablation.factors if trial.levels[f.name] != f.baseline)


def label_of(trial: Trial, ablation: Ablation) -> str:
    """The levels of one or two factors, of more the moved ones; the number where that is long."""
    if len(ablation.factors) <= 2:
        named: Sequence[FactorRecord] = ablation.factors
    else:
        named = away_from_baseline(trial, ablation)
    words = ", ".join(f"{f.name} {level_text(trial.levels[f.name])}" for f in named)
    return (words or "baseline") if len(words) <= _LONGEST else f"trial {trial.number}"


def level_text(level: Level) -> str:
    """A level as people write it: 1e-5, 0.04, 16, token_mean."""
    if isinstance(level, str):
        return level
    if level == int(level) and abs(level) < 1e5:
        return str(int(level))
    if 1e-3 <= abs(level) < 1e5:
        return f"{level:.4g}"
    mantissa, _, exponent = f"{level:.2e}".partition("e")
    return f"{float(mantissa):g}e{int(exponent)}"


def mean_known(values: FloatArray, *, axis: int) -> FloatArray:
    """Means over an axis of what is finite; NaN where nothing is."""
    known = np.isfinite(values)
    counts = known.sum(axis=axis)
    totals = np.where(known, values, 0.0).sum(axis=axis)
    return np.where(counts > 0, totals / np.maximum(counts, 1), np.nan)


def _speaks_for_its_arm(trial: Trial, ablation: Ablation) -> bool:
    """The last of the trials that share an arm, and so its cells, counts once for all of them."""
    return trial.number == max(
        t.number for t in ablation.trials if t.arm == trial.arm and t.state in SCORED
    )


def _objectives(
    scores: FloatArray, cells: Sequence[Cell], rng: np.random.Generator
) -> dict[str, Interval]:
    known = np.isfinite(scores).any(axis=1)
    found = {PRIMARY: share_interval(scores[known], rng=rng)}
    for objective, measure in ((PEAK_BYTES, _peak_bytes), (TOKENS_PER_SECOND, _tokens_per_second)):
        by_seed = {c.seed: value for c in cells if (value := measure(c)) is not None}
        if by_seed:
            found[objective] = seed_interval(by_seed.values())
    return found


def _peak_bytes(cell: Cell) -> float | None:
    phases = (cell.ledger.get("peak_bytes") or {}).values()
    # A phase is a number, or bytes by component.
    peaks = [sum(p.values()) if isinstance(p, Mapping) else p for p in phases]
    return float(max(peaks)) if peaks else None


def _tokens_per_second(cell: Cell) -> float | None:
    value = cell.ledger.get("tokens_per_second")
    return None if value is None else float(value)


def _mean_of_batches(cells: Sequence[Cell], key: str) -> float | None:
    means = [
        float(np.nanmean(values))
        for cell in cells
        if (values := cell.metrics.get(key)) is not None and np.isfinite(values).any()
    ]
    return float(np.mean(means)) if means else None
