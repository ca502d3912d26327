import importlib.util
import sys
from types import ModuleType

import numpy as np
import pytest

from bakeoff.errors import ConfigError
from reports.aggregates import (
    interquartile_mean,
    interquartile_mean_interval,
    performance_profile,
)
from reports.statistics import probability_of_improvement

# rliable wants arch's bootstrap only; all of arch 7 does not import beside pandas 3.
ARCH = importlib.util.find_spec("arch")
assert ARCH is not None and ARCH.submodule_search_locations is not None
sys.modules.setdefault("arch", ModuleType("arch")).__path__ = list(ARCH.submodule_search_locations)

from rliable import library, metrics  # noqa: E402

THRESHOLDS = np.linspace(0.0, 1.0, 6)


@pytest.fixture
def seeded_rliable():
    # rliable draws from numpy's global generator whatever random state it is given.
    state = np.random.get_state()
    np.random.seed(0)
    yield
    np.random.set_state(state)


def matrices():
    rng = np.random.default_rng(4)
    for runs, tasks in ((3, 4), (5, 3), (10, 7)):
        yield rng.beta(2, 2, (runs, tasks)) ** np.linspace(0.5, 3, tasks)


def test_the_interquartile_mean_by_hand():
    # Eight scores: two are cut at either end.
    scores = np.array([[0.0, 100.0, 3.0, 1.0], [2.0, -5.0, 4.0, 7.0]])
    assert interquartile_mean(scores) == pytest.approx((1 + 2 + 3 + 4) / 4)


def test_the_interquartile_mean_is_rliables():
    for scores in matrices():
        assert interquartile_mean(scores) == pytest.approx(metrics.aggregate_iqm(scores))


def test_the_interval_is_rliables_within_monte_carlo_error(rng, seeded_rliable):
    for scores in matrices():
        _, expected = library.get_interval_estimates(
            {"a": scores}, lambda x: np.array([metrics.aggregate_iqm(x)]), reps=2000
        )
        low, high = expected["a"].ravel()
        found = interquartile_mean_interval(scores, rng=rng, resamples=8000)
        # A 2.5 % quantile of 2000 and of 8000 draws: 0.05 of the width is 3 standard errors.
        margin = 0.05 * (high - low)
        assert (found.low, found.high) == pytest.approx((low, high), abs=margin)
        assert found.mean == interquartile_mean(scores)


def test_the_profile_is_rliables_within_monte_carlo_error(rng, seeded_rliable):
    for scores in matrices():
        shares, intervals = library.create_performance_profile({"a": scores}, THRESHOLDS, reps=1000)
        found = performance_profile(scores, THRESHOLDS, rng=rng)
        assert found.shares == pytest.approx(shares["a"])
        # Shares are counted in steps of one score.
        step = 1.01 / scores.size
        assert np.abs(found.low - intervals["a"][0]).max() <= step
        assert np.abs(found.high - intervals["a"][1]).max() <= step
        assert (found.high - found.low).max() > 2 * step


def test_the_profile_by_hand(rng):
    scores = np.array([[0.1, 0.5], [0.5, 0.9]])
    found = performance_profile(scores, np.array([0.0, 0.1, 0.5, 0.9]), rng=rng)
    assert found.shares.tolist() == [1.0, 0.75, 0.25, 0.0]


def test_every_task_draws_its_own_runs(rng):
    # The runs of the tasks are opposite: drawn together their mean would be 1/2 always.
    scores = np.array([[0.0, 1.0], [1.0, 0.0]])
    interval = interquartile_mean_interval(scores, rng=rng)
    assert (interval.mean, interval.low, interval.high) == (0.5, 0.0, 1.0)


def test_the_probability_of_improvement_is_rliables():
    rng = np.random.default_rng(6)
    for runs_a, runs_b in ((3, 3), (5, 4), (10, 2)):
        # Rounded, so that some are equal.
        a, b = rng.random((runs_a, 1)).round(1), rng.random((runs_b, 1)).round(1)
        expected = metrics.probability_of_improvement(a, b)
        assert probability_of_improvement(a[:, 0], b[:, 0]) == pytest.approx(float(expected))


def test_a_missing_score_is_refused(rng):
    with pytest.raises(ConfigError, match=r"\(1, 2\) with 1 missing"):
        interquartile_mean_interval(np.array([[0.5, np.nan]]), rng=rng)
