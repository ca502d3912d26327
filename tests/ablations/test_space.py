from dataclasses import replace
from pathlib import Path

import pytest

from ablations.space import arm_name, cells_of, flags_beside_setup
from bakeoff.config import as_record
from bakeoff.errors import ConfigError
from bakeoff.records import config_hash
from bakeoff.settings import flat
from bakeoff.types import Split

FOLDER = Path("runs/tiny")


def cells(study, point, **overrides):
    return cells_of(study, point, folder=FOLDER, overrides=overrides)


def test_a_point_becomes_the_same_frozen_config_on_every_call(declare) -> None:
    study, point = declare(), {"kl_coefficient": 0.1, "learning_rate": 1e-4}
    hashes = [
        [config_hash(as_record(cell.config)) for cell in cells(study, point)] for _ in range(2)
    ]
    assert hashes[0] == hashes[1]
    assert len(set(hashes[0])) == 2  # one a seed
    # Where a level stands in the file, or in a point, is no part of what it sets.
    turned = dict(reversed(point.items()))
    assert [cell.config for cell in cells(study, turned)] == [c.config for c in cells(study, point)]


def test_a_level_sets_its_field_and_nothing_else(declare) -> None:
    study = declare()
    here, there = (
        flat(as_record(cells(study, {"kl_coefficient": level, "learning_rate": 1e-3})[0].config))
        for level in (0.0, 0.1)
    )
    assert {name for name in here if here[name] != there[name]} == {"kl_coefficient"}
    assert (here["kl_coefficient"], there["kl_coefficient"]) == (0.0, 0.1)


def test_a_factor_may_be_called_otherwise_than_its_field(declare) -> None:
    study = declare(factors={"beta": {"levels": [0.0, 0.1], "field": "kl_coefficient"}})
    assert cells(study, {"beta": 0.1})[0].config.method_settings["kl_coefficient"] == 0.1


def test_a_named_level_may_change_the_method(declare) -> None:
    levels = {"grpo": {"method": "grpo"}, "centred": {"method": "dr_grpo", "epochs": 2}}
    study = declare(factors={"advantage": {"levels": levels}})
    grpo, centred = (cells(study, {"advantage": level})[0] for level in levels)
    assert (grpo.method, centred.method) == ("grpo", "dr_grpo")
    assert (grpo.config.method_settings["epochs"], centred.config.method_settings["epochs"]) == (
        1,
        2,
    )


def test_an_arm_of_the_suite_brings_its_method_and_settings(declare) -> None:
    study = declare(method="plain", factors={"learning_rate": {"levels": [1e-3]}})
    (cell, _) = cells(study, {"learning_rate": 1e-3})
    assert (cell.arm, cell.method) == ("plain", "grpo")
    assert cell.config.method_settings["kl_coefficient"] == 0.0


def test_cells_are_judged_on_validation_with_seeds_of_their_own(declare) -> None:
    found = cells(declare(), {"kl_coefficient": 0.1, "learning_rate": 1e-4})
    assert [cell.seed for cell in found] == [1000, 1001]
    assert [cell.config.seeds.seed for cell in found] == [1000, 1001]
    for cell in found:
        assert cell.config.evaluation.evaluation_split is Split.VALIDATION
        assert cell.config.evaluation.ood_problems == 0


def test_seeds_of_a_trial_differ_in_nothing_but_the_seed(declare) -> None:
    one, other = cells(declare(), {"kl_coefficient": 0.1, "learning_rate": 1e-4})
    assert replace(one.config, seeds=other.config.seeds) == other.config


@pytest.mark.parametrize(("group_size", "problems"), [(2, 32), (4, 16), (64, 1)])
def test_problems_times_group_size_is_held_constant(declare, group_size, problems) -> None:
    study = declare(
        rollouts_per_step=64, factors={"group_size": {"levels": [2, 4, 64]}}, settings={}
    )
    config = cells(study, {"group_size": group_size})[0].config
    assert config.training.problems_per_step == problems
    assert config.method_settings["group_size"] == group_size


