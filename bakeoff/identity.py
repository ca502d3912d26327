"""What a cell is: whether its settings fit its method, and the record that names it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bakeoff import provenance, records
from bakeoff.config import BudgetAxis, CellConfig, as_record, identity_record
from bakeoff.errors import ConfigError
from bakeoff.interfaces import Algorithm, Source
from bakeoff.locks import is_unused
from bakeoff.records import RunDirectory
from bakeoff.reward_models.folder import weights_digest


def check_compatible(config: CellConfig, algorithm: Algorithm) -> None:
    """Refuses settings that would make the method mean something else.

    Raises:
        ConfigError: truncated sampling for a method with ratios, greedy training, a pool whose
            size nothing states, or a budget of sampled tokens for a method that samples none.
    """
    plan = algorithm.plan
    if plan.uses_ratios and config.sampling.truncates:
        raise ConfigError(
            f"top_p {config.sampling.top_p:g} and top_k {config.sampling.top_k} cut the "
            f"distribution that {config.method}'s ratios are about; set top_p 1 and top_k 0"
        )
    axis = config.budget.budget_axis
    sized = (BudgetAxis.SAMPLED_TOKENS, BudgetAxis.OPTIMIZER_STEPS)
    if plan.pool is not None and plan.pool.problems is None and axis not in sized:
        raise ConfigError(
            f"{config.method}'s pool has no size when the budget axis is {axis.value}: "
            "set pool_problems"
        )
    if plan.source in (Source.DEMONSTRATIONS, Source.GOLD):
        if axis is BudgetAxis.SAMPLED_TOKENS and plan.updates is None:
            raise ConfigError(
                f"{config.method} samples no tokens, so that budget would never end; give --steps, "
                "or --updates"
            )
    elif config.sampling.temperature == 0:
        raise ConfigError("temperature 0 draws one response only; train at a temperature above 0")


def config_record(config: CellConfig, algorithm: Algorithm) -> dict[str, Any]:
    """config.json: the settings, their hash, and what they mean."""
    settings: dict[str, Any] = as_record(config)
    plan = algorithm.plan
    reward_model = config.reward.reward_model
    return settings | {
        "schema": records.SCHEMA,
        "hash": records.config_hash(identity_record(config)),
        "reward_model_digest": None if reward_model is None else weights_digest(Path(reward_model)),
        "conventions": dict(algorithm.conventions),
        "source": plan.source.value,
        "aggregation": (config.training.aggregation or plan.aggregation).value,
        "updates_per_batch": plan.epochs * plan.minibatches,
        "versions": provenance.versions(),
        "git_revision": provenance.git_revision(),
        "machine": provenance.machine(),
    }


def require_same_run(directory: RunDirectory, record: Mapping[str, Any]) -> None:
    """Refuses a folder that holds anything but this run.

    Raises:
        ConfigError: another run, another reward model's, or what is no run.
    """
    if not directory.config.exists():
        if not is_unused(directory.path):
            raise ConfigError(
                f"{directory.path} is not empty and holds no run; choose another --out"
            )
        return
    there = records.read_json(directory.config)
    if there.get("hash") != record["hash"]:
        raise ConfigError(
            f"{directory.path} holds another run ({there.get('hash')}, this one is "
            f"{record['hash']}); choose another --out, or remove it"
        )
    if there.get("reward_model_digest") != record["reward_model_digest"]:
        raise ConfigError(
            f"{directory.path} was begun with another reward model than is now in "
            f"{record['reward']['reward_model']}; put that one back, or choose another --out"
        )
