import csv
import io

import pytest

from reports.ablation.effects import main_effects, ranking_of
from reports.ablation.tables import (
    baseline_table,
    effects_table,
    factors_table,
    levels_table,
    points_text,
    states,
    total_cost,
    trials_table,
    variance_table,
    varied_table,
)
from reports.ablation.variance import variance_sources


def texts(table) -> list[list[str]]:
    return [[entry.plain for entry in row] for row in table.rows]


def test_trials_are_listed_best_first_and_the_last_row_is_the_bill(holed_grid, read, rng):
    sweep = read(holed_grid)
    table = trials_table(sweep, ranking_of(sweep, rng=rng))
    rows = texts(table)
    assert [row[0] for row in rows] == [
        "7, best", "4", "5, baseline", "6", "3", "1", "2", "0", "8", "9", "all",
    ]  # fmt: skip
    assert rows[7][3] == "pruned (median: 0.41 below 0.55)" and rows[7][-3] == "1"
    assert rows[8][3:5] == ["failed (loss is not finite)", "–"]
    # Seven whole trials of two cells and one cell of the pruned one, 40 s and 100k tokens each.
    assert rows[-1][3] == "7 complete, 2 failed, 1 pruned"
    assert rows[-1][-3:] == ["15", "10.0 min", "1.5M"]


def test_total_costs_count_every_trial(holed_grid, read):
    trials = read(holed_grid).ablation.trials
    assert total_cost(trials) == {
        "device_seconds": 600.0, "wall_seconds": 750.0, "sampled_tokens": 1.5e6, "flops": 1.5e14,
    }  # fmt: skip
    assert states(trials[:1]) == "1 pruned"


def test_the_csv_of_the_trials_has_every_number_in_full(sampled, read, rng):
    sweep = read(sampled)
    table = trials_table(sweep, ranking_of(sweep, rng=rng))
    rows = list(csv.DictReader(io.StringIO(table.csv())))
    by_trial = {int(row["trial"]): row for row in rows}
    for setting in sweep.settings:
        row = by_trial[setting.trial.number]
        assert float(row["learning_rate"]) == setting.trial.levels["learning_rate"]
        assert float(row["pass@1"]) == setting.mean
        assert float(row["peak_bytes"]) == setting.objectives["peak_bytes"].mean
    assert "peak memory" in table.columns and "tokens a second" not in table.columns


def test_factors_say_their_levels_or_their_range(sampled, read):
    assert texts(factors_table(read(sampled))) == [
        ["learning_rate", "–", "1e-5 to 0.001, log", "1e-4"],
        ["group_size", "rollouts a problem", "4, 8, 16", "8"],
    ]


def test_levels_name_the_baseline(leave_one_out, read, rng):
    found = texts(levels_table(main_effects(read(leave_one_out), rng=rng)))
    assert [row[:3] for row in found[:2]] == [["clip", "higher, baseline", "1"],
                                              ["clip", "symmetric", "1"]]  # fmt: skip


def test_effects_without_like_for_like_show_no_difference(holed_grid, sampled, read, rng):
    holed = texts(effects_table(main_effects(read(holed_grid), rng=rng), {"group_size": 0.8}))
    assert holed[0][1] == "16 − 4" and holed[0][-2:] == ["1 of 3", "0.80"]
    assert holed[1][-1] == "–"  # no importance is on record for it
    free = texts(effects_table(main_effects(read(sampled), rng=rng), None))
    assert [row[1:4] for row in free] == [["not like for like", "–", "–"]] * 2


def test_shares_stand_beside_what_noise_would_give(full_grid, read):
    rows = texts(variance_table(variance_sources(read(full_grid)), {"group_size": 0.8}))
    assert [row[-1] for row in rows] == ["0.80", "–", "–"]
    assert sum(float(row[1]) for row in rows) == pytest.approx(100, abs=0.15)
    assert all(float(row[2]) < 5 for row in rows)


def test_one_seed_has_no_p_value_and_says_so(holed_grid, read, rng):
    sweep = read(holed_grid)
    last = texts(baseline_table(sweep, ranking_of(sweep, rng=rng)))[-1]
    assert last[0] == "group_size 4, kl_coefficient 0" and last[1] == "1"
    assert last[3:] == ["–", "–", "one seed: not known (pruned)"]


def test_what_varied_is_the_factors_and_nothing_else(full_grid, read):
    assert texts(varied_table(read(full_grid).study)) == [
        ["group_size", "4, 8, 16"],
        ["kl_coefficient", "0, 0.01, 0.04"],
    ]


@pytest.mark.parametrize(("share", "text"), [(0.031, "+3.1"), (-0.2, "−20.0"), (-0.0004, "+0.0")])
def test_points_carry_a_sign(share, text):
    assert points_text(share) == text