def test_rollouts_are_held_constant_where_a_flag_sets_the_group_size(declare) -> None:
    study = declare(rollouts_per_step=64, factors={"learning_rate": {"levels": [1e-3]}})
    # Flags are text until a setting's type is known.
    config = cells(study, {"learning_rate": 1e-3}, group_size="8")[0].config
    assert config.training.problems_per_step == 8
    with pytest.raises(ConfigError, match="group_size that divides it, got 7"):
        cells(study, {"learning_rate": 1e-3}, group_size="7")


def test_without_it_problems_are(declare) -> None:
    study = declare(factors={"group_size": {"levels": [2, 4]}})
    for size in (2, 4):
        assert cells(study, {"group_size": size})[0].config.training.problems_per_step == 2


def test_a_flag_reaches_every_trial(declare) -> None:
    study = declare()
    for rate in (1e-3, 1e-4):
        (cell, _) = cells(study, {"kl_coefficient": 0.1, "learning_rate": rate}, budget="9")
        assert cell.config.budget.budget == 9


@pytest.mark.parametrize("flag", ["kl_coefficient", "seed"])
def test_a_flag_that_the_study_would_overrule_is_refused(declare, flag) -> None:
    with pytest.raises(ConfigError, match=f"--{flag.replace('_', '-')} does nothing"):
        cells(declare(), {"kl_coefficient": 0.1, "learning_rate": 1e-3}, **{flag: "1"})


def test_problems_a_step_cannot_be_set_where_rollouts_are(declare) -> None:
    study = declare(rollouts_per_step=64, factors={"group_size": {"levels": [4]}})
    with pytest.raises(ConfigError, match="--problems-per-step does nothing"):
        cells(study, {"group_size": 4}, problems_per_step="3")


@pytest.mark.parametrize(
    ("factors", "point", "told"),
    [
        (
            {"kl_coeficient": {"levels": [0.1]}},
            {"kl_coeficient": 0.1},
            "'kl_coeficient' is no setting of grpo; did you mean 'kl_coefficient'",
        ),
        (
            {"clip": {"levels": {"a": {"clip_epsilom": 0.1}}}},
            {"clip": "a"},
            "did you mean 'clip_epsilon'",
        ),
        ({"kl_estimator": {"levels": ["k4"]}}, {"kl_estimator": "k4"}, "kl_estimator = 'k4'"),
        ({"method": {"levels": ["dr_grp"]}}, {"method": "dr_grp"}, "did you mean 'dr_grpo'"),
    ],
)
def test_what_is_no_setting_is_refused_with_a_hint_and_the_trials_name(
    declare, factors, point, told
) -> None:
    with pytest.raises(ConfigError, match=told):
        cells(declare(factors=factors), point)


def test_settings_may_point_into_the_studys_folder(declare) -> None:
    model = {"reward": "model", "reward_model": "{folder}/orm"}
    study = declare(factors={"reward_from": {"levels": {"model": model}}})
    assert cells(study, {"reward_from": "model"})[0].config.reward.reward_model == "runs/tiny/orm"


def test_flags_that_the_set_up_commands_do_not_get_are_told(declare) -> None:
    overrides = {"model": "./other", "learning_rate": 1e-5, "max_response_tokens": 32}
    with_setup = declare(setup=["sample --out {folder}/samples.jsonl"])
    assert flags_beside_setup(with_setup, overrides) == ["--model", "--max-response-tokens"]
    assert flags_beside_setup(with_setup, {"learning_rate": 1e-5}) == []
    assert flags_beside_setup(declare(), overrides) == []


def test_an_arm_is_named_by_its_levels() -> None:
    point = {"group_size": 8, "kl": 0.040000001, "reset": True, "clip": "0.2/0.28", "rate": 1e-5}
    assert arm_name(point) == "group_size=8 kl=0.04 reset=true clip=0.2/0.28 rate=1e-05"
    assert arm_name({}) == ""
