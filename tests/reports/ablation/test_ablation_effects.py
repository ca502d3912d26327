import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from reports.ablation.effects import main_effects, pooled, ranking_of
from reports.statistics import holm, paired_p_value

GRID = {
    (4, 0.0): 0.25, (4, 0.04): 0.375, (8, 0.0): 0.5, (8, 0.04): 0.5625,
    (16, 0.0): 0.625, (16, 0.04): 0.8125,
}  # fmt: skip


def frame(path) -> pd.DataFrame:
    """Every final score straight from the records, with the levels of its trial."""
    study = json.loads((path / "study.json").read_text())
    levels = {trial["arm"]: trial["levels"] for trial in study["ablation"]["trials"]}
    rows = []
    for cell in study["cells"]:
        for text in (path / cell["directory"] / "evaluations.jsonl").read_text().splitlines():
            row = json.loads(text)
            if row["final"]:
                rows.append(
                    levels[cell["method"]]
                    | {"seed": cell["seed"], "problem": row["problem"],
                       "score": float(np.mean(row["correct"]))}
                )  # fmt: skip
    return pd.DataFrame(rows)


def test_main_effects_of_a_grid_are_the_marginal_means(full_grid, read, rng):
    effects = main_effects(read(full_grid), rng=rng)
    scores = frame(full_grid)
    assert [effect.factor.name for effect in effects] == ["group_size", "kl_coefficient"]
    for effect in effects:
        expected = scores.groupby(effect.factor.name)["score"].mean()
        found = {level.values[0]: level.interval.mean for level in effect.levels}
        assert found == pytest.approx(expected.to_dict())
        assert effect.balanced and effect.combinations == 3


def test_a_span_is_paired_by_seed_and_problem(full_grid, read, rng):
    span = main_effects(read(full_grid), rng=rng)[0].span
    means = frame(full_grid).groupby(["group_size", "seed", "problem"])["score"].mean()
    difference = (means[16] - means[4]).unstack().to_numpy()
    assert span is not None and (span.a, span.b) == ("16", "4")
    assert span.interval.mean == pytest.approx(difference.mean())
    assert span.p_value == pytest.approx(paired_p_value(difference))


def test_spans_pay_for_the_choice_of_two_levels_and_for_all_factors(full_grid, read, rng):
    spans = [effect.span for effect in main_effects(read(full_grid), rng=rng)]
    # Three levels make three pairs; then Holm over the two factors.
    expected = holm([min(1.0, 3 * span.p_value) for span in spans])
    assert [span.p_value_holm for span in spans] == pytest.approx(expected)


def test_holes_leave_the_combinations_that_every_level_completed(holed_grid, read, rng):
    sweep = read(holed_grid)
    effect = main_effects(sweep, rng=rng)[0]
    # kl 0 lacks group size 4 (pruned), kl 0.04 lacks 16 (failed): 0.01 alone is like for like.
    assert (effect.matched, effect.combinations, effect.balanced) == (1, 3, False)
    scores = frame(holed_grid)
    means = scores[scores["kl_coefficient"] == 0.01].groupby("group_size")["score"].mean()
    assert effect.span is not None
    assert effect.span.interval.mean == pytest.approx(means[16] - means[4])
    # The conditional mean of a level weighs its settings equally, the pruned one with one seed.
    by_setting = scores.groupby(["group_size", "kl_coefficient"])["score"].mean()
    assert effect.levels[0].interval.mean == pytest.approx(by_setting[4].mean())
    assert len(effect.levels[2].settings) == 2


def test_a_setting_that_was_pruned_at_its_last_seed_is_compared_like_for_like_with_none(
    make_grid, read, rng
):
    rates = {(8, 0.0): 0.25, (16, 0.0): 0.5, (8, 0.04): 0.25, (16, 0.04): 0.75}
    effect = main_effects(
        read(make_grid(rates, changes={(16, 0.04): {"state": "pruned"}})), rng=rng
    )[0]
    assert (effect.matched, effect.combinations) == (1, 2)
    assert effect.span is not None and effect.span.interval.mean == pytest.approx(0.25)


def test_a_missing_seed_is_stood_in_for_by_the_settings_own_mean(make_grid, read):
    pruned = {(16, 0.04): {"state": "pruned", "seeds": 1}}
    sweep = read(make_grid({(8, 0.04): 0.5, (16, 0.04): 0.25}, seed_shift=0.125, changes=pruned))
    # Seeds of the first: 0.5 and 0.625; of the pruned one: 0.25 and, standing in, 0.25.
    np.testing.assert_allclose(pooled(sweep.settings).mean(axis=1), [0.375, 0.4375])


