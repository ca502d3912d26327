import math
from itertools import pairwise

import numpy as np
import optuna
import pytest
from scipy import stats

from ablations.designs import planned_points, pruner, sampler, suggest

SPACE = {
    "group_size": {"levels": [4, 8], "low": 2, "high": 64, "log": True, "baseline": 8},
    "kl_coefficient": {"levels": [0.01], "low": 0.001, "high": 0.3, "log": True},
    "temperature": {"low": 0.5, "high": 1.5, "baseline": 1.0},
    "epochs": {"low": 1, "high": 4, "baseline": 1},
    "clip": {"levels": {"narrow": {"clip_epsilon": 0.1}, "none": {"clip_epsilon": None}}},
}


def test_a_grid_is_every_combination_in_order(declare) -> None:
    study = declare(
        factors={"epochs": {"levels": [1, 2]}, "kl_estimator": {"levels": ["k1", "k2", "k3"]}}
    )
    assert planned_points(study) == [
        {"epochs": 1, "kl_estimator": "k1"},
        {"epochs": 1, "kl_estimator": "k2"},
        {"epochs": 1, "kl_estimator": "k3"},
        {"epochs": 2, "kl_estimator": "k1"},
        {"epochs": 2, "kl_estimator": "k2"},
        {"epochs": 2, "kl_estimator": "k3"},
    ]


def test_leave_one_out_is_the_baseline_and_each_factor_away_from_it_alone(declare) -> None:
    study = declare(
        design="leave_one_out",
        factors={
            "epochs": {"levels": [1, 2, 4], "baseline": 2},
            "reset_reference": {"levels": [True, False]},
        },
    )
    assert planned_points(study) == [
        {"epochs": 2, "reset_reference": True},
        {"epochs": 1, "reset_reference": True},
        {"epochs": 4, "reset_reference": True},
        {"epochs": 2, "reset_reference": False},
    ]


def test_sobol_points_lie_in_range_and_repeat(declare) -> None:
    study = declare(design="quasi_random", trials=20, factors=SPACE)
    points = planned_points(study)
    assert points == planned_points(study)
    assert len(points) == 20
    for point in points:
        assert isinstance(point["group_size"], int) and 2 <= point["group_size"] <= 64
        assert 0.001 <= point["kl_coefficient"] <= 0.3
        assert 0.5 <= point["temperature"] <= 1.5
        assert point["epochs"] in (1, 2, 3, 4)
        assert point["clip"] in ("narrow", "none")
    assert len({str(point) for point in points}) == 20


def test_sobol_points_fill_the_space_evenly(declare) -> None:
    points = planned_points(declare(design="quasi_random", trials=64, factors=SPACE))
    # Of 64 points every quarter of a range holds 16, by the scale that is declared.
    rates = np.log([point["kl_coefficient"] for point in points])
    low, high = math.log(0.001), math.log(0.3)
    assert list(np.histogram(rates, bins=4, range=(low, high))[0]) == [16] * 4
    heat = [point["temperature"] for point in points]
    assert list(np.histogram(heat, bins=4, range=(0.5, 1.5))[0]) == [16] * 4
    assert np.bincount([point["epochs"] for point in points]).tolist() == [0, 16, 16, 16, 16]
    assert sum(point["clip"] == "none" for point in points) == 32


def test_both_ends_of_a_range_of_whole_numbers_are_reached(declare) -> None:
    factors = {"epochs": {"low": 1, "high": 3, "log": True, "baseline": 1}}
    points = planned_points(declare(design="quasi_random", trials=64, factors=factors))
    assert {point["epochs"] for point in points} == {1, 2, 3}


@pytest.mark.parametrize("count", [1, 3, 8])
def test_more_trials_begin_with_the_points_of_fewer(declare, count) -> None:
    few = planned_points(declare(design="quasi_random", trials=count, factors=SPACE))
    many = planned_points(declare(design="quasi_random", trials=17, factors=SPACE))
    assert many[:count] == few


def test_tpe_begins_with_a_third_of_sobol_points_and_leaves_the_rest_open(declare) -> None:
    points = planned_points(declare(design="tpe", trials=7, factors=SPACE))
    first = planned_points(declare(design="quasi_random", trials=3, factors=SPACE))
    assert points == [*first, {}, {}, {}, {}]


def test_a_trial_takes_the_point_that_was_queued_for_it(declare) -> None:
    study = declare(design="quasi_random", trials=4, factors=SPACE)
    trials = optuna.create_study(sampler=sampler(study))
    for point in planned_points(study):
        trials.enqueue_trial(point)
        assert suggest(trials.ask(), study) == point


def test_a_grid_asks_for_levels_even_where_a_range_is_declared(declare) -> None:
    study = declare(factors={"group_size": SPACE["group_size"]})
    trials = optuna.create_study()
    trials.enqueue_trial({"group_size": 8})
    trial = trials.ask()
    assert suggest(trial, study) == {"group_size": 8}
    assert trial.distributions == {
        "group_size": optuna.distributions.CategoricalDistribution((4, 8))
    }


def test_what_is_left_open_is_chosen_in_range_and_towards_what_was_good(declare) -> None:
    study = declare(design="tpe", trials=12, factors={"temperature": SPACE["temperature"]})
    trials = optuna.create_study(direction="maximize", sampler=sampler(study))
    found = []
    for point in planned_points(study):
        trials.enqueue_trial(point)
        trial = trials.ask()
        level = suggest(trial, study)["temperature"]
        assert 0.5 <= level <= 1.5
        found.append(level)
        trials.tell(trial, -abs(level - 1.2))
    errors = [abs(level - 1.2) for level in found]
    assert np.mean(errors[4:]) < np.mean(errors[:4])


def test_trials_that_ask_at_the_same_time_are_sent_to_different_places(declare) -> None:
    study = declare(design="tpe", trials=9, factors={"temperature": SPACE["temperature"]})

    def first_choice(index: int) -> float:
        trials = optuna.create_study(sampler=sampler(study, index=index))
        for number in range(3):
            trials.add_trial(
                optuna.trial.create_trial(
                    params={"temperature": 0.6 + 0.3 * number},
                    distributions={"temperature": optuna.distributions.FloatDistribution(0.5, 1.5)},
                    value=number,
                )
            )
        return suggest(trials.ask(), study)["temperature"]

    chosen = sorted(first_choice(index) for index in (3, 4, 5))
    assert all(abs(a - b) > 1e-6 for a, b in pairwise(chosen))
    assert first_choice(3) == first_choice(3)


@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_the_pruner_is_the_declared_one(declare) -> None:
    kinds = {
        "none": optuna.pruners.NopPruner,
        "median": optuna.pruners.MedianPruner,
        "hyperband": optuna.pruners.HyperbandPruner,
        "wilcoxon": optuna.pruners.WilcoxonPruner,
    }
    for name, kind in kinds.items():
        made = pruner(declare(pruner=name, seeds=[1, 2, 3, 4, 5]))
        assert type(made) is kind


def test_four_worse_seeds_are_the_fewest_that_wilcoxon_can_be_sure_of() -> None:
    p_values = [stats.wilcoxon(-np.arange(1, n + 1), alternative="less").pvalue for n in (3, 4)]
    assert p_values[0] > 0.1 > p_values[1]
