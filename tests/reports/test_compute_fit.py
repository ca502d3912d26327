import numpy as np
import pytest

from bakeoff.errors import ConfigError
from reports.compute_fit import (
    ComputeFit,
    Extrapolation,
    Unidentifiable,
    checked_extrapolation,
    fit_compute,
)

START = 0.2
COMPUTE = np.linspace(5.0, 200.0, 20)


def curve(compute, *, ceiling=0.6, efficiency=1.2, midpoint=20.0):
    """The equation as the paper writes it."""
    return START + (ceiling - START) / (1 + (midpoint / compute) ** efficiency)


@pytest.mark.parametrize("ceiling", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("efficiency", [0.8, 2.0])
def test_a_noiseless_curve_gives_its_parameters_back(ceiling, efficiency):
    accuracy = curve(COMPUTE, ceiling=ceiling, efficiency=efficiency)
    fit = fit_compute(COMPUTE, accuracy, start=START)
    assert isinstance(fit, ComputeFit)
    assert (fit.ceiling, fit.efficiency, fit.midpoint) == pytest.approx((ceiling, efficiency, 20.0))
    assert fit.predict(np.array([20.0])) == pytest.approx([(START + ceiling) / 2])


@pytest.mark.slow
def test_standard_errors_are_the_spread_of_fits_to_noisy_curves():
    rng = np.random.default_rng(7)
    fits = [
        fit_compute(COMPUTE, curve(COMPUTE) + 0.01 * rng.normal(size=20), start=START)
        for _ in range(60)
    ]
    found = [fit for fit in fits if isinstance(fit, ComputeFit)]
    assert len(found) == 60
    ceilings = np.array([fit.ceiling for fit in found])
    assert ceilings.mean() == pytest.approx(0.6, abs=0.005)
    # A standard deviation of 60 numbers is known to 9 %.
    assert np.mean([fit.ceiling_error for fit in found]) == pytest.approx(
        ceilings.std(ddof=1), rel=0.3
    )
    assert np.mean([fit.residual for fit in found]) == pytest.approx(0.01, rel=0.1)


def refusal(compute, accuracy):
    found = fit_compute(compute, accuracy, start=START)
    assert isinstance(found, Unidentifiable), found
    return found.reason


def test_few_points_are_refused():
    assert refusal(COMPUTE[:4], curve(COMPUTE[:4])) == "too few points"


def test_a_flat_curve_is_refused():
    assert refusal(COMPUTE, np.full(20, START)) == "no rise"
    noise = 0.01 * np.random.default_rng(0).normal(size=20)
    assert refusal(COMPUTE, START + noise - noise.mean()) == "no rise"


def test_a_straight_line_has_no_ceiling():
    assert refusal(COMPUTE, START + 0.001 * COMPUTE) == "ceiling at its bound"


def test_a_plateau_from_the_first_point_on_says_nothing_of_the_way_there():
    assert refusal(COMPUTE, np.full(20, 0.4)) == "midpoint outside the points"


def test_points_before_the_midpoint_are_refused():
    assert refusal(COMPUTE, curve(COMPUTE, midpoint=400.0)) == "midpoint outside the points"


def test_noise_that_hides_the_ceiling_is_refused():
    compute = np.linspace(5.0, 60.0, 8)
    noise = 0.03 * np.array([-1, 1, -1, 1, 1, -1, 1, -1])
    assert refusal(compute, curve(compute) + noise) == "ceiling uncertain"
    assert isinstance(fit_compute(compute, curve(compute) + noise / 10, start=START), ComputeFit)


def test_a_true_sigmoid_is_extrapolated_without_error():
    found = checked_extrapolation(COMPUTE, curve(COMPUTE), start=START)
    assert isinstance(found, Extrapolation)
    assert found.compute.min() > 100
    assert found.largest_error_points < 1e-6


def test_a_late_kink_is_the_error_of_the_extrapolation():
    kinked = curve(COMPUTE) - 0.1 * (COMPUTE > 150)
    found = checked_extrapolation(COMPUTE, kinked, start=START)
    assert isinstance(found, Extrapolation)
    assert found.largest_error_points == pytest.approx(10.0)


def test_an_extrapolation_from_too_few_early_points_is_refused():
    found = checked_extrapolation(COMPUTE, curve(COMPUTE), start=START, fitted_share=0.2)
    assert isinstance(found, Unidentifiable)
    assert found.reason == "too few points"


def test_what_cannot_be_fitted_is_named():
    with pytest.raises(ConfigError, match="compute must be above 0"):
        fit_compute(np.arange(6.0), curve(np.arange(1.0, 7.0)), start=START)
    with pytest.raises(ConfigError, match="must pair and be finite"):
        fit_compute(COMPUTE, curve(COMPUTE)[1:], start=START)
    with pytest.raises(ConfigError, match="held-out late points"):
        checked_extrapolation(COMPUTE, curve(COMPUTE), start=START, fitted_share=1.0)
