import numpy as np
import pytest

from bakeoff.errors import ConfigError
from reports.power import minimum_detectable_difference, seeds_needed
from reports.statistics import paired_p_value


def study(rng, seeds, *, seed, problem=0.3, noise=0.4, problems=40, mean=0.0):
    return (
        mean
        + seed * rng.normal(size=(seeds, 1))
        + problem * rng.normal(size=(1, problems))
        + noise * rng.normal(size=(seeds, problems))
    )


def exact_study(seeds, *, seed, problem, noise, problems=40):
    """A table whose mean squares are those of the variances, with mean 0."""
    rng = np.random.default_rng(0)
    by_seed = rng.normal(size=seeds)
    by_problem = rng.normal(size=problems)
    cells = rng.normal(size=(seeds, problems))
    cells -= cells.mean(axis=0) + cells.mean(axis=1, keepdims=True) - cells.mean()
    by_seed -= by_seed.mean()
    by_problem -= by_problem.mean()
    freedom = (seeds - 1) * (problems - 1)
    return (
        by_seed[:, None] / by_seed.std(ddof=1) * np.sqrt(seed**2 + noise**2 / problems)
        + by_problem[None, :] / by_problem.std(ddof=1) * np.sqrt(problem**2 + noise**2 / seeds)
        + cells / np.sqrt((cells**2).sum() / freedom) * noise
    )


def one_seed(problem, problems=40):
    values = np.random.default_rng(0).normal(size=problems)
    return ((values - values.mean()) / values.std(ddof=1) * problem)[None, :]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("table", "parts"),
    [
        (one_seed(0.3), {"seed": 0.0, "noise": 0.0}),
        (exact_study(3, seed=0.1, problem=0.3, noise=0.4), {"seed": 0.1}),
        (exact_study(5, seed=0.05, problem=0.3, noise=0.4), {"seed": 0.05}),
    ],
)
def test_the_detectable_difference_is_found_in_four_of_five_studies(table, parts):
    size = minimum_detectable_difference(table)
    rng = np.random.default_rng(1)
    found = [paired_p_value(study(rng, len(table), mean=size, **parts)) < 0.05 for _ in range(3000)]
    assert 0.77 <= np.mean(found) <= 0.83


@pytest.mark.slow
def test_the_seeds_needed_find_the_observed_difference_in_four_of_five_studies():
    pilot = 0.15 + exact_study(3, seed=0.1, problem=0.3, noise=0.4)
    needed = seeds_needed(pilot)
    assert needed is not None and needed > 3
    rng = np.random.default_rng(2)

    def share_found(seeds):
        return np.mean(
            [paired_p_value(study(rng, seeds, seed=0.1, mean=0.15)) < 0.05 for _ in range(2000)]
        )

    assert 0.77 <= share_found(needed) <= 0.88
    assert share_found(needed - 1) < 0.82


def test_many_seeds_leave_the_usual_sum_of_two_quantiles():
    # 100 seeds, no effect of problems: (1.984 + 0.845) * 0.2 / 10, Student's t of 99.
    table = exact_study(100, seed=0.2, problem=0.0, noise=1e-6)
    assert minimum_detectable_difference(table) == pytest.approx(2.829 * 0.02, rel=0.01)


def test_a_larger_difference_needs_fewer_seeds_and_none_needs_none_at_all():
    noise = exact_study(3, seed=0.1, problem=0.1, noise=0.3)
    small, large = seeds_needed(noise + 0.1), seeds_needed(noise + 0.4)
    assert small is not None and large is not None
    assert large < 6 < small
    assert seeds_needed(np.zeros((3, 5))) is None


def test_problems_that_disagree_cannot_be_outvoted_by_seeds():
    table = 0.05 + exact_study(3, seed=0.01, problem=0.5, noise=0.01)
    assert seeds_needed(table) is None


def test_one_seed_cannot_plan_others():
    assert seeds_needed(one_seed(0.3) + 0.1) is None


def test_one_problem_is_refused():
    with pytest.raises(ConfigError, match="2 or more shared problems, got 1"):
        minimum_detectable_difference(np.array([[0.1, np.nan], [0.3, np.nan]]))
