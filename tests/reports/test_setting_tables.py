from bakeoff.records import read_json, write_json
from reports.load import load_study
from reports.palette import marks
from reports.setting_tables import (
    cells_table,
    collapsed_table,
    equivalence_table,
    frameworks_table,
    own_settings_table,
    settings_table,
)
from reports.tabular import SHOWN


def text(table):
    return {row[0].text: [entry.plain for entry in row[1:]] for row in table.rows}


def table_of(study):
    return equivalence_table(study, look=marks(study.methods))


def test_the_equivalence_table_comes_from_the_frozen_configs(make_study):
    rows = text(table_of(load_study(make_study(seeds=(0,)))))
    assert rows["RFT"][0] == "starting policy, pool sampled first"
    assert rows["GRPO"][1] == "rule"
    assert rows["GRPO"][4:] == ["k3 in the loss, beta 0.04", "sequence_mean", "5e-05", "8", "1"]


def test_the_equivalence_table_says_what_is_rewarded_and_over_what_the_loss_is_a_mean(make_study):
    methods = ("dapo", "grpo_model", "grpo_random", "grpo")
    study = load_study(make_study(methods=methods, seeds=(0,)))
    table = table_of(study)
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


def test_pipes_in_a_cell_do_not_split_it(make_study):
    study = load_study(make_study(methods=("a|b",), seeds=(0,)))
    assert "| a\\|b |" in table_of(study).markdown()


def test_a_method_stands_beside_its_paper_and_the_defaults_of_frameworks(make_study):
    study = load_study(make_study(methods=("grpo", "mine.py:RLOO"), seeds=(0,)))
    table = frameworks_table(study, "grpo")
    assert table.columns == ("GRPO", "here", "DeepSeekMath", "TRL", "verl", "OpenRLHF")
    rows = text(table)
    assert rows["group size"] == ["8", "64", "8", "1", "1"]
    assert rows["KL"][:3] == ["k3 in the loss, beta 0.04", "k3 in the loss, 0.04", "off (beta 0.0)"]
    assert rows["read"][1:] == ["2026-11"] * 4
    assert rows["besides"][0] == "1 update a batch"
    assert frameworks_table(study, "mine.py:RLOO").rows == ()


def test_a_cell_that_collapsed_is_named_with_what_happened(make_study):
    path = make_study(methods=("ppo", "grpo"), seeds=(0,))
    status = path / "ppo-s0-abcdef0123/status.json"
    changed = {"collapsed": True, "message": "collapsed at batch 7: one-token responses"}
    write_json(status, read_json(status) | changed)
    assert text(collapsed_table(load_study(path))) == {
        "PPO": ["0", "collapsed at batch 7: one-token responses", "ppo-s0-abcdef0123"]
    }


def test_of_very_many_cells_the_page_shows_the_first_and_the_csv_all(make_study):
    seeds = tuple(range(SHOWN + 5))
    path = make_study(methods=("grpo",), seeds=seeds, problems=2, interim=0, batches=1)
    study = load_study(path)
    table = cells_table(study, look=marks(study.methods))
    assert len(table.rows) == SHOWN
    assert len(table.csv().splitlines()) == len(seeds) + 1
    assert table.left_out == f"The first {SHOWN} of {len(seeds)} rows; all are in tables/cells.csv."
    assert table.markdown().endswith(table.left_out)
