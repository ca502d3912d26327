from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from algorithms import PRESETS
from bakeoff.config import BudgetAxis, as_record
from bakeoff.errors import ConfigError
from bakeoff.settings import cell_config, flat
from benchmarks.suite import (
    Suite,
    choose_methods,
    load_suite,
    matrix,
    quick,
    with_seeds,
)


def suite(**changes: Any) -> Suite:
    return Suite(
        **{
            "study": "toy",
            "seeds": (0, 1),
            "settings": {"budget": 1000, "group_size": 4},
            "methods": {"online_rft": None, "grpo": {"learning_rate": 1e-3}},
            **changes,
        }
    )


def error_of(made: Suite, **overrides: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        matrix(made, overrides)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_built_in_comparison_is_every_method_at_every_seed_with_one_budget() -> None:
    cells = matrix(load_suite(None), {})
    assert {(cell.method, cell.seed) for cell in cells} == {
        (method, seed) for method in ("rft", "online_rft", "ppo", "grpo") for seed in (0, 1, 2)
    }
    assert len(cells) == 12
    assert {(cell.config.budget.budget_axis, cell.config.budget.budget) for cell in cells} == {
        (BudgetAxis.SAMPLED_TOKENS, 400_000.0)
    }
    assert {cell.config.method_settings["group_size"] for cell in cells} == {8}
    assert len({cell.name for cell in cells}) == 12


def test_the_quick_matrix_is_the_suite_with_its_quick_section() -> None:
    small = quick(load_suite(None))
    assert (small.study, small.seeds) == ("arithmetic-quick", (0,))
    cells = matrix(small, {})
    assert len(cells) == 4
    assert {cell.config.budget.budget for cell in cells} == {60_000.0}
    assert {cell.config.training.problems_per_step for cell in cells} == {16}  # not replaced
    with pytest.raises(ConfigError, match="has no quick section"):
        quick(suite())


def test_a_suite_may_name_the_study_that_chose_its_settings(tmp_path: Path) -> None:
    file = tmp_path / "suite.yaml"
    text = "study: toy\nseeds: [0]\nsettings: {budget: 9}\nmethods: {grpo: {}}\n"
    file.write_text(text + "tuning: runs/learning_rate\nquick: {budget: 3}\n")
    tuned = load_suite(file)
    assert tuned.tuning == quick(tuned).tuning == "runs/learning_rate"
    file.write_text(text)
    plain = load_suite(file)
    assert plain.tuning is None
    # It says where settings came from, and is none of them.
    assert matrix(plain, {}) == matrix(tuned, {})


def test_cells_come_seed_by_seed() -> None:
    assert [(cell.seed, cell.method) for cell in matrix(suite(), {})] == [
        (0, "online_rft"), (0, "grpo"), (1, "online_rft"), (1, "grpo"),
    ]  # fmt: skip


def test_a_method_s_own_settings_win_over_the_shared_ones_and_flags_over_both() -> None:
    made = suite(settings={"learning_rate": 1e-5, "budget": 1000})
    rates = {c.method: c.config.optimizer.learning_rate for c in matrix(made, {})}
    assert rates == {"online_rft": 1e-5, "grpo": 1e-3}
    flagged = matrix(made, {"learning_rate": "0.5"})
    assert {c.config.optimizer.learning_rate for c in flagged} == {0.5}


def test_a_flag_reaches_the_methods_that_have_the_setting() -> None:
    cells = matrix(suite(), {"kl_coefficient": "0.5", "epochs": "2"})
    settings = {cell.method: cell.config.method_settings for cell in cells}
    assert settings["online_rft"] == {
        "group_size": 4,
        "epochs": 2,
        "kl_coefficient": 0.5,
        "accept_above": None,
        "offline_share": 0.0,
    }
    assert settings["grpo"]["kl_coefficient"] == 0.5
    assert settings["grpo"]["epochs"] == 2
    clipped = matrix(suite(), {"clip_epsilon": "0.1"})
    settings = {cell.method: cell.config.method_settings for cell in clipped}
    assert settings["grpo"]["clip_epsilon"] == 0.1
    assert "clip_epsilon" not in settings["online_rft"]


def test_a_flag_that_no_method_has_is_refused() -> None:
    message = error_of(suite(), gae_lambda_policy="0.9")
    assert "'gae_lambda_policy' is a setting of none of online_rft, grpo" in message
    assert "did you mean 'kl_coefficient'" in error_of(suite(), kl_coeficient="1")


def test_every_cell_has_its_seed_and_leaves_the_start_to_the_study() -> None:
    cells = matrix(suite(), {"seed": "9", "evaluate_start": "true"})
    assert [cell.config.seeds.seed for cell in cells] == [0, 0, 1, 1]
    assert {cell.config.evaluation.evaluate_start for cell in cells} == {False}


def test_a_cell_s_name_is_a_function_of_its_settings() -> None:
    names = [cell.name for cell in matrix(suite(), {})]
    assert names == [cell.name for cell in matrix(suite(), {})]
    assert names[0].startswith("online_rft-s0-") and len(names[0].rpartition("-")[2]) == 10
    changed = [cell.name for cell in matrix(suite(), {"clip_epsilon": "0.5"})]
    assert [one == other for one, other in zip(names, changed, strict=True)] == [
        True, False, True, False,
    ]  # fmt: skip


def test_a_cell_s_name_survives_its_settings_file() -> None:
    for cell in matrix(load_suite(None), {}):
        again = cell_config(cell.method, PRESETS[cell.method], flat(as_record(cell.config)))
        assert replace(cell, config=again).name == cell.name


def test_a_cell_of_a_user_s_method_is_named_after_its_file(tmp_path: Path) -> None:
    path = tmp_path / "my_method.py"
    path.write_text(
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Mine:\n"
        "    group_size: int = 2\n    def build(self): ...\n"
    )
    (cell,) = matrix(suite(methods={f"{path}:Mine": None}, seeds=(3,)), {})
    assert cell.name.startswith("my_method-s3-")


ARMS = {
    "grpo": None,
    "grpo_no_kl": {"method": "grpo", "kl_coefficient": 0.0},
    "grpo_random": {"method": "grpo", "reward": "random"},
    "rft": {"epochs": 2},
}


def test_an_arm_may_have_another_name_than_its_method() -> None:
    cells = matrix(suite(methods=ARMS, seeds=(0,)), {})
    assert [(cell.arm, cell.method) for cell in cells] == [
        ("grpo", "grpo"),
        ("grpo_no_kl", "grpo"),
        ("grpo_random", "grpo"),
        ("rft", "rft"),
    ]
    by_arm = {cell.arm: cell.config for cell in cells}
    assert all(cell.config.method == cell.method for cell in cells)
    assert [by_arm[arm].method_settings.get("kl_coefficient") for arm in ARMS] == [
        0.04,
        0.0,
        0.04,
        None,
    ]
    assert [by_arm[arm].reward.reward for arm in ARMS] == ["rule", "rule", "random", "rule"]
    assert [cell.name.rpartition("-s0-")[0] for cell in cells] == list(ARMS)
    assert all("method" not in cell.config.method_settings for cell in cells)


def test_arms_of_one_method_and_the_same_settings_are_told_apart_by_name_alone() -> None:
    made = suite(methods={"one": {"method": "grpo"}, "two": {"method": "grpo"}}, seeds=(0,))
    one, two = matrix(made, {})
    assert one.config == two.config
    assert one.name != two.name
    assert one.name.rpartition("-")[2] == two.name.rpartition("-")[2]


def test_a_flag_reaches_every_arm_whose_method_has_the_setting() -> None:
    cells = matrix(suite(methods=ARMS, seeds=(0,)), {"clip_epsilon": "0.1"})
    assert [cell.config.method_settings.get("clip_epsilon") for cell in cells] == [
        0.1,
        0.1,
        0.1,
        None,
    ]


def test_chosen_arms_keep_their_method_and_settings() -> None:
    chosen = choose_methods(suite(methods=ARMS), ("grpo_no_kl", "ppo"))
    cells = matrix(replace(chosen, seeds=(0,)), {})
    assert [(cell.arm, cell.method) for cell in cells] == [("grpo_no_kl", "grpo"), ("ppo", "ppo")]
    assert cells[0].config.method_settings["kl_coefficient"] == 0.0


def test_an_arm_of_an_unknown_method_is_refused_by_the_methods_name() -> None:
    message = error_of(suite(methods={"mine": {"method": "grop"}}))
    assert "unknown method 'grop'" in message
    wrong = error_of(suite(methods={"mine": {"method": "grpo", "learing_rate": 1}}))
    assert wrong.startswith("suite 'toy', mine: 'learing_rate' is no setting of grpo")


def test_arms_with_different_rewards_may_be_compared() -> None:
    """A control arm is the same method on another reward, in the same world."""
    cells = matrix(suite(methods=ARMS), {})
    assert len({cell.config.reward for cell in cells}) == 2
    assert len({cell.config.task for cell in cells}) == 1


def test_arms_with_different_budgets_are_refused() -> None:
    made = suite(methods={"rft": {"budget": 5}, "grpo": None})
    message = error_of(made)
    assert "different budgets" in message and "5 sampled_tokens" in message
    assert "1000 sampled_tokens" in message
    assert "different budgets" in error_of(
        suite(methods={"rft": {"budget_axis": "flops"}, "grpo": None})
    )


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ({"final_samples": 3}, "evaluated alike"),
        ({"prompt_format": "plain"}, "share the model"),
        ({"train_problems": 3}, "share the task"),
    ],
)
def test_arms_in_different_worlds_are_refused(own: dict[str, Any], told: str) -> None:
    assert told in error_of(suite(methods={"rft": own, "grpo": None}))


