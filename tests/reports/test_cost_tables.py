import numpy as np
import pytest

from reports.comparison import compare
from reports.cost_tables import cost_table, phase_table, ranking_table, set_up_table, tuning_table
from reports.load import load_study
from reports.set_up import SetUp
from reports.tuning import Tuning


def text(table):
    return {row[0].text: [entry.plain for entry in row[1:]] for row in table.rows}


def test_costs_are_means_over_seeds(make_study):
    study = load_study(make_study(methods=("ppo", "rft")))
    rows, phases = text(cost_table(study)), text(phase_table(study))
    assert rows["device time, charged"] == ["15.0 min", "7.0 min"]
    assert "verifier errors" not in rows
    assert phases["peak memory: update"] == ["640 MB", "420 MB"]
    assert phases["seconds: measure"][1] == "–"
    order = list(phases)
    assert order.index("seconds: sample") < order.index("seconds: load")
    assert order.index("seconds: load") < order.index("peak memory: sample")


def needs(method, seconds, *, charged=False):
    return SetUp(
        method=method,
        what="reward model, trained",
        seconds=seconds,
        sampled_tokens=None,
        charged=charged,
        source="prm/training.json",
    )


def test_a_cost_that_no_record_holds_is_not_called_zero():
    rows = text(set_up_table([needs("grpo", None), needs("ppo", 90.0, charged=True)]))
    assert rows["GRPO"][1:4] == ["not recorded", "–", "no"]
    assert rows["PPO"][1:4] == ["90 s", "–", "yes"]


def test_set_up_beside_the_budget_changes_who_is_the_most_efficient(make_study):
    study = load_study(make_study(methods=("rft", "grpo"), problems=60))
    comparison = compare(study, rng=np.random.default_rng(0))
    table = ranking_table(comparison, [needs("grpo", 3600.0)])
    first, second = table.records
    assert (first["method"], second["method"]) == ("rft", "grpo")
    gain = comparison.gains["grpo"]["pass@1"].mean
    assert second["gain_a_minute"] == pytest.approx(gain * 60 / 620)
    assert second["gain_a_minute_with_set_up"] == pytest.approx(gain * 60 / (620 + 3600))
    # Without the hour of its reward model GRPO comes first.
    assert [entry.detail for entry in table.rows[1][-2:]] == ["rank 1", "rank 2"]


def test_there_is_no_second_ranking_where_the_budget_knows_every_cost(make_study):
    study = load_study(make_study(methods=("rft", "grpo"), seeds=(0,)))
    comparison = compare(study, rng=np.random.default_rng(0))
    assert ranking_table(comparison, [needs("rft", 90.0, charged=True)]).rows == ()


def test_tuning_is_told_method_by_method_and_never_called_zero():
    table = tuning_table(
        [
            Tuning(
                source="runs/rates",
                method="grpo",
                settings=5,
                cells=10,
                device_seconds=300.0,
                sampled_tokens=4e6,
            ),
            Tuning(source="runs/gone"),
        ]
    )
    rows = text(table)
    assert rows["GRPO"] == ["runs/rates", "5", "10", "5.0 min", "4M"]
    assert rows["all"] == ["runs/gone", "–", "–", "not recorded", "not recorded"]
    assert table.records[0]["sampled_tokens"] == 4e6
