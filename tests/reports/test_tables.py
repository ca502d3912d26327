import numpy as np

from reports.comparison import compare
from reports.load import load_study
from reports.tables import (
    cost_table,
    equivalence_table,
    final_table,
    own_settings_table,
    pair_table,
    settings_table,
)


def text(table):
    return {row[0].text: [entry.plain for entry in row[1:]] for row in table.rows}


def test_the_final_table_shows_every_mean_with_its_interval(make_study):
    study = load_study(make_study(methods=("grpo",)))
    comparison = compare(study, rng=np.random.default_rng(0))
    table = final_table(study, comparison)
    assert table.columns[:4] == ("policy", "seeds", "pass@1, %", "gain, points")
    found = comparison.methods["grpo"].metrics["pass@1"]
    shown = f"{100 * found.mean:.1f} ({100 * found.low:.1f}–{100 * found.high:.1f})"
    assert text(table)["GRPO"][1] == shown
    assert text(table)["start"][2] == "–"


def test_pairs_are_shown_winner_first_and_stored_in_the_order_of_the_summary(make_study):
    study = load_study(make_study(methods=("rft", "grpo"), problems=60))
    pairs = compare(study, rng=np.random.default_rng(0)).pairs_of("pass@1")
    table = pair_table(pairs, name="pairs")
    assert text(table)["GRPO − RFT"][-1] == "GRPO better"
    assert (table.records[0]["a"], table.records[0]["verdict"]) == ("rft", "worse")


def test_the_equivalence_table_comes_from_the_frozen_configs(make_study):
    rows = text(equivalence_table(load_study(make_study(seeds=(0,)))))
    assert rows["RFT"][0] == "starting policy, pool sampled first"
    assert rows["GRPO"][1] == "rule"
    assert rows["GRPO"][4:] == ["k3 in the loss, beta 0.04", "sequence_mean", "5e-05", "8", "1"]


def test_the_equivalence_table_says_what_is_rewarded_and_over_what_the_loss_is_a_mean(make_study):
    methods = ("dapo", "grpo_model", "grpo_random", "grpo")
    study = load_study(make_study(methods=methods, seeds=(0,)))
    table = equivalence_table(study)
    place = {name: table.columns.index(name) - 1 for name in ("reward", "aggregation")}
    rows = list(text(table).values())
    assert {row[place["reward"]] for row in rows} == {
        "rule, overlong buffer 16, wrong -1.0",
        "model, length penalty 0.5",
        "random",
        "rule",
    }
    assert [row[place["aggregation"]] for row in rows].count("token_mean") == 1
    by_reward = {row[place["reward"]]: row[place["aggregation"]] for row in rows}
    assert by_reward["rule, overlong buffer 16, wrong -1.0"] == "token_mean"


def test_settings_are_either_common_or_shown_by_method(make_study):
    study = load_study(make_study(seeds=(0,)))
    common, own = text(settings_table(study)), text(own_settings_table(study))
    assert common["max_response_tokens"] == ["64"]
    assert own["learning_rate"] == ["5e-05", "0.0001", "5e-05", "5e-05"]
    assert own["clip_epsilon"] == ["0.2", "–", "–", "0.2"]
    assert not set(common) & set(own)


def test_rewards_are_settings_like_any_other(make_study):
    study = load_study(make_study(methods=("dapo", "grpo_random"), seeds=(0,)))
    common, own = text(settings_table(study)), text(own_settings_table(study))
    assert common["length_penalty"] == ["0"]
    assert own["reward"] == ["rule", "random"]
    assert own["wrong_reward"] == ["-1", "0"]
    assert own["overlong_buffer_tokens"] == ["16", "none"]


def test_costs_are_means_over_seeds(make_study):
    rows = text(cost_table(load_study(make_study(methods=("ppo", "rft")))))
    assert rows["device time, charged"] == ["15.0 min", "7.0 min"]
    assert rows["peak memory: update"] == ["640 MB", "420 MB"]
    assert rows["seconds: measure"][1] == "–"
    assert "verifier errors" not in rows


def test_pipes_in_a_cell_do_not_split_it(make_study):
    study = load_study(make_study(methods=("a|b",), seeds=(0,)))
    assert "| a\\|b |" in equivalence_table(study).markdown()
