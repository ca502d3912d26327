"""The moments of a span at which most is live, kept by component."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bakeoff.memory.components import Component

COMPONENTS = tuple(Component)
Bytes = NDArray[np.int64]  # [components]
_INDEX = {which: index for index, which in enumerate(COMPONENTS)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moments:
    """Every moment that could be a span's highest once components are scaled."""

    live: NDArray[np.int64]  # [moments, components] bytes

    def scaled(self, factors: NDArray[np.float64]) -> Moments:
        """The same with each component times its factor, rounded up to whole bytes."""
        return Moments(live=np.ceil(self.live * factors).astype(np.int64))

    def highest(self) -> Bytes:
        """The bytes at the moment whose sum is largest."""
        found: Bytes = self.live[self.live.sum(axis=1).argmax()]
        return found

    def beside(self, *more: Bytes) -> Moments:
        """The same with more moments."""
        return Moments(live=np.vstack([self.live, *more]))


def moments(events: Sequence[tuple[float, Component, int]], span: tuple[int, int]) -> Moments:
    """The moments of events [first, last) of a timeline, what was live before included.

    Between two allocations with no release the later one is higher, so only the last counts.
    """
    first, last = span
    changes = np.array([change for _, _, change in events[:last]], dtype=np.int64)
    columns = np.array([_INDEX[which] for _, which, _ in events[:last]], dtype=np.int64)
    each = np.zeros((last - first + 1, len(COMPONENTS)), dtype=np.int64)
    np.add.at(each[0], columns[:first], changes[:first])
    each[np.arange(1, last - first + 1), columns[first:]] = changes[first:]
    live = each.cumsum(axis=0)
    falls = np.append(changes[first:] < 0, True)
    return Moments(live=np.unique(live[falls], axis=0))
