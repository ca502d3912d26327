from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from algorithms import PRESETS
from algorithms.configs import GRPOConfig
from bakeoff.config import (
    SECTIONS,
    Aggregation,
    BudgetAxis,
    CellConfig,
    SolutionScore,
    as_record,
)
from bakeoff.errors import ConfigError
from bakeoff.records import config_hash, write_json
from bakeoff.settings import (
    cell_config,
    flat,
    method_config,
    read_settings,
    read_yaml,
    shared_settings,
    suggestion,
)


def grpo(**values: Any) -> CellConfig:
    return cell_config("grpo", PRESETS["grpo"], values)


def error_of(method: str = "grpo", **values: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        cell_config(method, PRESETS[method], values, where="mine.yaml")
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_an_unknown_key_suggests_the_close_one() -> None:
    message = error_of(learing_rate=1e-3)
    assert "mine.yaml" in message
    assert "'learing_rate' is no setting of grpo; did you mean 'learning_rate'?" in message


def test_a_key_of_another_method_is_unknown_to_this_one() -> None:
    assert "'minibatches' is no setting of rft" in error_of("rft", minibatches=2)
    assert grpo(minibatches=2).method_settings["minibatches"] == 2


def test_a_key_like_no_other_lists_the_known_ones() -> None:
    message = error_of(zzzzzzzz=1)
    assert "known: " in message
    assert "learning_rate" in message and "kl_coefficient" in message


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"learning_rate": "fast"}, ("learning_rate = 'fast'", "number", "AdamW, of the policy")),
        ({"threads": 1.5}, ("threads = 1.5", "integer", "CPU threads of this process")),
        ({"budget_axis": "tokens"}, ("budget_axis = 'tokens'", "'sampled_tokens'", "flops")),
        ({"measure_kl": "maybe"}, ("measure_kl = 'maybe'", "boolean", "achieved KL")),
        ({"compute_dtype": "fp8"}, ("compute_dtype = 'fp8'", "'bfloat16'", "master weights")),
        ({"clip_epsilon": []}, ("clip_epsilon = []", "number", "the ratio is clipped")),
        ({"supervision": "steps"}, ("supervision = 'steps'", "'process'", "end of every step")),
        ({"aggregation": "mean"}, ("aggregation = 'mean'", "'sequence_sum'", "the method's own")),
        ({"solution_score": "max"}, ("solution_score = 'max'", "'product'", "make the outcome")),
    ],
)
def test_a_wrong_type_names_key_value_expectation_and_help(
    values: dict[str, Any], told: tuple[str, ...]
) -> None:
    message = error_of(**values)
    assert message.startswith("mine.yaml: ")
    for part in told:
        assert part in message


@pytest.mark.parametrize("value", [float("nan"), "nan", " NaN "])
def test_not_a_number_is_refused(value: Any) -> None:
    # It passes every "above 0" that is written as a refusal of `<= 0`.
    assert "learning_rate" in error_of(learning_rate=value)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"temperature": -0.1}, "temperature must be 0 (greedy) or more, got -0.1"),
        ({"top_p": 0}, "top_p must be in (0, 1], got 0.0"),
        ({"max_response_tokens": 0}, "max_response_tokens must be at least 1, got 0"),
        ({"learning_rate": 0}, "learning_rate must be above 0, got 0.0"),
        ({"critic_learning_rate": -1}, "critic_learning_rate must be above 0, got -1.0"),
        ({"budget": -5}, "budget must be above 0, got -5.0"),
        ({"evaluation_split": "train"}, "evaluation_split is train"),
        ({"train_problems": 0}, "train_problems must be at least 1, got 0"),
        ({"wrong_reward": 1}, "wrong_reward must be below 1, got 1.0"),
        ({"length_penalty": -0.5}, "length_penalty must be 0 or more, got -0.5"),
        ({"overlong_buffer_tokens": 0}, "overlong_buffer_tokens must be at least 1, got 0"),
        ({"reward": "model"}, "got reward 'model', reward_model None"),
        ({"reward_model": "there"}, "got reward 'rule', reward_model 'there'"),
        ({"step_checker": "a.py:b"}, "step_checker is for reward `steps`, got 'rule'"),
        ({"refit_learning_rate": 0}, "refit_learning_rate must be above 0, got 0.0"),
        ({"refit_solutions": 0}, "refit_solutions must be at least 1, got 0"),
        ({"refit_completions": 0}, "refit_completions must be at least 1, got 0"),
        ({"group_size": 1}, "group_size must be at least 2, got 1"),
    ],
)
def test_a_value_out_of_range_says_the_range(values: dict[str, Any], told: str) -> None:
    assert told in error_of(**values)


