from dataclasses import replace

import pytest

from algorithms import PRESETS
from algorithms.configs import DPOConfig, RFTConfig, SFTConfig
from algorithms.registry import build
from bakeoff.config import BudgetAxis, BudgetConfig
from bakeoff.errors import ConfigError
from bakeoff.identity import check_compatible, config_record
from bakeoff.settings import cell_config


def config_of(name, **settings):
    return cell_config(name, PRESETS[name], settings)


WITH_RATIOS = [name for name, config in PRESETS.items() if build(config).plan.uses_ratios]


def test_the_methods_with_ratios_are_those_with_a_clip():
    assert sorted(WITH_RATIOS) == sorted(
        name
        for name, config in PRESETS.items()
        if hasattr(config, "clip_epsilon") or hasattr(config, "ratio_limit")
    )


@pytest.mark.parametrize("name", WITH_RATIOS)
def test_methods_with_ratios_refuse_truncated_sampling(name):
    for cut in ({"top_p": 0.9}, {"top_k": 5}):
        with pytest.raises(ConfigError, match="set top_p 1 and top_k 0"):
            check_compatible(config_of(name, **cut), build(PRESETS[name]))


@pytest.mark.parametrize("name", ["rft", "online_rft", "dpo", "rloo"])
def test_methods_without_ratios_may_truncate(name):
    check_compatible(config_of(name, top_p=0.9), build(PRESETS[name]))


def test_greedy_training_is_refused():
    with pytest.raises(ConfigError, match="temperature"):
        check_compatible(config_of("grpo", temperature=0), build(PRESETS["grpo"]))


def test_demonstrations_have_no_budget_of_sampled_tokens():
    for gold in (False, True):
        with pytest.raises(ConfigError, match="--steps"):
            check_compatible(config_of("sft", gold=gold), build(SFTConfig(gold=gold)))


def test_demonstrations_with_updates_of_their_own_go_with_any_budget():
    """So that an arm of them stands beside arms that sample."""
    check_compatible(config_of("sft", updates=5), build(SFTConfig(updates=5)))
    steps = config_of("sft", budget_axis="optimizer_steps", budget=5)
    check_compatible(steps, build(SFTConfig()))


def test_demonstrations_may_come_with_a_temperature_of_zero():
    check_compatible(config_of("sft", updates=5, temperature=0), build(SFTConfig(updates=5)))


def test_a_pool_without_a_size_is_refused():
    config = config_of("rft", budget_axis="device_seconds", budget=60)
    with pytest.raises(ConfigError, match="pool_problems"):
        check_compatible(config, build(RFTConfig()))
    check_compatible(config, build(RFTConfig(pool_problems=8)))
    with pytest.raises(ConfigError, match="pool_problems"):
        check_compatible(config_of("dpo", budget_axis="flops", budget=60), build(DPOConfig()))


def test_the_identity_is_the_settings_and_nothing_else():
    algorithm = build(PRESETS["grpo"])
    one, again = (config_record(config_of("grpo"), algorithm) for _ in range(2))
    assert one["hash"] == again["hash"]
    budget = BudgetConfig(budget_axis=BudgetAxis.FLOPS, budget=1e9)
    other = config_record(replace(config_of("grpo"), budget=budget), algorithm)
    assert other["hash"] != one["hash"]
    assert one["conventions"].keys() == {"advantage", "loss", "kl"}


@pytest.mark.parametrize(
    ("name", "set_to", "recorded"),
    [
        ("grpo", None, "sequence_mean"),
        ("dapo", None, "token_mean"),
        ("rloo", None, "sequence_sum"),
        ("dr_grpo", None, "constant"),
        ("dapo", "sequence_mean", "sequence_mean"),
    ],
)
def test_the_record_states_the_mean_that_is_taken(name, set_to, recorded):
    config = config_of(name, aggregation=set_to)
    record = config_record(config, build(PRESETS[name]))
    assert record["aggregation"] == recorded
    assert record["training"]["aggregation"] == set_to


@pytest.mark.parametrize("name", PRESETS)
def test_the_record_says_where_the_responses_come_from_and_how_often_they_are_used(name):
    algorithm = build(PRESETS[name])
    record = config_record(config_of(name), algorithm)
    assert record["source"] == algorithm.plan.source.value
    assert record["updates_per_batch"] == algorithm.plan.epochs * algorithm.plan.minibatches
    assert record["conventions"] == dict(algorithm.conventions)


def test_a_reward_is_part_of_the_identity():
    algorithm = build(PRESETS["grpo"])
    hashes = {
        config_record(config_of("grpo", **reward), algorithm)["hash"]
        for reward in ({}, {"wrong_reward": -1}, {"reward": "random"}, {"length_penalty": 0.1})
    }
    assert len(hashes) == 4
