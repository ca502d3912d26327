"""Tables of scores by seed and problem, and their weighted sums over what they share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bakeoff.errors import BakeoffError
from reports.statistics import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """Scores of seeds S on problems P.

    Without seeds there is one row, of data that no run of a method made; it pairs with every seed.
    """

    policies: tuple[str, ...]
    seeds: tuple[int, ...]
    problems: tuple[str, ...]
    values: FloatArray  # [S, P], or [1, P] without seeds; NaN where there is no verdict

    def at(self, seeds: Sequence[int], problems: Sequence[str]) -> FloatArray:
        """[seeds, problems] of the values, the one row repeated where there are no seeds."""
        place = {problem: index for index, problem in enumerate(self.problems)}
        columns = [place[problem] for problem in problems]
        rows = [self.seeds.index(seed) for seed in seeds] if self.seeds else [0] * len(seeds)
        return self.values[np.ix_(rows or [0], columns)]


def combined(weighted: Sequence[tuple[float, Scores]]) -> Scores:
    """The weighted sum of tables over the seeds and problems that all of them have.

    Raises:
        BakeoffError: they share no seed or no problem.
    """
    tables = [table for _, table in weighted]
    policies = tuple(dict.fromkeys(policy for table in tables for policy in table.policies))
    run = [set(table.seeds) for table in tables if table.seeds]
    seeds = sorted(set.intersection(*run)) if run else []
    if run and not seeds:
        raise BakeoffError(f"{', '.join(policies)} share no seed; run the missing cells")
    problems = sorted(set.intersection(*(set(table.problems) for table in tables)))
    if not problems:
        raise BakeoffError(f"{', '.join(policies)} were given no common problem")
    total = sum(weight * table.at(seeds, problems) for weight, table in weighted)
    return Scores(
        policies=policies,
        seeds=tuple(seeds),
        problems=tuple(problems),
        values=np.asarray(total, dtype=np.float64),
    )
