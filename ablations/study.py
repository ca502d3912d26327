"""An ablation as declared: factors around a method, a design, seeds and what is measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from ablations.factors import Factor, Point
from bakeoff.errors import ConfigError
from bakeoff.settings import read_yaml, suggestion, validated

STUDIES = Path(__file__).parent / "studies"

Objective = Literal["pass@1", "peak_bytes", "tokens_per_second"]
DIRECTIONS: Mapping[str, Literal["maximize", "minimize"]] = {
    "pass@1": "maximize",
    "peak_bytes": "minimize",
    "tokens_per_second": "maximize",
}
Design = Literal["grid", "leave_one_out", "quasi_random", "tpe"]
FIXED_DESIGNS = ("grid", "leave_one_out")  # the levels alone make their points
# Four differences of one sign have a p-value of 1/16, the first below the pruner's 0.1.
WILCOXON_SEEDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """A study file."""

    study: Annotated[str, "the name of the study and of its folder"]
    title: Annotated[str, "what is varied, for people"]
    question: Annotated[str, "what it is to answer"]
    factors: Annotated[dict[str, Factor], "name -> what varies"]
    seeds: Annotated[tuple[int, ...], "cells of a trial; other than those of comparisons"]
    suite: Annotated[str | None, "suite file with the settings of all; none: the built-in one"] = (
        None
    )
    method: Annotated[str, "arm of the suite, or preset; a level may name another"] = "grpo"
    settings: Annotated[dict[str, Any], "flat settings that all trials share"] = field(
        default_factory=dict
    )
    rollouts_per_step: Annotated[
        int | None, "problems_per_step x group_size, held constant; none: problems_per_step is"
    ] = None
    design: Annotated[
        Design,
        "every combination; the baseline and each factor alone; Sobol points; or points that "
        "Optuna's TPE chooses after a first third of Sobol points",
    ] = "grid"
    trials: Annotated[int | None, "points of a sampling design"] = None
    objectives: Annotated[tuple[Objective, ...], "what a trial is judged by"] = ("pass@1",)
    pruner: Annotated[
        Literal["none", "median", "wilcoxon", "hyperband"],
        "what may end a trial before its last seed",
    ] = "none"
    fits_bytes: Annotated[
        float | None, "a trial that is predicted to need more is pruned before it runs"
    ] = None
    setup: Annotated[
        tuple[str, ...], "bakeoff commands to run first; {folder} is the study's folder"
    ] = ()
    quick: Annotated[
        dict[str, Any] | None, "what --quick replaces: seeds, trials, settings, levels of factors"
    ] = None

    def __post_init__(self) -> None:
        if not self.factors:
            raise ConfigError("an ablation varies at least one factor")
        if not self.seeds or len(set(self.seeds)) != len(self.seeds):
            raise ConfigError(f"seeds must be distinct and at least one, got {list(self.seeds)}")
        if self.design in FIXED_DESIGNS:
            for name, factor in self.factors.items():
                if not factor.levels:
                    raise ConfigError(f"design {self.design} needs levels of factor {name!r}")
            if self.trials is not None:
                raise ConfigError(f"design {self.design} has as many trials as it has points")
        elif self.trials is None or self.trials < 1:
            raise ConfigError(f"design {self.design} needs a number of trials, got {self.trials}")
        if len(self.objectives) > 1 and self.pruner != "none":
            raise ConfigError(
                f"pruner {self.pruner} compares one number; with objectives "
                f"{', '.join(self.objectives)} take pruner none"
            )
        if self.pruner == "wilcoxon" and len(self.seeds) < WILCOXON_SEEDS:
            raise ConfigError(
                f"pruner wilcoxon is sure of nothing before {WILCOXON_SEEDS - 1} seeds, so it "
                f"takes at least {WILCOXON_SEEDS}, got {len(self.seeds)}"
            )
        if len(set(self.objectives)) != len(self.objectives) or not self.objectives:
            raise ConfigError(f"objectives must be distinct, got {list(self.objectives)}")
        if self.rollouts_per_step is not None:
            self._require_divisors(self.rollouts_per_step)

    @property
    def baseline(self) -> Point:
        """Every factor at its baseline."""
        return {name: factor.baseline_level for name, factor in self.factors.items()}

    def _require_divisors(self, rollouts: int) -> None:
        for name, factor in self.factors.items():
            if (factor.field or name) != "group_size":
                continue
            if factor.has_range and self.design not in FIXED_DESIGNS:
                raise ConfigError(
                    f"rollouts_per_step {rollouts} is not divisible by every group size between "
                    f"{factor.low} and {factor.high}; give levels instead of low and high"
                )
            for level in factor.level_names:
                if isinstance(level, int) and rollouts % level:
                    raise ConfigError(
                        f"rollouts_per_step {rollouts} is not divisible by group size {level}"
                    )


def load_ablation(name: str) -> Ablation:
    """An ablation from a YAML file, or by the name of one that ships.

    Raises:
        ConfigError: no such file or name, or what it declares cannot be.
    """
    shipped = {path.stem: path for path in sorted(STUDIES.glob("*.yaml"))}
    path = shipped.get(name, Path(name))
    if not path.exists():
        raise ConfigError(
            f"{name!r} is neither a file nor a study that ships{suggestion(name, shipped)}"
        )
    return checked_ablation(read_yaml(path), where=str(path))


def checked_ablation(values: Mapping[str, Any], *, where: str) -> Ablation:
    """An ablation from plain values; unknown keys are refused, also those of a factor.

    Raises:
        ConfigError: it cannot be; names the factor at fault.
    """
    factors = values.get("factors")
    for name, factor in factors.items() if isinstance(factors, Mapping) else ():
        if not isinstance(factor, Mapping):
            raise ConfigError(f"{where}: factor {name!r} must be a mapping with levels")
        try:
            validated(Factor, factor, where=name)
        except ConfigError as error:
            told = str(error).removeprefix(f"{name}: ")
            raise ConfigError(f"{where}: factor {name!r}: {told}") from None
    return validated(Ablation, values, where=where)


def quick(ablation: Ablation) -> Ablation:
    """The small study that the file declares for ``--quick``.

    Raises:
        ConfigError: it declares none, or levels of a factor that it has not.
    """
    if ablation.quick is None:
        raise ConfigError(f"study {ablation.study!r} has no quick section")
    small = dict(ablation.quick)
    factors = dict(ablation.factors)
    for name, levels in small.pop("levels", {}).items():
        if name not in factors:
            raise ConfigError(f"quick: {name!r} is no factor{suggestion(name, factors)}")
        factors[name] = _narrowed(factors[name], levels)
    return replace(
        ablation,
        study=f"{ablation.study}-quick",
        factors=factors,
        seeds=tuple(small.pop("seeds", ablation.seeds)),
        trials=small.pop("trials", ablation.trials),
        settings=ablation.settings | small,
        quick=None,
    )


def redesigned(ablation: Ablation, *, design: str | None, trials: int | None) -> Ablation:
    """The study with its factors in another design, or with more points; None keeps what it says.

    Raises:
        ConfigError: no such design, or one that the factors or the number of trials do not fit.
    """
    known: dict[str, Design] = {one: one for one in get_args(Design)}
    if design is not None and design not in known:
        raise ConfigError(f"unknown design {design!r}{suggestion(design, known)}")
    chosen = ablation.design if design is None else known[design]
    if trials is None and chosen not in FIXED_DESIGNS:
        trials = ablation.trials
    return replace(ablation, design=chosen, trials=trials)


def _narrowed(factor: Factor, levels: list[Any]) -> Factor:
    kept: tuple[Any, ...] | dict[str, dict[str, Any]] = tuple(levels)
    if isinstance(factor.levels, Mapping):
        for name in levels:
            if name not in factor.levels:
                raise ConfigError(f"quick: {name!r} is no level{suggestion(name, factor.levels)}")
        kept = {name: factor.levels[name] for name in levels}
    baseline = factor.baseline if factor.baseline in levels else None
    return replace(factor, levels=kept, baseline=baseline)
