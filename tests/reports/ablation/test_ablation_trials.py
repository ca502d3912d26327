import json

import numpy as np
import pytest

from reports.ablation.trials import level_text, mean_known


@pytest.mark.parametrize(
    ("level", "text"),
    [(16, "16"), (0.0, "0"), (0.04, "0.04"), (1e-5, "1e-5"), (1.0542e-4, "1.05e-4"),
     (2e6, "2e6"), ("token_mean", "token_mean")],
)  # fmt: skip
def test_levels_read_as_people_write_them(level, text):
    assert level_text(level) == text


def test_a_trial_has_the_scores_of_its_cells_and_nan_where_a_seed_is_missing(make_grid, read):
    rates = {(8, 0.04): 0.5, (16, 0.04): 0.75}
    pruned = {"state": "pruned", "seeds": 1}
    sweep = read(make_grid(rates, seed_shift=0.125, changes={(16, 0.04): pruned}))
    baseline, other = sweep.settings
    assert sweep.seeds == (1000, 1001)
    np.testing.assert_allclose(np.nanmean(baseline.scores, axis=1), [0.5, 0.625])
    assert np.isnan(other.scores[1]).all() and (other.scores[0] == 0.75).all()
    assert other.seeds == (1000,) and not other.complete
    assert sweep.baseline is baseline


def test_a_failed_trial_is_no_setting_though_one_of_its_cells_finished(make_grid, read):
    failed = {"state": "failed", "seeds": 1}
    sweep = read(make_grid({(8, 0.04): 0.5, (16, 0.04): 0.75}, changes={(16, 0.04): failed}))
    assert [setting.trial.number for setting in sweep.settings] == [0]


def test_trials_that_share_an_arm_count_once(make_grid, read):
    path = make_grid({(8, 0.04): 0.5, (16, 0.04): 0.75})
    study = json.loads((path / "study.json").read_text())
    study["ablation"]["trials"].append(study["ablation"]["trials"][1] | {"number": 2})
    (path / "study.json").write_text(json.dumps(study))
    assert [setting.trial.number for setting in read(path).settings] == [0, 2]


def test_memory_and_speed_come_from_the_ledgers_of_the_seeds(make_grid, read):
    sweep = read(make_grid({(8, 0.04): 0.5}))
    found = sweep.settings[0].objectives
    # 9000 x (1 + 0.01 x (seed mod 7)), seeds 1000 and 1001 leaving 6 and 0.
    assert found["tokens_per_second"].mean == pytest.approx(9000 * 1.03)
    assert found["peak_bytes"].mean == 4e8  # the highest phase
    assert sweep.settings[0].zero_variance_share == 0.25
    kl = sweep.settings[0].kl_to_start
    assert kl is not None and kl.mean == pytest.approx(0.1)


def test_one_seed_leaves_the_ends_of_a_ledgers_interval_unknown(make_grid, read):
    found = read(make_grid({(8, 0.04): 0.5}, seeds=(1000,))).settings[0].objectives
    assert not np.isfinite(found["peak_bytes"].high)


def test_a_label_names_what_moved_and_a_long_one_is_a_number(leave_one_out, sampled, read):
    labels = [setting.label for setting in read(leave_one_out).settings]
    assert labels == ["baseline", "clip symmetric", "filter off", "loss sequence_mean"]
    assert read(sampled).settings[0].label == "learning_rate 1e-4, group_size 8"


def test_means_leave_out_what_is_missing():
    values = np.array([[1.0, np.nan, np.nan], [3.0, 4.0, np.nan]])
    np.testing.assert_array_equal(mean_known(values, axis=0), [2.0, 4.0, np.nan])