def test_text_is_read_as_the_type_of_the_setting() -> None:
    config = grpo(
        learning_rate="3e-4",
        threads="2",
        mask_truncated="true",
        aggregation="token_mean",
        budget_axis="flops",
        clip_epsilon="0.1",
        reward="steps",
        wrong_reward="-1",
        overlong_buffer_tokens="16",
        solution_score="product",
    )
    assert config.optimizer.learning_rate == 3e-4
    assert config.model.threads == 2
    assert config.training.mask_truncated is True
    assert config.training.aggregation is Aggregation.TOKEN_MEAN
    assert config.budget.budget_axis is BudgetAxis.FLOPS
    assert config.method_settings["clip_epsilon"] == 0.1
    assert config.reward.wrong_reward == -1
    assert config.reward.overlong_buffer_tokens == 16
    assert config.reward.solution_score is SolutionScore.PRODUCT


def test_a_method_keeps_the_defaults_that_are_not_set() -> None:
    settings = grpo(clip_epsilon=0.3).method_settings
    assert settings == {
        "group_size": 8,
        "epochs": 1,
        "minibatches": 1,
        "clip_epsilon": 0.3,
        "clip_epsilon_high": None,
        "kl_coefficient": 0.04,
        "kl_estimator": "k3",
        "kl_placement": "loss",
        "supervision": "outcome",
        "iteration_batches": None,
        "reset_reference": False,
        "refit_reward_model": False,
        "replay_share": 0.1,
    }
    own = method_config(grpo(clip_epsilon=0.3), PRESETS["grpo"])
    assert own == GRPOConfig(clip_epsilon=0.3)


@pytest.mark.parametrize("method", sorted(PRESETS))
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"budget": "400000", "learning_rate": "1e-3", "evaluation_split": "validation"},
        {"train_problems": 7, "critic_learning_rate": 1, "budget_axis": "optimizer_steps"},
        {"reward": "model", "reward_model": "here", "solution_score": "last", "aggregation": None},
    ],
)
def test_a_config_survives_its_record(method: str, values: dict[str, Any]) -> None:
    config = cell_config(method, PRESETS[method], values)
    record = as_record(config)
    again = cell_config(method, PRESETS[method], flat(record))
    assert again == config
    # Equal is not enough: 100000 and 100000.0 are equal, and are different JSON.
    assert config_hash(as_record(again)) == config_hash(record)


def test_a_stated_default_is_the_same_run_as_an_unstated_one() -> None:
    stated = grpo(budget=100_000, temperature=1, weight_decay=0, learning_rate="1e-6")
    assert config_hash(as_record(stated)) == config_hash(as_record(grpo()))
    assert config_hash(as_record(grpo(seed=1))) != config_hash(as_record(grpo()))


def test_a_run_s_config_json_is_a_settings_file(tmp_path: Path) -> None:
    config = grpo(learning_rate=1e-3, kl_coefficient=0.0, group_size=4)
    path = tmp_path / "config.json"
    write_json(path, as_record(config) | {"hash": "abc", "versions": {"torch": "2"}, "schema": 1})
    values = read_settings(path)
    assert values.pop("method") == "grpo"
    assert cell_config("grpo", PRESETS["grpo"], values) == config


def test_shared_settings_leave_out_the_method_s_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("method: grpo\nkl_coefficient: 0.1\nlearning_rate: 1.0e-3\ntop_k: 3\n")
    assert shared_settings(path) == {"learning_rate": 1e-3, "top_k": 3}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: [1\n", "is not YAML: "),
        ("- 1\n- 2\n", "must hold a mapping of settings"),
        ("", "must hold a mapping of settings"),
        ("a: \x00\n", "is not YAML: "),
    ],
)
def test_a_file_that_holds_no_settings_is_named(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_yaml(path)
    assert str(caught.value).startswith(f"{path} {told}")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml does not exist"):
        read_yaml(tmp_path / "none.yaml")
    with pytest.raises(ConfigError, match=r"cannot read .*: Is a directory"):
        read_yaml(tmp_path)


def test_a_suggestion_is_the_closest_name() -> None:
    assert suggestion("grop", ["ppo", "grpo", "rft"]) == "; did you mean 'grpo'?"
    assert suggestion("xyz", ["b", "a"]) == "; known: a, b"


CONFIGS = {*SECTIONS.values(), *(type(defaults) for defaults in PRESETS.values())}


@pytest.mark.parametrize("config", sorted(CONFIGS, key=lambda config: config.__name__))
def test_none_is_the_absence_of_a_setting_and_the_help_says_what_it_means(config: type) -> None:
    """A flag cannot say `none` and mean a word: it is read as no value."""
    for name, hint in get_type_hints(config, include_extras=True).items():
        kind, (text,) = hint.__origin__, hint.__metadata__
        assert ("none: " in text) == (type(None) in get_args(kind)), name
        words = [word for part in get_args(kind) for word in (part, *get_args(part))]
        assert "none" not in words, name
