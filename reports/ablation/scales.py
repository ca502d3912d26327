"""Where the levels of a factor lie on an axis."""

from dataclasses import dataclass
from math import log10

import numpy as np

from reports.ablation.effects import LEVELS_SHOWN, MainEffect
from reports.ablation.load import FactorRecord, Level
from reports.ablation.trials import level_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A factor's axis."""

    places: dict[Level, float]  # level -> on the axis
    ordered: bool  # numbers, so that a line between levels means something
    log: bool
    zero: float  # where 0 lies on a logarithmic axis

    def at(self, level: Level) -> float:
        """The place of a level."""
        return self.places[level]

    @property
    def low(self) -> float:
        """The axis' left end."""
        return min(self.places.values()) - self._margin

    @property
    def high(self) -> float:
        """The axis' right end."""
        return max(self.places.values()) + self._margin

    @property
    def ticks(self) -> tuple[list[float], list[str]]:
        """Places and texts: every level, of many values a few round ones."""
        if len(self.places) <= LEVELS_SHOWN:
            return list(self.places.values()), [level_text(level) for level in self.places]
        found = np.linspace(min(self.places.values()), max(self.places.values()), 5).tolist()
        texts = [
            "0" if self.log and place == self.zero else level_text(_rounded(self._value(place)))
            for place in found
        ]
        return found, texts

    @property
    def _margin(self) -> float:
        spread = max(self.places.values()) - min(self.places.values())
        return (0.08 if self.ordered else 0.25) * spread or 0.5

    def _value(self, place: float) -> float:
        return 10.0**place if self.log else place


def scale_of(effect: MainEffect) -> Scale:
    """The axis of a factor: names one beside the other, numbers where they belong.

    On a logarithmic axis 0 lies one step left of the least number.
    """
    levels = [value for level in effect.levels for value in level.values]
    if any(isinstance(level, str) for level in levels):
        places: dict[Level, float] = {level: float(i) for i, level in enumerate(levels)}
        return Scale(places=places, ordered=False, log=False, zero=0.0)
    numbers = [float(level) for level in levels]
    if not effect.factor.log or min(numbers) < 0:
        places = dict(zip(levels, numbers, strict=True))
        return Scale(places=places, ordered=True, log=False, zero=0.0)
    positive = [log10(number) for number in numbers if number > 0]
    step = float(np.median(np.diff(positive))) if len(positive) > 1 else 1.0
    zero = min(positive, default=0.0) - max(step, 0.3)
    places = {
        level: log10(number) if number > 0 else zero
        for level, number in zip(levels, numbers, strict=True)
    }
    return Scale(places=places, ordered=True, log=True, zero=zero)


def axis_name(factor: FactorRecord) -> str:
    """A factor with its unit."""
    return f"{factor.name}, {factor.unit}" if factor.unit else factor.name


def _rounded(value: float) -> float:
    return float(f"{value:.2g}")
