"""How far the mean of a table of scores is from that of other runs on other problems.

S seeds, P problems. x = mu + seed + problem + noise, all effects random; NaN where a score is
missing. A mean square estimates: of seeds P seed variance + noise variance, of problems S problem
variance + noise variance, of noise its variance.
"""

from dataclasses import dataclass
from math import exp, log, sqrt

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

FloatArray = npt.NDArray[np.float64]

_SMALLEST = 1e-300  # p values below it are given as this one


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanSquares:
    """The analysis of variance of an [S, P] table, or its expectation."""

    seed: float  # 0 with one seed
    problem: float  # 0 with one problem
    noise: float  # 0 where it cannot be told from the effects
    seeds: int
    problems: int
    cells: int  # with a score


@dataclass(frozen=True, slots=True, kw_only=True)
class MeanError:
    """What the variance of the mean is made of: seeds_alone + problems_alone - noise."""

    seeds_alone: float  # the variance if problems had no effect, from the means of seeds
    problems_alone: float  # the variance if seeds had no effect, from the means of problems
    noise: float  # in both
    seed_freedom: int
    problem_freedom: int

    @property
    def of_seeds(self) -> float:
        """What seeds add to the variance that problems explain, 0 where the estimate is below."""
        return max(self.seeds_alone - self.noise, 0.0)

    @property
    def variance(self) -> float:
        """The variance of the mean, not below what seeds or problems alone make it."""
        return max(self.seeds_alone, self.problems_alone + self.of_seeds)


def mean_squares(scores: FloatArray) -> MeanSquares:
    """The mean squares of an [S, P] table that holds at least one score.

    Seeds and problems without any score are left out. A missing cell is filled with what its seed
    and its problem make likely, and counts neither as a cell nor as a degree of freedom.
    """
    known = np.isfinite(scores)
    scores = scores[known.any(axis=1)][:, known.any(axis=0)]
    known = np.isfinite(scores)
    if not known.all():
        fill = np.nanmean(scores, axis=1)[:, None] + np.nanmean(scores, axis=0)[None, :]
        scores = np.where(known, scores, fill - np.nanmean(scores))
    seeds, problems = scores.shape
    cells = int(known.sum())
    by_seed, by_problem = scores.mean(axis=1), scores.mean(axis=0)
    residuals = scores - by_seed[:, None] - by_problem[None, :] + scores.mean()
    freedom = cells - seeds - problems + 1
    return MeanSquares(
        seed=problems * float(by_seed.var(ddof=1)) if seeds > 1 else 0.0,
        problem=seeds * float(by_problem.var(ddof=1)) if problems > 1 else 0.0,
        noise=float((residuals**2).sum()) / freedom if freedom > 0 else 0.0,
        seeds=seeds,
        problems=problems,
        cells=cells,
    )


def mean_error(squares: MeanSquares) -> MeanError:
    """The error of a table's mean."""
    return MeanError(
        seeds_alone=squares.seed / squares.cells,
        problems_alone=squares.problem / squares.cells,
        noise=squares.noise / squares.cells,
        seed_freedom=squares.seeds - 1,
        problem_freedom=squares.problems - 1,
    )


def half_width(error: MeanError, *, level: float) -> float:
    """Half the width of the mean's interval: the widest of three.

    Student's t over the means of seeds is exact where problems have no effect, and over those of
    problems where seeds have none. Between them each part of the variance has its own t, weighted
    by the parts (Cochran and Cox, Experimental Designs, 1950). One t with Satterthwaite's degrees
    of freedom would take a seed part that is small by chance for a known one, and cover too
    little at 3 seeds.
    """
    tail = (1 - level) / 2
    widths = [0.0]
    if error.seed_freedom > 0:
        widths.append(_t(error.seed_freedom, tail) * sqrt(error.seeds_alone))
    if error.problem_freedom > 0:
        widths.append(_t(error.problem_freedom, tail) * sqrt(error.problems_alone))
    if _has_both(error):
        widths.append(_weighted_t(error, tail) * sqrt(error.of_seeds + error.problems_alone))
    return max(widths)


def two_sided_p(error: MeanError, *, distance: float) -> float:
    """The p at which `half_width` of level 1 - p is the distance of the mean from the hypothesis.

    Args:
        error: with a variance above 0.
        distance: 0 or more.
    """
    found = [0.0]
    if error.seed_freedom > 0 and error.seeds_alone > 0:
        found.append(_tails(error.seed_freedom, distance / sqrt(error.seeds_alone)))
    if error.problem_freedom > 0 and error.problems_alone > 0:
        found.append(_tails(error.problem_freedom, distance / sqrt(error.problems_alone)))
    if _has_both(error):
        found.append(_weighted_p(error, distance / sqrt(error.of_seeds + error.problems_alone)))
    return max(found)


def _has_both(error: MeanError) -> bool:
    return error.of_seeds > 0 and error.problems_alone > 0


def _weighted_t(error: MeanError, tail: float) -> float:
    """The weighted t that is exceeded with probability `tail`."""
    weight = error.of_seeds / (error.of_seeds + error.problems_alone)
    return weight * _t(error.seed_freedom, tail) + (1 - weight) * _t(error.problem_freedom, tail)


def _weighted_p(error: MeanError, t: float) -> float:
    """Two-sided p of a weighted t: between those of Student's two."""
    low, high = sorted((_tails(error.seed_freedom, t), _tails(error.problem_freedom, t)))
    low = max(low, _SMALLEST)
    if high <= low or _weighted_t(error, low / 2) <= t:
        return low
    if _weighted_t(error, high / 2) >= t:
        return high
    return exp(brentq(lambda x: _weighted_t(error, exp(x) / 2) - t, log(low), log(high)))


def _t(freedom: int, tail: float) -> float:
    return float(-stdtrit(freedom, tail))


def _tails(freedom: int, t: float) -> float:
    return float(2 * stdtr(freedom, -t))
