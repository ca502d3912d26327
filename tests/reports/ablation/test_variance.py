import numpy as np
import pytest
from scipy import stats

from reports.ablation.variance import two_way, variance_sources


def test_shares_of_a_2_by_2_by_hand():
    # Means 0.5, 0.6, 0.7, 0.9 around 0.675. A: 2 (0.125^2 + 0.125^2) = 0.0625;
    # B: 2 (0.075^2 + 0.075^2) = 0.0225; the rest of 0.0875 is 0.0025.
    means = np.array([[[0.5], [0.6]], [[0.7], [0.9]]])
    shares = [source.share for source in two_way(means, ("A", "B"))]
    assert shares == pytest.approx([0.0625 / 0.0875, 0.0225 / 0.0875, 0.0025 / 0.0875])


def test_one_seed_knows_no_noise():
    sources = two_way(np.array([[[0.5], [0.6]], [[0.7], [0.9]]]), ("A", "B"))
    assert {(source.noise_share, source.p_value) for source in sources} == {(None, None)}


def test_noise_is_what_seeds_and_trials_leave_by_hand():
    # Every trial 0.5; seed effects -0.1 and 0.1 are common to all, and so no noise; on top one
    # trial swings by 0.04: residuals are +-0.04 x (3/4) there and -+0.04 / 4 in the other three.
    means = np.full((2, 2, 2), 0.5) + np.array([-0.1, 0.1])
    means[1, 1] += [0.04, -0.04]
    means[0] += 0.1
    sources = two_way(means, ("A", "B"))
    squares = 2 * (0.03**2 + 3 * 0.01**2)
    noise = squares / 3 / 2  # three degrees of freedom, two seeds in a mean
    total = 4 * 0.05**2  # rows at +-0.05, four trials
    assert sources[0].share == pytest.approx(1.0)
    assert sources[0].noise_share == pytest.approx(noise / total)
    assert sources[0].p_value == pytest.approx(stats.f.sf(total / noise, 1, 3))


def test_under_no_effect_the_p_values_are_uniform():
    rng = np.random.default_rng(0)
    p = [
        [source.p_value for source in two_way(rng.normal(size=(3, 4, 3)), ("A", "B"))]
        for _ in range(400)
    ]
    for column in np.array(p).T:
        assert stats.kstest(column, "uniform").pvalue > 0.001


def test_a_complete_grid_has_shares_that_sum_to_one(full_grid, read):
    sources = variance_sources(read(full_grid))
    assert [source.name for source in sources] == [
        "group_size", "kl_coefficient", "group_size × kl_coefficient",
    ]  # fmt: skip
    assert sum(source.share for source in sources) == pytest.approx(1.0)
    assert sources[0].share > sources[1].share > sources[2].share


def test_holes_and_other_designs_have_no_decomposition(holed_grid, sampled, leave_one_out, read):
    assert [variance_sources(read(path)) for path in (holed_grid, sampled, leave_one_out)] == [
        (), (), (),
    ]  # fmt: skip
