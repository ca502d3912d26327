from dataclasses import replace

import pytest

from algorithms import PRESETS
from algorithms.configs import RFTConfig
from algorithms.registry import build
from bakeoff.config import BudgetAxis, BudgetConfig
from bakeoff.errors import ConfigError
from bakeoff.identity import check_compatible, config_record
from bakeoff.settings import cell_config


def config_of(name, **settings):
    return cell_config(name, PRESETS[name], settings)


@pytest.mark.parametrize("name", ["ppo", "grpo"])
def test_methods_with_ratios_refuse_truncated_sampling(name):
    for cut in ({"top_p": 0.9}, {"top_k": 5}):
        with pytest.raises(ConfigError, match="set top_p 1 and top_k 0"):
            check_compatible(config_of(name, **cut), build(PRESETS[name]))


@pytest.mark.parametrize("name", ["rft", "online_rft"])
def test_methods_without_ratios_may_truncate(name):
    check_compatible(config_of(name, top_p=0.9), build(PRESETS[name]))


def test_greedy_training_is_refused():
    with pytest.raises(ConfigError, match="temperature"):
        check_compatible(config_of("grpo", temperature=0), build(PRESETS["grpo"]))


def test_demonstrations_have_no_budget_of_sampled_tokens():
    with pytest.raises(ConfigError, match="--steps"):
        check_compatible(config_of("sft"), build(PRESETS["sft"]))


def test_a_pool_without_a_size_is_refused():
    config = config_of("rft", budget_axis="device_seconds", budget=60)
    with pytest.raises(ConfigError, match="pool_problems"):
        check_compatible(config, build(RFTConfig()))
    check_compatible(config, build(RFTConfig(pool_problems=8)))


def test_the_identity_is_the_settings_and_nothing_else():
    algorithm = build(PRESETS["grpo"])
    one, again = (config_record(config_of("grpo"), algorithm) for _ in range(2))
    assert one["hash"] == again["hash"]
    budget = BudgetConfig(budget_axis=BudgetAxis.FLOPS, budget=1e9)
    other = config_record(replace(config_of("grpo"), budget=budget), algorithm)
    assert other["hash"] != one["hash"]
    assert one["conventions"].keys() == {"advantage", "loss", "kl"}
