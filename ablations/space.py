"""The search space: from a point of a design to the frozen configs of its cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ablations.factors import Level, plain_level
from ablations.study import Ablation
from bakeoff.config import CellConfig
from bakeoff.errors import ConfigError
from bakeoff.settings import cell_config, section_names
from benchmarks.methods import method_defaults
from benchmarks.suite import Cell, load_suite

# What set-up commands have options for too: who responds, to what, and how.
WORLD = ("model", "task", "sampling")
# Choosing on what is reported later would flatter the choice, so the test split stays unseen.
JUDGED_ON = {"evaluation_split": "validation", "ood_problems": 0, "evaluate_start": False}


def cells_of(
    ablation: Ablation, point: Mapping[str, Level], *, folder: Path, overrides: Mapping[str, Any]
) -> list[Cell]:
    """The cells of a trial, one a seed.

    Args:
        ablation: what is declared.
        point: factor -> level.
        folder: of the study, where settings say ``{folder}``.
        overrides: flat settings of the command line; they reach every trial.

    Raises:
        ConfigError: settings that cannot run together, or a flag that the study would overrule.
    """
    suite = load_suite(None if ablation.suite is None else Path(ablation.suite))
    varied: dict[str, Any] = {}
    for name, level in point.items():
        varied |= ablation.factors[name].settings(name, level)
    _require_own_say(overrides, ablation, varied)
    method = str(varied.pop("method", ablation.method))
    own = dict(suite.methods.get(method) or {})
    preset = str(own.pop("method", method))
    values = suite.settings | own | ablation.settings | JUDGED_ON | dict(overrides) | varied
    values = {name: _placed(value, folder) for name, value in values.items()}
    where = f"study {ablation.study!r}, {arm_name(point)}"
    config = cell_config(preset, method_defaults(preset), values, where=where)
    if ablation.rollouts_per_step is not None:
        config = _with_rollouts(config, ablation.rollouts_per_step)
    return [
        Cell(
            arm=method,
            method=preset,
            seed=seed,
            config=replace(config, seeds=replace(config.seeds, seed=seed)),
        )
        for seed in ablation.seeds
    ]


def arm_name(point: Mapping[str, Level]) -> str:
    """What a trial is called in the report."""
    return " ".join(f"{name}={_text(level)}" for name, level in point.items())


def flags_beside_setup(ablation: Ablation, overrides: Mapping[str, Any]) -> list[str]:
    """Flags that change the world of the trials, while set-up commands keep the one they state."""
    names = section_names()
    world = {name for section in WORLD for name in names[section]}
    return [_flag(name) for name in overrides if ablation.setup and name in world]


def _require_own_say(
    overrides: Mapping[str, Any], ablation: Ablation, varied: Mapping[str, Any]
) -> None:
    held = {"seed"} if ablation.rollouts_per_step is None else {"seed", "problems_per_step"}
    for name in overrides:
        if name in varied or name in held:
            raise ConfigError(
                f"{_flag(name)} does nothing: study {ablation.study!r} says what {name} is in each "
                "trial; leave it out, or copy the study file and change it"
            )


def _with_rollouts(config: CellConfig, rollouts: int) -> CellConfig:
    group_size = config.method_settings.get("group_size")
    if not group_size or rollouts % group_size:
        raise ConfigError(
            f"rollouts_per_step {rollouts} needs a group_size that divides it, got {group_size}"
        )
    return replace(
        config, training=replace(config.training, problems_per_step=rollouts // group_size)
    )


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _placed(value: Any, folder: Path) -> Any:
    return value.replace("{folder}", str(folder)) if isinstance(value, str) else value


def _text(level: Level) -> str:
    return f"{level:.4g}" if isinstance(level, float) else str(plain_level(level))