def test_a_seed_that_no_setting_has_stays_missing(make_grid, read):
    changes = {(8, 0.04): {"seeds": 1}}
    sweep = read(make_grid({(8, 0.04): 0.5, (16, 0.04): 0.25}, changes=changes))
    table = pooled(sweep.settings[:1])
    assert np.isnan(table[1]).all() and (table[0] == 0.5).all()


def test_a_sampled_range_is_shown_in_bins_and_claims_nothing(sampled, read, rng):
    sweep = read(sampled)
    rate = main_effects(sweep, rng=rng)[0]
    assert [len(level.settings) for level in rate.levels] == [3, 3, 3, 3]
    assert rate.span is None and not rate.balanced
    scores = frame(sampled)
    by_trial = scores.groupby("learning_rate")["score"].mean().sort_index()
    expected = [by_trial.iloc[i : i + 3].mean() for i in range(0, 12, 3)]
    assert [level.interval.mean for level in rate.levels] == pytest.approx(expected)


def test_one_factor_at_a_time_compares_each_with_the_baseline_alone(leave_one_out, read, rng):
    effects = {e.factor.name: e for e in main_effects(read(leave_one_out), rng=rng)}
    scores = frame(leave_one_out)
    whole = scores.query("clip == 'higher' and filter == 'on' and loss == 'token_mean'")
    for effect in effects.values():
        # Trials that moved another factor are not in the mean of the baseline's level.
        first = effect.levels[0]
        assert first.values == (effect.factor.baseline,)
        assert first.interval.mean == pytest.approx(whole["score"].mean())
    assert effects["filter"].span.verdict == "better"
    assert (effects["filter"].span.a, effects["filter"].span.b) == ("on", "off")


def test_the_best_setting_is_a_complete_one(make_grid, read, rng):
    ranking = ranking_of(read(make_grid(GRID, changes={(16, 0.04): {"state": "pruned"}})), rng=rng)
    assert ranking.best.trial.levels == {"group_size": 16, "kl_coefficient": 0.0}
    assert ranking.candidates == 5
    assert ranking.lead.interval.mean == pytest.approx(0.625 - 0.5625)
    assert ranking.gain.interval.mean == pytest.approx(0.625 - 0.5625)


def test_the_best_setting_fits_into_memory(make_grid, read, rng):
    path = make_grid(GRID, changes={(16, 0.04): {"peak_bytes": 9e9}}, fits_bytes=8e9)
    assert ranking_of(read(path), rng=rng).best.trial.levels["kl_coefficient"] == 0.0


def test_every_setting_is_tested_against_the_baseline_as_one_family(full_grid, read, rng):
    sweep = read(full_grid)
    ranking = ranking_of(sweep, rng=rng)
    assert set(ranking.against_baseline) == {0, 1, 2, 3, 4, 6, 7, 8}
    raw, adjusted = [], []
    for setting in sweep.settings:
        if setting is not sweep.baseline:
            raw.append(paired_p_value(setting.scores - sweep.baseline.scores))
            adjusted.append(ranking.against_baseline[setting.trial.number].p_value_holm)
    assert adjusted == pytest.approx(holm(raw))


def test_with_one_seed_nothing_is_claimed_however_large(make_grid, read, rng):
    path = make_grid({(8, 0.04): 0.25, (16, 0.04): 0.75}, seeds=(1000,), noise=True, spread=0.1)
    sweep = read(path)
    ranking = ranking_of(sweep, rng=rng)
    assert ranking.gain.p_value < 0.001 and ranking.gain.seeds == 1
    assert ranking.gain.verdict == "inconclusive" and ranking.tests == 0
    assert main_effects(sweep, rng=rng)[0].span.verdict == "inconclusive"


def test_a_pruned_setting_with_one_seed_takes_no_place_in_the_family(holed_grid, read, rng):
    ranking = ranking_of(read(holed_grid), rng=rng)
    assert ranking.against_baseline[0].seeds == 1
    assert ranking.tests == len(ranking.against_baseline) - 1 == 6


def test_clear_gains_with_seeds_enough_are_better(make_grid, read, rng):
    path = make_grid(
        {(8, 0.04): 0.4, (16, 0.04): 0.6}, seeds=tuple(range(1000, 1005)), noise=True, spread=0.2
    )
    assert ranking_of(read(path), rng=rng).gain.verdict == "better"


def test_without_a_baseline_trial_there_is_no_gain(make_grid, read, rng):
    sweep = replace(read(make_grid({(16, 0.0): 0.5, (16, 0.01): 0.25})), baseline=None)
    ranking = ranking_of(sweep, rng=rng)
    assert ranking.gain is None and ranking.against_baseline == {}


def test_nothing_complete_has_no_best(make_grid, read, rng):
    path = make_grid({(8, 0.04): 0.5}, changes={(8, 0.04): {"state": "pruned"}})
    assert ranking_of(read(path), rng=rng) is None
