"""A sigmoid of accuracy over compute, and what it is worth beyond the points it was fitted on.

R(C) - R_0 = (A - R_0) / (1 + (C_mid / C)^B) (ScaleRL, arXiv:2510.13786v1 eq. 1): A is the ceiling,
B the efficiency, C_mid where half of the way is done.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import least_squares
from scipy.special import expit

from bakeoff.errors import ConfigError
from reports.intervals import FloatArray

LEAST_POINTS = 5  # three parameters, and two points that can contradict them
# 95 % of a ceiling within 10 points: beyond that it tells no two methods apart.
LARGEST_CEILING_ERROR = 0.05
FITTED_SHARE = 0.5
_LARGEST_EXPONENT = 10.0  # a step: no accuracy rises from a tenth to nine tenths faster
_AT_BOUND = 1e-3
_LARGEST_CONDITION = 1e6

Reason = Literal[
    "too few points",
    "no rise",
    "ceiling at its bound",
    "midpoint outside the points",
    "ceiling uncertain",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeFit:
    """The fitted sigmoid, each parameter with its standard error."""

    start: float  # R_0, given
    ceiling: float  # A
    efficiency: float  # B
    midpoint: float  # C_mid, in the unit of the compute
    ceiling_error: float
    efficiency_error: float
    log_midpoint_error: float  # of ln C_mid
    residual: float  # root mean square, 3 degrees of freedom less than points

    def predict(self, compute: FloatArray) -> FloatArray:
        """Accuracies [C] at positive compute."""
        return _sigmoid(
            np.log(compute),
            start=self.start,
            parameters=np.array([self.ceiling, self.efficiency, np.log(self.midpoint)]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Unidentifiable:
    """Why points do not determine a sigmoid."""

    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Extrapolation:
    """A fit of the early points, held against the late ones."""

    fit: ComputeFit
    compute: FloatArray  # [H] of the held-out points
    predicted: FloatArray  # [H]
    measured: FloatArray  # [H]

    @property
    def largest_error_points(self) -> float:
        """The largest distance of a late point from its prediction, in points of accuracy."""
        return float(100 * np.abs(self.predicted - self.measured).max())


def fit_compute(
    compute: FloatArray, accuracy: FloatArray, *, start: float
) -> ComputeFit | Unidentifiable:
    """The least-squares sigmoid, or why the points determine none.

    Refused are: fewer than 5 points; a mean rise over the start below twice its standard error; a
    ceiling of 1, which is the bound's and not the data's; a midpoint past the last point, where
    ceiling and midpoint trade off, or before the first, where midpoint and efficiency do; a ceiling
    whose standard error is above 0.05.

    Args:
        compute: [C] positive; the start goes to `start`.
        accuracy: [C] shares from 0 to 1.
        start: R_0 below 1, the accuracy without training.

    Raises:
        ConfigError: compute that is not positive, accuracies of another length or not finite, or a
            start of 1.
    """
    _check(compute, accuracy, start)
    if len(compute) < LEAST_POINTS:
        return Unidentifiable(
            reason="too few points",
            detail=f"{len(compute)} points, {LEAST_POINTS} needed; evaluate more often",
        )
    logs = np.log(compute)
    parameters, jacobian, residuals = _least_squares(logs, accuracy, start)
    variance = float((residuals**2).sum()) / (len(logs) - len(parameters))
    rise = float((accuracy - start).mean())
    if rise <= 2 * np.sqrt(variance / len(logs)):
        return Unidentifiable(
            reason="no rise", detail=f"{100 * rise:.1f} points over the start on average"
        )
    fit = _with_errors(parameters, jacobian, variance=variance, start=start)
    return _refusal(fit, first=float(compute.min()), last=float(compute.max())) or fit


def checked_extrapolation(
    compute: FloatArray, accuracy: FloatArray, *, start: float, fitted_share: float = FITTED_SHARE
) -> Extrapolation | Unidentifiable:
    """The fit of the points up to a share of the compute, and its error on all later ones.

    Args:
        compute: [C] positive.
        accuracy: [C] shares from 0 to 1.
        start: R_0 below 1.
        fitted_share: of the largest compute.

    Raises:
        ConfigError: no point is later than the share, or what `fit_compute` raises.
    """
    _check(compute, accuracy, start)
    early = compute <= fitted_share * compute.max(initial=0.0)
    if early.all():
        raise ConfigError(
            f"no point lies past {fitted_share:g} of the compute; expected held-out late points: "
            "give a fitted_share below 1 and at least one point"
        )
    fit = fit_compute(compute[early], accuracy[early], start=start)
    if isinstance(fit, Unidentifiable):
        return fit
    late = compute[~early]
    return Extrapolation(
        fit=fit, compute=late, predicted=fit.predict(late), measured=accuracy[~early]
    )


def _least_squares(
    logs: FloatArray, accuracy: FloatArray, start: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """[3] ceiling, efficiency and ln midpoint, their Jacobian [C, 3] and the residuals [C]."""
    span = float(np.ptp(logs)) + 1.0
    bounds = (
        [start, 0.0, float(logs.min()) - span],
        [1.0, _LARGEST_EXPONENT, float(logs.max()) + span],
    )
    # The top of the points is at least half of a way that bends among them.
    top = float(np.clip(accuracy.max(), start + 0.01 * (1 - start), 1.0))
    guesses = [
        np.array([min(1.0, start + stretch * (top - start)), 1.0, middle])
        for stretch in (1.05, 2.0)
        for middle in np.quantile(logs, [0.1, 0.5, 0.9])
    ]

    def misfit(parameters: FloatArray) -> FloatArray:
        return _sigmoid(logs, start=start, parameters=parameters) - accuracy

    fits = [
        least_squares(
            misfit,
            np.clip(guess, *bounds),
            bounds=bounds,
            xtol=1e-12,
            ftol=1e-12,
            gtol=1e-12,
        )
        for guess in guesses
    ]
    best = min(fits, key=lambda found: float(found.cost))
    return best.x, np.asarray(best.jac, dtype=np.float64), best.fun


def _with_errors(
    parameters: FloatArray, jacobian: FloatArray, *, variance: float, start: float
) -> ComputeFit:
    # Inverted through its scaled columns: those of a flat direction are infinite, not garbage.
    scale = np.linalg.norm(jacobian, axis=0)
    errors = np.full(3, np.inf)
    if (scale > 0).all() and np.linalg.cond(jacobian / scale) < _LARGEST_CONDITION:
        covariance = np.linalg.inv((jacobian / scale).T @ (jacobian / scale)) * variance
        errors = np.sqrt(np.diag(covariance)) / scale
    return ComputeFit(
        start=start,
        ceiling=float(parameters[0]),
        efficiency=float(parameters[1]),
        midpoint=float(np.exp(parameters[2])),
        ceiling_error=float(errors[0]),
        efficiency_error=float(errors[1]),
        log_midpoint_error=float(errors[2]),
        residual=float(np.sqrt(variance)),
    )


def _refusal(fit: ComputeFit, *, first: float, last: float) -> Unidentifiable | None:
    if fit.ceiling >= 1 - _AT_BOUND:
        return Unidentifiable(
            reason="ceiling at its bound",
            detail="the points do not bend towards a ceiling below 100 %; train longer",
        )
    if not first <= fit.midpoint <= last:
        return Unidentifiable(
            reason="midpoint outside the points",
            detail=f"half of the way at {fit.midpoint:.3g}, points from {first:.3g} to {last:.3g}",
        )
    if not fit.ceiling_error <= LARGEST_CEILING_ERROR:
        return Unidentifiable(
            reason="ceiling uncertain",
            detail=f"{100 * fit.ceiling:.1f} % with a standard error of "
            f"{100 * fit.ceiling_error:.1f} points; train longer or evaluate more samples",
        )
    return None


def _sigmoid(logs: FloatArray, *, start: float, parameters: FloatArray) -> FloatArray:
    ceiling, efficiency, log_midpoint = parameters
    return np.asarray(
        start + (ceiling - start) * expit(efficiency * (logs - log_midpoint)), dtype=np.float64
    )


def _check(compute: FloatArray, accuracy: FloatArray, start: float) -> None:
    if compute.shape != accuracy.shape or not np.isfinite(accuracy).all():
        raise ConfigError(
            f"compute {compute.shape} and accuracies {accuracy.shape} must pair and be finite; "
            "leave out evaluations without a score"
        )
    if not (np.isfinite(compute) & (compute > 0)).all() or not start < 1:
        raise ConfigError(
            f"compute must be above 0 and the start ({start:g}) below 1; leave the "
            "untrained policy out of the points and give its accuracy as the start"
        )
