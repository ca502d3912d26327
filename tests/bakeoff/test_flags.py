from dataclasses import fields
from typing import Any

import click
import pytest
from click.testing import CliRunner

from algorithms import PRESETS
from bakeoff.config import SECTIONS
from bakeoff.errors import ConfigError
from bakeoff.flags import budget_settings, given, setting_options


@click.command()
@setting_options({name: PRESETS[name] for name in ("rft", "grpo")})
def command(**flags: Any) -> None:
    click.echo(repr(sorted(given(flags).items())))


def test_every_setting_of_the_instrument_and_of_the_methods_is_a_flag() -> None:
    flags = {option for parameter in command.params for option in parameter.opts}
    settings = {field.name for config in SECTIONS.values() for field in fields(config)}
    settings |= {field.name for name in ("rft", "grpo") for field in fields(PRESETS[name])}  # type: ignore[arg-type]
    assert flags == {"--" + name.replace("_", "-") for name in settings}
    assert "--gae-lambda-policy" not in flags


def test_flags_that_are_not_given_set_nothing() -> None:
    assert CliRunner().invoke(command, []).output == "[]\n"


def test_given_flags_arrive_under_the_setting_s_name() -> None:
    result = CliRunner().invoke(command, ["--learning-rate", "1e-3", "--pool-problems", "5"])
    assert result.output == "[('learning_rate', '1e-3'), ('pool_problems', '5')]\n"


def test_the_word_none_is_none() -> None:
    assert given({"revision": "none", "data": "None", "seed": 0, "task": None, "model": "x"}) == {
        "revision": None,
        "data": None,
        "seed": 0,
        "model": "x",
    }


def test_a_flag_s_help_is_the_text_beside_the_type_with_each_method_s_default() -> None:
    text = " ".join(CliRunner().invoke(command, ["--help"], terminal_width=400).output.split())
    assert "--threads VALUE CPU threads of this process" in text
    assert "--group-size VALUE completions a problem (G, k) [rft, grpo: 8]" in text
    assert (
        "--kl-coefficient VALUE beta; where and how it enters is the method's; 0: no reference "
        "[grpo: 0.04]" in text
    )


def test_the_most_common_of_many_defaults_stands_for_the_methods_that_are_not_named() -> None:
    @click.command()
    @setting_options(PRESETS)
    def all_methods(**flags: Any) -> None: ...

    text = " ".join(CliRunner().invoke(all_methods, ["--help"], terminal_width=400).output.split())
    assert "completions a problem (G, k) [8; sft, ppo, ppo_process, reinforce++: 1]" in text
    assert "largest weight a ratio may give; the paper states none [cispo: 5.0]" in text


def test_each_short_form_of_a_budget_names_its_axis() -> None:
    assert budget_settings(3.0, None) == {"budget_axis": "optimizer_steps", "budget": 3.0}
    assert budget_settings(None, 500.0) == {"budget_axis": "sampled_tokens", "budget": 500.0}
    assert budget_settings(None, None) == {}
    assert budget_settings(0.0, None)["budget"] == 0.0  # for the config to refuse


def test_two_budgets_are_refused() -> None:
    with pytest.raises(ConfigError, match="--steps and --budget-tokens both name the budget"):
        budget_settings(3.0, 500.0)