def test_a_wrong_setting_names_suite_and_method() -> None:
    message = error_of(suite(methods={"grpo": {"learing_rate": 1}}))
    assert message.startswith("suite 'toy', grpo: 'learing_rate'")
    assert "did you mean 'learning_rate'" in message
    assert "unknown method 'grop'" in error_of(suite(methods={"grop": None}))


def test_the_chosen_methods_keep_their_settings_and_others_come_with_defaults() -> None:
    chosen = choose_methods(suite(), ("ppo", "grpo"))
    assert chosen.methods == {"ppo": None, "grpo": {"learning_rate": 1e-3}}
    assert chosen.settings == suite().settings


def test_seeds_count_from_zero() -> None:
    assert with_seeds(suite(), 4).seeds == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("study: a\nseeds: [0]\nsettings: {}\nmethods: {}\n", "names no methods"),
        ("study: a\nseeds: [0]\nsettings: {}\nmethods: {a/b: }\n", "leave the / out"),
        ("study: a\nseeds: []\nsettings: {}\nmethods: {rft: }\n", "at least one"),
        ("study: a\nseeds: [1, 1]\nsettings: {}\nmethods: {rft: }\n", "distinct"),
        ("study: a\nsettings: {}\nmethods: {rft: }\n", "'seeds' is missing"),
        ("study: a\nseeds: [0]\nsettings: {}\nmethds: {rft: }\n", "did you mean 'methods'"),
        ("study: a\nseeds: [0]\nsettings: {}\nmethods: {rft: }\nqiuck: {}\n", "'qiuck' is unknown"),
        ("study: a\nseeds: [0]\nsettings: {}\nmethods: [rft]\n", "methods = ['rft']"),
        ("study: a\nseeds: [x]\nsettings: {}\nmethods: {rft: }\n", "seeds.0 = 'x'"),
    ],
)
def test_a_suite_file_that_cannot_be_run_is_refused(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_suite(path)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_suite_file_is_read_with_every_section(tmp_path: Path) -> None:
    path = tmp_path / "suite.yaml"
    path.write_text(
        "study: mine\nseeds: [4, 2]\nsettings: {budget: 50}\n"
        "methods: {rft: {epochs: 3}, grpo: }\nquick: {seeds: [4], budget: 5}\n"
    )
    assert load_suite(path) == Suite(
        study="mine",
        seeds=(4, 2),
        settings={"budget": 50},
        methods={"rft": {"epochs": 3}, "grpo": None},
        quick={"seeds": [4], "budget": 5},
    )
