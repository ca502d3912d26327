from reports.ablation.effects import main_effects, ranking_of
from reports.ablation.verdict import caution, sentences

SEEDS = tuple(range(1000, 1006))


def say(sweep, rng):
    ranking = ranking_of(sweep, rng=rng)
    return sentences(sweep, ranking, main_effects(sweep, rng=rng)), caution(sweep, ranking)


def test_a_clear_gain_is_called_better_with_its_interval(make_grid, read, rng):
    path = make_grid({(8, 0.04): 0.4, (16, 0.04): 0.6}, seeds=SEEDS, noise=True, spread=0.2)
    (best, factors, cost), _ = say(read(path), rng)
    assert best.startswith("On the validation split, group_size 16, kl_coefficient 0.04 has the ")
    assert " points against the baseline (+" in best and best.endswith("): better.")
    assert factors.startswith("group_size mattered most: 16 instead of 8 is +")
    assert factors.endswith("it stands out from noise.")
    assert cost == (
        "The 2 trials took 8.0 min of device time and 1.2M sampled tokens, at 6 seeds a complete "
        "trial; none was pruned and none failed."
    )


def test_what_is_not_established_is_called_inconclusive(holed_grid, read, rng):
    (best, factors, cost), warned = say(read(holed_grid), rng)
    assert best.endswith("after Holm's correction over 6 settings): inconclusive.")
    assert factors.startswith("The largest effect is group_size's: 16 instead of 4 is +12.0 points")
    assert "compared at 1 of 3 combinations" in factors
    assert factors.endswith("group_size and kl_coefficient could not be told from noise.")
    assert cost.endswith("1 pruned and 2 failed.")
    assert "is inconclusive. As the best of 7 it was chosen on the very validation" in warned
    assert "winner's curse" in warned


def test_one_seed_says_what_cannot_be_known(make_grid, read, rng):
    path = make_grid({(8, 0.04): 0.25, (16, 0.04): 0.75}, seeds=(1000,), noise=True)
    (best, factors, _), warned = say(read(path), rng)
    assert "with one seed it cannot be known whether it is better" in best
    assert factors.endswith("with one seed no factor can be told from noise.")
    assert "rests on one seed" in warned


def test_a_baseline_that_nothing_beats_is_said_to_be_one(make_grid, read, rng):
    (best, _, _), _ = say(read(make_grid({(8, 0.04): 0.75, (16, 0.04): 0.5})), rng)
    assert "is the baseline, and no setting has a higher mean than the baseline" in best


def test_without_a_baseline_trial_the_gain_is_not_known(make_grid, read, rng):
    (best, _, _), _ = say(read(make_grid({(16, 0.0): 0.75, (16, 0.01): 0.5})), rng)
    assert best.endswith("no trial has the baseline's setting, so its gain is not known.")


def test_a_sampled_design_claims_importances_but_no_effects(sampled, read, rng):
    (best, factors, _), _ = say(read(sampled), rng)
    assert "of the settings that fit into memory" in best
    assert factors.startswith("By Optuna's importances learning_rate mattered most (0.70 of")
    assert factors.endswith("so none can be told from noise.")


def test_a_failed_gate_ranks_nothing(make_grid, read, rng):
    (best, _, _), _ = say(read(make_grid({(8, 0.04): 0.5, (16, 0.0): 0.75}, passed=False)), rng)
    assert "which does not rank it" in best and "better" not in best


def test_nothing_complete_has_no_best_setting(make_grid, read, rng):
    path = make_grid({(8, 0.04): 0.5}, changes={(8, 0.04): {"state": "pruned"}})
    (best, factors, cost), warned = say(read(path), rng)
    assert best == "No trial is complete, so there is no best setting."
    assert factors == "No factor was completed at two levels, so no effect is known."
    assert cost.endswith("; 1 pruned.") and warned == ""
